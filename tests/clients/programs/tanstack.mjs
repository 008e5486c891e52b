// TanStack AI with its adapters for OpenAI, whose default is the Responses API.
import { chat, toolDefinition } from "@tanstack/ai";
import { createOpenaiChat, createOpenaiChatCompletions } from "@tanstack/ai-openai";
import { z } from "zod";
import { FOLLOW_UP, QUESTION, abortAfter, collect, run, tide } from "./tasks.mjs";

const user = (content) => [{ role: "user", content }];

async function* textsOf(stream) {
  for await (const chunk of stream) {
    if (chunk.type === "RUN_ERROR") throw Object.assign(new Error(chunk.message ?? chunk.error?.message), chunk);
    if (chunk.type === "TEXT_MESSAGE_CONTENT") yield chunk.delta;
  }
}

const tasksWith = (create) => {
  const adapterOf = ({ baseURL, token, model }) => create(model, token, { baseURL });
  const ask = (job, messages, more = {}) => chat({ adapter: adapterOf(job), messages, debug: false, ...more });
  return {
    async answer(job) {
      return ask(job, user(job.question), { stream: false });
    },
    async stream(job) {
      return collect(textsOf(ask(job, user(job.question))));
    },
    async tools(job) {
      const calls = [];
      const inputSchema = z.object({ place: z.string() });
      const getTide = toolDefinition({ name: "get_tide", description: "High water", inputSchema });
      const tools = [getTide.server(async (given) => (calls.push(given), tide(given)))];
      const first = (await collect(textsOf(ask(job, user(QUESTION), { tools })))).join("");
      const messages = [...user(QUESTION), { role: "assistant", content: first }, ...user(FOLLOW_UP)];
      return { calls, texts: [first, (await collect(textsOf(ask(job, messages, { tools })))).join("")] };
    },
    async structured(job) {
      const outputSchema = z.object({ place: z.string(), metres: z.number() });
      return ask(job, user(job.question), { outputSchema });
    },
    async abort(job) {
      const stop = new AbortController();
      const stream = ask(job, user(job.question), { abortController: stop });
      return abortAfter(2, textsOf(stream), () => stop.abort());
    },
  };
};

await run({ chat: tasksWith(createOpenaiChatCompletions), responses: tasksWith(createOpenaiChat) });
