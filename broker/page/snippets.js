// The code that does the same in an app: with the official SDK, and with fetch alone.

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
    this.text = WRITERS[kind](broker, `{ role: "user", content: ${JSON.stringify(messages[0].content)} }`, model, temperature);
    this.#place.replaceChildren(...marked(this.text));
  }
}

function withSdk(broker, message, model, temperature) {
  return `import OpenAI from "openai";

const openai = new OpenAI({
  baseURL: "${broker}/v1",
  apiKey: session.access_token, // Supabase's
  dangerouslyAllowBrowser: true, // it is no secret key
});

const answer = await openai.chat.completions.create({
  model: "${model}",
  temperature: ${temperature},
  messages: [${message}],
  stream: true,
});
for await (const chunk of answer) {
  show(chunk.choices[0]?.delta.content ?? "");
}
`;
}

function withFetch(broker, message, model, temperature) {
  return `const response = await fetch("${broker}/v1/chat/completions", {
  method: "POST",
  headers: {
    Authorization: \`Bearer \${session.access_token}\`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({
    model: "${model}",
    temperature: ${temperature},
    messages: [${message}],
    stream: true,
  }),
});
if (!response.ok) throw new Error((await response.json()).error.message);

let rest = "";
const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
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

// The code as nodes, with comments, texts and keywords marked for the eye.
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
