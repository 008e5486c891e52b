// OpenAI's Agents SDK, whose default is the Responses API.
import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool, user } from "@openai/agents";
import { z } from "zod";
import { FOLLOW_UP, QUESTION, TIDE, abortAfter, collect, run, tide } from "./tasks.mjs";

setTracingDisabled(true); // traces go to api.openai.com, whatever the base URL is

const tasksWith = (options) => {
  const runnerOf = ({ baseURL, token }) =>
    new Runner({ modelProvider: new OpenAIProvider({ baseURL, apiKey: token, ...options }) });
  const agentOf = ({ model }, more = {}) => new Agent({ name: "Harbour master", model, ...more });
  const streamOf = (job, more = {}) => runnerOf(job).run(agentOf(job), job.question, { stream: true, ...more });
  return {
    async answer(job) {
      return (await runnerOf(job).run(agentOf(job), job.question)).finalOutput;
    },
    async stream(job) {
      const result = await streamOf(job);
      const pieces = await collect(result.toTextStream());
      await result.completed;
      return pieces;
    },
    async tools(job) {
      const calls = [];
      const execute = (given) => (calls.push(given), tide(given));
      const getTide = tool({ name: "get_tide", description: "High water", parameters: TIDE, execute });
      const agent = agentOf(job, { tools: [getTide] });
      const first = await runnerOf(job).run(agent, QUESTION);
      const second = await runnerOf(job).run(agent, [...first.history, user(FOLLOW_UP)]);
      return { calls, texts: [first.finalOutput, second.finalOutput] };
    },
    async structured(job) {
      const outputType = z.object({ place: z.string(), metres: z.number() });
      return (await runnerOf(job).run(agentOf(job, { outputType }), job.question)).finalOutput;
    },
    async abort(job) {
      const stop = new AbortController();
      const result = await streamOf(job, { signal: stop.signal });
      return abortAfter(2, result.toTextStream(), () => stop.abort());
    },
  };
};

await run({ chat: tasksWith({ useResponses: false }), responses: tasksWith({}) });
