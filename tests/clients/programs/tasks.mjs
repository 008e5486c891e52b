// Runs the tasks that standard input lists, all at once, and prints one JSON line for each outcome.
import { text } from "node:stream/consumers";

export const QUESTION = "Please use your tools: when is high water?";
export const FOLLOW_UP = "Thank you. What does that mean for me?";
export const TIDE = {
  type: "object",
  properties: { place: { type: "string" } },
  required: ["place"],
  additionalProperties: false,
};
export const FORECAST = {
  type: "object",
  properties: { place: { type: "string" }, metres: { type: "number" } },
  required: ["place", "metres"],
  additionalProperties: false,
};
export const tide = ({ place }) => `high water in ${place} at 12:34`;

// `apis`: for each API the tasks by name; a task gets { baseURL, token, model, question } and returns its result.
export async function run(apis) {
  const jobs = JSON.parse(await text(process.stdin));
  await Promise.all(
    jobs.map(async (job) => {
      const outcome = { id: job.id };
      try {
        outcome.value = (await apis[job.api][job.task](job)) ?? null;
      } catch (error) {
        outcome.error = describe(error);
      }
      console.log(JSON.stringify(outcome));
    }),
  );
  process.exit(0);
}

// Reads `pieces` texts, then aborts; returns the monotonic time of that in seconds.
export async function abortAfter(pieces, texts, abort) {
  let seen = 0;
  let at = 0;
  try {
    for await (const piece of texts) {
      if (piece && ++seen === pieces) {
        at = Number(process.hrtime.bigint()) / 1e9;
        abort();
        break;
      }
    }
  } catch (error) {
    if (!at) throw error;
  }
  await new Promise((done) => setTimeout(done, 1000)); // the connection stays up only if the abort did not close it
  return { seen, at };
}

export async function collect(texts) {
  const pieces = [];
  for await (const piece of texts) if (piece) pieces.push(piece);
  return pieces;
}

function describe(error) {
  const last = error.lastError ?? error;
  return { name: error.name, message: String(error.message), status: last.statusCode ?? last.status ?? null };
}
