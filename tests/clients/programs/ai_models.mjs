// The Vercel AI SDK's calls, of any release since 5, for any provider's model.
import { FOLLOW_UP, FORECAST, QUESTION, TIDE, abortAfter, collect, tide } from "./tasks.mjs";

// streamText raises no error of the call itself: it is a part of the stream, and without `onError` goes to the console.
async function* textsOf(result) {
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") yield part.text;
  }
}

export const tasksWith = ({ Output, generateText, isStepCount, jsonSchema, streamText, tool }, modelOf) => ({
  async answer(job) {
    return (await generateText({ model: modelOf(job), prompt: job.question })).text;
  },
  async stream(job) {
    return collect(textsOf(streamText({ model: modelOf(job), prompt: job.question, onError() {} })));
  },
  async tools(job) {
    const calls = [];
    const tools = {
      get_tide: tool({ inputSchema: jsonSchema(TIDE), execute: async (given) => (calls.push(given), tide(given)) }),
    };
    const messages = [{ role: "user", content: QUESTION }];
    const first = await generateText({ model: modelOf(job), messages, tools, stopWhen: isStepCount(5) });
    messages.push(...first.response.messages, { role: "user", content: FOLLOW_UP });
    const second = streamText({ model: modelOf(job), messages, tools });
    return { calls, texts: [first.text, (await collect(textsOf(second))).join("")] };
  },
  async structured(job) {
    const output = Output.object({ schema: jsonSchema(FORECAST) });
    return (await generateText({ model: modelOf(job), prompt: job.question, output })).output;
  },
  async abort(job) {
    const stop = new AbortController();
    const result = streamText({ model: modelOf(job), prompt: job.question, abortSignal: stop.signal, onError() {} });
    return abortAfter(2, textsOf(result), () => stop.abort());
  },
});
