// The Vercel AI SDK with its provider for servers that speak OpenAI's chat completions.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as sdk from "ai";
import { tasksWith } from "./ai_models.mjs";
import { run } from "./tasks.mjs";

const provider = ({ baseURL, token }) =>
  createOpenAICompatible({ name: "broker", baseURL, apiKey: token, supportsStructuredOutputs: true });

await run({ chat: tasksWith(sdk, (job) => provider(job)(job.model)) });
