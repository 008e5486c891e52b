// Sends a call to the broker and reads its answer as it arrives.

import { Refusal } from "./refusals.js";

export class Answering {
  #session;
  #body;
  #controller = new AbortController();
  #begun = performance.now();
  #first = null;
  #isComplete = false;

  constructor(session, body) {
    this.#session = session;
    this.#body = body;
    this.headers = null;
    this.stopped = false;
  }

  stop() {
    this.stopped = true;
    this.#controller.abort(); // the broker then ends its call to OpenAI
  }

  // Seconds to the first text and to the end.
  timing() {
    return { first: this.#first, whole: (performance.now() - this.#begun) / 1000 };
  }

  // The pieces of the answer. Throws a Refusal.
  async *texts() {
    try {
      const response = await this.#open();
      yield* this.#read(response);
      if (!this.#isComplete) throw Refusal.brokenOff();
    } catch (error) {
      if (!this.stopped) throw this.#first === null ? error : Refusal.brokenOff();
    }
  }

  async #open() {
    let response = await this.#post();
    if (response.status === 401 && (await this.#session.renew())) response = await this.#post();
    this.headers = response.headers;
    if (!response.ok) throw await Refusal.from(response);
    return response;
  }

  #post() {
    return fetch("v1/chat/completions", {
      method: "POST",
      headers: { ...this.#session.header, "Content-Type": "application/json" },
      body: JSON.stringify({ ...this.#body, stream: true }),
      signal: this.#controller.signal,
    });
  }

  async *#read(response) {
    let rest = "";
    for await (const text of pieces(response.body.pipeThrough(new TextDecoderStream()))) {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data: {")) continue; // an empty line, a comment, or the [DONE] at the end
        const { choices, error } = JSON.parse(line.slice(6));
        if (error) throw Refusal.brokenOff();
        this.#isComplete ||= Boolean(choices[0]?.finish_reason);
        const said = choices[0]?.delta.content || choices[0]?.delta.refusal;
        if (!said) continue;
        this.#first ??= (performance.now() - this.#begun) / 1000;
        yield said;
      }
    }
  }
}

// Safari does not support iteration over a stream.
async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
