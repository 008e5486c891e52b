// The Vercel AI SDK with its provider for OpenAI, whose default is the Responses API.
import { createOpenAI } from "@ai-sdk/openai";
import * as sdk from "ai";
import { tasksWith } from "./ai_models.mjs";
import { run } from "./tasks.mjs";

const provider = ({ baseURL, token }) => createOpenAI({ baseURL, apiKey: token });

await run({
  chat: tasksWith(sdk, (job) => provider(job).chat(job.model)),
  responses: tasksWith(sdk, (job) => provider(job)(job.model)),
});
