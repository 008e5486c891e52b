// The Vercel AI SDK 6 with its provider for OpenAI, as CopilotKit's runtime calls it.
import * as sdk from "ai-6";
import { createOpenAI } from "ai-sdk-openai-3";
import { tasksWith } from "./ai_models.mjs";
import { run } from "./tasks.mjs";

const provider = ({ baseURL, token }) => createOpenAI({ baseURL, apiKey: token });
const calls = { ...sdk, isStepCount: sdk.stepCountIs };

await run({
  chat: tasksWith(calls, (job) => provider(job).chat(job.model)),
  responses: tasksWith(calls, (job) => provider(job)(job.model)),
});
