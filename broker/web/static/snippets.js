// Code for an app that sends the same request: with the official SDK, and with fetch.

const WRITERS = { sdk: withSdk, fetch: withFetch };
const MARKS = /(\/\/.*)|("(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)|\b(import|from|const|let|for|await|of|if|throw|new|true)\b/g;

export class Snippet {
  #place;

  constructor(place) {
    this.#place = place;
    this.text = "";
  }

  show(kind, { messages, model, temperature }) {
    const broker = new URL(".", location.href).href.replace(/\/$/, "");
    const message = `{ role: "user", content: ${JSON.stringify(messages[0].content)} }`;
    const lines = [`model: "${model}"`, `temperature: ${temperature}`, `messages: [\n  ${message},\n]`, "stream: true"];
    this.text = WRITERS[kind](broker, (indent) => lines.join(",\n").replaceAll("\n", `\n${indent}`));
    this.#place.replaceChildren(...marked(this.text));
  }
}

function withSdk(broker, question) {
  return `import OpenAI from "openai";

const openai = new OpenAI({
  baseURL: "${broker}/v1",
  apiKey: session.access_token, // Supabase's
  dangerouslyAllowBrowser: true, // it is no secret key
});
const answer = await openai.chat.completions.create({
  ${question("  ")},
});
for await (const chunk of answer) {
  show(chunk.choices[0]?.delta.content ?? "");
}
`;
}

function withFetch(broker, question) {
  return `const url = "${broker}/v1/chat/completions";
const response = await fetch(url, {
  method: "POST",
  headers: {
    Authorization: "Bearer " + session.access_token,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({
    ${question("    ")},
  }),
});
if (!response.ok) {
  const { error } = await response.json();
  throw new Error(error.message);
}

const reader = response.body
  .pipeThrough(new TextDecoderStream())
  .getReader();
let rest = "";
for (let read; !(read = await reader.read()).done; ) {
  const lines = (rest + read.value).split("\\n");
  rest = lines.pop();
  for (const line of lines) {
    if (!line.startsWith("data: {")) continue;
    const { choices, error } = JSON.parse(line.slice(6));
    if (error) throw new Error(error.message);
    show(choices[0]?.delta.content ?? "");
  }
}
`;
}

// Return the code as nodes with syntax highlighting.
function* marked(code) {
  let from = 0;
  for (const match of code.matchAll(MARKS)) {
    yield code.slice(from, match.index);
    const span = document.createElement("span");
    span.className = match[1] ? "comment" : match[2] ? "text" : "keyword";
    span.textContent = match[0];
    yield span;
    from = match.index + match[0].length;
  }
  yield code.slice(from);
}
