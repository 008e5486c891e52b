// The Vercel AI SDK 5 with its provider for OpenAI.
import * as sdk from "ai-5";
import { createOpenAI } from "ai-sdk-openai-2";
import { tasksWith } from "./ai_models.mjs";
import { FORECAST, run } from "./tasks.mjs";

const provider = ({ baseURL, token }) => createOpenAI({ baseURL, apiKey: token });
const tasksOf = (modelOf) => ({
  ...tasksWith({ ...sdk, isStepCount: sdk.stepCountIs }, modelOf),
  async structured(job) {
    const schema = sdk.jsonSchema(FORECAST);
    return (await sdk.generateObject({ model: modelOf(job), prompt: job.question, schema })).object;
  },
});

await run({
  chat: tasksOf((job) => provider(job).chat(job.model)),
  responses: tasksOf((job) => provider(job)(job.model)),
});
