// The Vercel AI SDK with its provider for OpenAI, whose default is the Responses API.
import { createOpenAI } from "@ai-sdk/openai";
import { tasksWith } from "./ai_models.mjs";
import { run } from "./tasks.mjs";

const provider = ({ baseURL, token }) => createOpenAI({ baseURL, apiKey: token });

await run({
  chat: tasksWith((job) => provider(job).chat(job.model)),
  responses: tasksWith((job) => provider(job)(job.model)),
});
