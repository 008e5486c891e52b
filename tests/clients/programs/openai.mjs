// OpenAI's official package.
import OpenAI from "openai";
import { FOLLOW_UP, FORECAST, QUESTION, TIDE, abortAfter, collect, run, tide } from "./tasks.mjs";

const clientOf = ({ baseURL, token }) => new OpenAI({ baseURL, apiKey: token });
const user = (content) => [{ role: "user", content }];

async function* chatTexts(stream) {
  for await (const chunk of stream) yield chunk.choices[0]?.delta.content;
}

async function* responseTexts(stream) {
  for await (const event of stream) if (event.type === "response.output_text.delta") yield event.delta;
}

const chat = {
  async answer(job) {
    const made = await clientOf(job).chat.completions.create({ model: job.model, messages: user(job.question) });
    return made.choices[0].message.content;
  },
  async stream(job) {
    const body = { model: job.model, messages: user(job.question), stream: true };
    return collect(chatTexts(await clientOf(job).chat.completions.create(body)));
  },
  async tools(job) {
    const calls = [];
    const runner = clientOf(job).chat.completions.runTools({
      model: job.model,
      messages: user(QUESTION),
      tools: [
        {
          type: "function",
          function: {
            name: "get_tide",
            parameters: TIDE,
            parse: JSON.parse,
            function: (given) => (calls.push(given), tide(given)),
          },
        },
      ],
    });
    const first = await runner.finalContent();
    const messages = [...runner.messages, ...user(FOLLOW_UP)];
    const second = await clientOf(job).chat.completions.create({ model: job.model, messages });
    return { calls, texts: [first, second.choices[0].message.content] };
  },
  async structured(job) {
    const made = await clientOf(job).chat.completions.parse({
      model: job.model,
      messages: user(job.question),
      response_format: { type: "json_schema", json_schema: { name: "forecast", strict: true, schema: FORECAST } },
    });
    return JSON.parse(made.choices[0].message.content);
  },
  async abort(job) {
    const body = { model: job.model, messages: user(job.question), stream: true };
    const stream = await clientOf(job).chat.completions.create(body);
    return abortAfter(2, chatTexts(stream), () => stream.controller.abort());
  },
};

const responses = {
  async answer(job) {
    const made = await clientOf(job).responses.create({ model: job.model, input: job.question });
    return made.output_text;
  },
  async stream(job) {
    const body = { model: job.model, input: job.question, stream: true };
    return collect(responseTexts(await clientOf(job).responses.create(body)));
  },
  async tools(job) {
    const client = clientOf(job);
    const tools = [{ type: "function", name: "get_tide", parameters: TIDE, strict: true }];
    const calls = [];
    let made = await client.responses.create({ model: job.model, input: QUESTION, tools });
    for (let asked; (asked = made.output.filter((item) => item.type === "function_call")).length; ) {
      const input = asked.map((call) => {
        calls.push(JSON.parse(call.arguments));
        return { type: "function_call_output", call_id: call.call_id, output: tide(calls.at(-1)) };
      });
      made = await client.responses.create({ model: job.model, input, tools, previous_response_id: made.id });
    }
    const body = { model: job.model, input: FOLLOW_UP, previous_response_id: made.id };
    const second = await client.responses.create(body);
    return { calls, texts: [made.output_text, second.output_text] };
  },
  async structured(job) {
    const format = { type: "json_schema", name: "forecast", strict: true, schema: FORECAST };
    const made = await clientOf(job).responses.create({ model: job.model, input: job.question, text: { format } });
    return JSON.parse(made.output_text);
  },
  async abort(job) {
    const stream = await clientOf(job).responses.create({ model: job.model, input: job.question, stream: true });
    return abortAfter(2, responseTexts(stream), () => stream.controller.abort());
  },
};

await run({ chat, responses });
