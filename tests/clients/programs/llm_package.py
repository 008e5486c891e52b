"""`llm`, with models as its `extra-openai-models.yaml` makes them."""

from typing import Any

from llm.default_plugins.openai_models import Chat, Responses

from tests.clients.programs.tasks import FOLLOW_UP, QUESTION, Forecast, Job, run, tide


def model_of(job: Job) -> Any:
    made = Responses if job.api == "responses" else Chat
    return made("broker", model_name=job.model, api_base=job.base_url, supports_schema=True, supports_tools=True)


def answer(job: Job) -> Any:
    return model_of(job).prompt(job.question, key=job.token, stream=False).text()


def stream(job: Job) -> list[str]:
    return [text for text in model_of(job).prompt(job.question, key=job.token) if text]


def tools(job: Job) -> dict[str, Any]:
    calls: list[dict[str, str]] = []

    def get_tide(place: str) -> str:
        """High water."""
        calls.append({"place": place})
        return tide(place)

    conversation = model_of(job).conversation()
    first = conversation.chain(QUESTION, tools=[get_tide], key=job.token).text()
    second = conversation.prompt(FOLLOW_UP, key=job.token, stream=False).text()
    return {"calls": calls, "texts": [first, second]}


def structured(job: Job) -> Any:
    reply = model_of(job).prompt(job.question, key=job.token, schema=Forecast)
    return Forecast.model_validate_json(reply.text()).model_dump()


if __name__ == "__main__":
    tasks = {one.__name__: one for one in (answer, stream, tools, structured)}
    run({"chat": tasks, "responses": tasks})
