// LangChain with its package for OpenAI.
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { FOLLOW_UP, FORECAST, QUESTION, TIDE, abortAfter, collect, run, tide } from "./tasks.mjs";

const TOOL = { type: "function", function: { name: "get_tide", description: "High water", parameters: TIDE } };

async function* textsOf(stream) {
  for await (const chunk of stream) yield chunk.text;
}

const tasksWith = (options) => {
  // by default it retries server errors six times, with growing waits
  const modelOf = ({ baseURL, token, model }) =>
    new ChatOpenAI({ model, apiKey: token, configuration: { baseURL }, maxRetries: 1, ...options });
  return {
    async answer(job) {
      return (await modelOf(job).invoke(job.question)).text;
    },
    async stream(job) {
      return collect(textsOf(await modelOf(job).stream(job.question)));
    },
    async tools(job) {
      const model = modelOf(job).bindTools([TOOL]);
      const messages = [new HumanMessage(QUESTION)];
      const calls = [];
      let answer = await model.invoke(messages);
      while (answer.tool_calls?.length) {
        messages.push(answer);
        for (const { id, args } of answer.tool_calls) {
          calls.push(args);
          messages.push(new ToolMessage({ tool_call_id: id, content: tide(args) }));
        }
        answer = await model.invoke(messages);
      }
      const second = await model.invoke([...messages, answer, new HumanMessage(FOLLOW_UP)]);
      return { calls, texts: [answer.text, second.text] };
    },
    async structured(job) {
      const schema = { title: "forecast", description: "A forecast", ...FORECAST };
      return modelOf(job).withStructuredOutput(schema, { method: "jsonSchema" }).invoke(job.question);
    },
    async abort(job) {
      const stop = new AbortController();
      const stream = await modelOf(job).stream(job.question, { signal: stop.signal });
      return abortAfter(2, textsOf(stream), () => stop.abort());
    },
  };
};

await run({ chat: tasksWith({}), responses: tasksWith({ useResponsesApi: true }) });
