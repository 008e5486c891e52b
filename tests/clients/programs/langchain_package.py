"""LangChain with its package for OpenAI."""

from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.clients.programs.tasks import FOLLOW_UP, QUESTION, Forecast, Job, abort_after, run, tide

TOOL = {
    "type": "function",
    "function": {
        "name": "get_tide",
        "description": "High water",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}


def model_of(job: Job) -> ChatOpenAI:
    return ChatOpenAI(
        model=job.model, base_url=job.base_url, api_key=lambda: job.token, use_responses_api=job.api == "responses"
    )


def answer(job: Job) -> str:
    return str(model_of(job).invoke(job.question).text)


def stream(job: Job) -> list[str]:
    return [str(chunk.text) for chunk in model_of(job).stream(job.question) if chunk.text]


def tools(job: Job) -> dict[str, Any]:
    model, calls = model_of(job).bind_tools([TOOL]), []
    messages: list[Any] = [HumanMessage(QUESTION)]
    reply = model.invoke(messages)
    while reply.tool_calls:
        messages.append(reply)
        for call in reply.tool_calls:
            calls.append(call["args"])
            messages.append(ToolMessage(tide(**call["args"]), tool_call_id=call["id"]))
        reply = model.invoke(messages)
    second = model.invoke([*messages, reply, HumanMessage(FOLLOW_UP)])
    return {"calls": calls, "texts": [str(reply.text), str(second.text)]}


def structured(job: Job) -> dict[str, Any]:
    forecast = model_of(job).with_structured_output(Forecast).invoke(job.question)
    assert isinstance(forecast, Forecast)
    return forecast.model_dump()


def abort(job: Job) -> dict[str, float]:
    chunks = model_of(job).stream(job.question)
    return abort_after(2, (str(chunk.text) for chunk in chunks), chunks.close)  # type: ignore[attr-defined]


if __name__ == "__main__":
    tasks = {one.__name__: one for one in (answer, stream, tools, structured, abort)}
    run({"chat": tasks, "responses": tasks})
