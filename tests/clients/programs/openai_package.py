"""OpenAI's official package."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from openai import OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from openai.types.responses import FunctionToolParam, ResponseInputParam, ResponseStreamEvent

from tests.clients.programs.tasks import FOLLOW_UP, QUESTION, Forecast, Job, abort_after, run, tide

TIDE: dict[str, object] = {
    "type": "object",
    "properties": {"place": {"type": "string"}},
    "required": ["place"],
    "additionalProperties": False,
}
CHAT_TOOL: ChatCompletionFunctionToolParam = {"type": "function", "function": {"name": "get_tide", "parameters": TIDE}}
RESPONSES_TOOL: FunctionToolParam = {"type": "function", "name": "get_tide", "parameters": TIDE, "strict": True}


def client_of(job: Job) -> OpenAI:
    return OpenAI(base_url=job.base_url, api_key=job.token)


def user(content: str) -> ChatCompletionMessageParam:
    return {"role": "user", "content": content}


def chat_texts(stream: Iterable[ChatCompletionChunk]) -> Iterator[str | None]:
    for chunk in stream:
        yield chunk.choices[0].delta.content if chunk.choices else None


def response_texts(stream: Iterable[ResponseStreamEvent]) -> Iterator[str]:
    for event in stream:
        if event.type == "response.output_text.delta":
            yield event.delta


def chat_answer(job: Job) -> str | None:
    made = client_of(job).chat.completions.create(model=job.model, messages=[user(job.question)])
    return made.choices[0].message.content


def chat_stream(job: Job) -> list[str]:
    made = client_of(job).chat.completions.create(model=job.model, messages=[user(job.question)], stream=True)
    return [text for text in chat_texts(made) if text]


def chat_tools(job: Job) -> dict[str, Any]:
    client, calls, texts = client_of(job), [], []
    messages: list[Any] = [user(QUESTION)]
    for question in (None, FOLLOW_UP):
        messages += [user(question)] if question else []
        message = (
            client.chat.completions.create(model=job.model, messages=messages, tools=[CHAT_TOOL]).choices[0].message
        )
        while message.tool_calls:
            messages.append(message)
            for call in message.tool_calls:
                assert call.type == "function"
                calls.append(json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": tide(**calls[-1])})
            made = client.chat.completions.create(model=job.model, messages=messages, tools=[CHAT_TOOL])
            message = made.choices[0].message
        messages.append(message)
        texts.append(message.content)
    return {"calls": calls, "texts": texts}


def chat_structured(job: Job) -> dict[str, Any]:
    made = client_of(job).chat.completions.parse(
        model=job.model, messages=[user(job.question)], response_format=Forecast
    )
    forecast = made.choices[0].message.parsed
    assert forecast
    return forecast.model_dump()


def chat_abort(job: Job) -> dict[str, float]:
    stream = client_of(job).chat.completions.create(model=job.model, messages=[user(job.question)], stream=True)
    return abort_after(2, chat_texts(stream), stream.close)


def responses_answer(job: Job) -> str:
    return client_of(job).responses.create(model=job.model, input=job.question).output_text


def responses_stream(job: Job) -> list[str]:
    return list(response_texts(client_of(job).responses.create(model=job.model, input=job.question, stream=True)))


def responses_tools(job: Job) -> dict[str, Any]:
    client, calls = client_of(job), []
    made = client.responses.create(model=job.model, input=QUESTION, tools=[RESPONSES_TOOL])
    while asked := [item for item in made.output if item.type == "function_call"]:
        results: ResponseInputParam = []
        for call in asked:
            calls.append(json.loads(call.arguments))
            output = tide(**calls[-1])
            results.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
        made = client.responses.create(
            model=job.model, input=results, tools=[RESPONSES_TOOL], previous_response_id=made.id
        )
    second = client.responses.create(model=job.model, input=FOLLOW_UP, previous_response_id=made.id)
    return {"calls": calls, "texts": [made.output_text, second.output_text]}


def responses_structured(job: Job) -> dict[str, Any]:
    made = client_of(job).responses.parse(model=job.model, input=job.question, text_format=Forecast)
    assert made.output_parsed
    return made.output_parsed.model_dump()


def responses_abort(job: Job) -> dict[str, float]:
    stream = client_of(job).responses.create(model=job.model, input=job.question, stream=True)
    return abort_after(2, response_texts(stream), stream.close)


if __name__ == "__main__":
    run(
        {
            "chat": {
                "answer": chat_answer,
                "stream": chat_stream,
                "tools": chat_tools,
                "structured": chat_structured,
                "abort": chat_abort,
            },
            "responses": {
                "answer": responses_answer,
                "stream": responses_stream,
                "tools": responses_tools,
                "structured": responses_structured,
                "abort": responses_abort,
            },
        }
    )
