"""OpenAI's Agents SDK, whose default is the Responses API."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, OpenAIProvider, RunConfig, Runner, RunResultStreaming, function_tool, set_tracing_disabled

from tests.clients.programs.tasks import FOLLOW_UP, QUESTION, Forecast, Job, run_async, tide

# traces go to api.openai.com, whatever the base URL is
set_tracing_disabled(disabled=True)


def config_of(job: Job) -> RunConfig:
    use_responses = None if job.api == "responses" else False  # None: its own default
    provider = OpenAIProvider(base_url=job.base_url, api_key=job.token, use_responses=use_responses)
    return RunConfig(model_provider=provider)


def agent_of(job: Job, **more: Any) -> Agent[Any]:
    return Agent(name="Harbour master", model=job.model, **more)


async def texts_of(result: RunResultStreaming) -> AsyncIterator[str]:
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            yield event.data.delta


async def answer(job: Job) -> Any:
    return (await Runner.run(agent_of(job), job.question, run_config=config_of(job))).final_output


async def stream(job: Job) -> list[str]:
    result = Runner.run_streamed(agent_of(job), job.question, run_config=config_of(job))
    return [text async for text in texts_of(result)]


async def tools(job: Job) -> dict[str, Any]:
    calls: list[dict[str, str]] = []

    @function_tool
    def get_tide(place: str) -> str:
        """High water."""
        calls.append({"place": place})
        return tide(place)

    agent, config = agent_of(job, tools=[get_tide]), config_of(job)
    first = await Runner.run(agent, QUESTION, run_config=config)
    messages: list[Any] = [*first.to_input_list(), {"role": "user", "content": FOLLOW_UP}]
    second = await Runner.run(agent, messages, run_config=config)
    return {"calls": calls, "texts": [first.final_output, second.final_output]}


async def structured(job: Job) -> Any:
    result = await Runner.run(agent_of(job, output_type=Forecast), job.question, run_config=config_of(job))
    return result.final_output.model_dump()


async def abort(job: Job) -> dict[str, float]:
    result = Runner.run_streamed(agent_of(job), job.question, run_config=config_of(job))
    seen = 0
    async with contextlib.aclosing(texts_of(result)) as texts:  # type: ignore[type-var] # it is a generator
        async for text in texts:
            seen += bool(text)
            if seen == 2:
                break
    at = time.monotonic()
    result.cancel()
    await asyncio.sleep(1)
    return {"seen": seen, "at": at}


if __name__ == "__main__":
    tasks = {one.__name__: one for one in (answer, stream, tools, structured, abort)}
    run_async({"chat": tasks, "responses": tasks})
