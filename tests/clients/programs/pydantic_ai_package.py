"""pydantic-ai; `openai:gpt-4o` means the Responses API, `openai-chat:gpt-4o` chat completions."""

import asyncio
import time
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.programs.tasks import FOLLOW_UP, QUESTION, Forecast, Job, run_async, tide


def agent_of(job: Job, **more: Any) -> Agent[None, Any]:
    model = OpenAIResponsesModel if job.api == "responses" else OpenAIChatModel
    provider = OpenAIProvider(base_url=job.base_url, api_key=job.token)
    return Agent(model(job.model, provider=provider), **more)


async def answer(job: Job) -> Any:
    return (await agent_of(job).run(job.question)).output


async def stream(job: Job) -> list[str]:
    async with agent_of(job).run_stream(job.question) as result:
        return [text async for text in result.stream_text(delta=True, debounce_by=None) if text]


async def tools(job: Job) -> dict[str, Any]:
    calls: list[dict[str, str]] = []

    def get_tide(place: str) -> str:
        """High water."""
        calls.append({"place": place})
        return tide(place)

    agent = agent_of(job, tools=[get_tide])
    first = await agent.run(QUESTION)
    second = await agent.run(FOLLOW_UP, message_history=first.all_messages())
    return {"calls": calls, "texts": [first.output, second.output]}


async def structured(job: Job) -> Any:
    return (await agent_of(job, output_type=Forecast).run(job.question)).output.model_dump()


async def abort(job: Job) -> dict[str, float]:
    seen, at = 0, 0.0
    async with agent_of(job).run_stream(job.question) as result:
        async for text in result.stream_text(delta=True, debounce_by=None):
            seen += bool(text)
            if seen == 2:
                at = time.monotonic()
                await result.cancel()
                break
    await asyncio.sleep(1)
    return {"seen": seen, "at": at}


if __name__ == "__main__":
    tasks = {one.__name__: one for one in (answer, stream, tools, structured, abort)}
    run_async({"chat": tasks, "responses": tasks})
