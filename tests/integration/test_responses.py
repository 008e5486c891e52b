"""`/v1/responses` with real programs: OpenAI's bytes, the owner of each id, counting, and failures."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
import requests

from broker.errors.last_lines import event
from deploy.local import response_shapes
from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.client_disconnect import disconnect_during_silence
from tests.integration.conftest import StartBroker, User
from tests.integration.redis_process import RedisProcess
from tests.integration.waiting import within
from tests.recorded import response_named

NewUser = Callable[[BrokerProcess], User]
TOOL = {
    "type": "function",
    "name": "tide_at",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
}


def create(user: User, **members: object) -> requests.Response:
    body = {"model": "gpt-4o", "input": "hello", **members}
    return user.post("/v1/responses", body, stream=bool(members.get("stream")))


def events(response: requests.Response) -> list[dict[str, Any]]:
    blocks = response.content.decode().split("\n\n")
    return [json.loads(block.partition("\ndata: ")[2]) for block in blocks if "data: " in block]


def begin(user: User, **members: object) -> dict[str, Any]:
    """Create a stored response of this user's."""
    response = create(user, **members)
    assert response.status_code == 200, response.text
    return dict(events(response)[-1]["response"] if members.get("stream") else response.json())


def asked(openai: OpenAIStandIn) -> int:
    return len([seen for seen in openai.seen if "/responses" in seen.path])


def error(response: requests.Response) -> dict[str, Any]:
    return dict(response.json()["error"])


@pytest.fixture
def grace(broker: BrokerProcess, new_user: NewUser) -> User:
    """Another user of the shared broker."""
    return new_user(broker)


@pytest.mark.parametrize("is_stream", [False, True])
def test_openais_bytes_are_passed_on(ada: User, openai: OpenAIStandIn, *, is_stream: bool) -> None:
    """The request has the bound and the user's pseudonym, the answer the day's remaining calls."""
    response = create(ada, stream=is_stream)
    assert response.headers["RateLimit"].startswith('"daily";r=49;')
    sent = openai.seen[-1].body
    assert (sent["max_output_tokens"], len(sent["safety_identifier"])) == (16_384, 64)
    if is_stream:
        assert [event["type"] for event in events(response)][::len(events(response)) - 1] == [
            "response.created", "response.completed"]  # fmt: skip
        text = "".join(event["delta"] for event in events(response) if event["type"] == "response.output_text.delta")
    else:
        text = response.json()["output"][0]["content"][0]["text"]
    assert text == openai.answer
    assert ada.get("/v1/usage").json()["used"] == 1


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_user_continues_reads_and_deletes_their_own(ada: User, openai: OpenAIStandIn, *, is_stream: bool) -> None:
    """Ids and references work over three turns with a function, streamed or not."""
    first = begin(ada, tools=[TOOL], input="Use your tools.", stream=is_stream)
    call = first["output"][0]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "noon"}
    by_reference = [{"type": "item_reference", "id": call["id"]}, output]
    second = begin(ada, tools=[TOOL], input=by_reference, stream=is_stream)
    third = begin(ada, tools=[TOOL], input=[output], previous_response_id=first["id"], stream=is_stream)
    kinds = [response["output"][0]["type"] for response in (first, second, third)]
    assert kinds == ["function_call", "message", "function_call"]  # of two calls, the reference alone names no question
    assert ada.get(f"/v1/responses/{third['id']}").json() == third
    listed = ada.get(f"/v1/responses/{third['id']}/input_items?limit=5&order=asc").json()
    assert [item["call_id"] for item in listed["data"]] == [call["call_id"]]
    assert ada.get(f"/v1/responses/{third['id']}/input_items?after={listed['last_id']}").status_code == 200
    assert ada.call("DELETE", f"/v1/responses/{third['id']}").json()["deleted"] is True


def uses(user: User, response: dict[str, Any]) -> Iterator[requests.Response]:
    """Yield every way to use a stored response."""
    response_id, item_id = response["id"], response["output"][0]["id"]
    yield user.get(f"/v1/responses/{response_id}")
    yield user.get(f"/v1/responses/{response_id}/input_items")
    yield user.call("DELETE", f"/v1/responses/{response_id}")
    yield create(user, previous_response_id=response_id)
    yield create(user, previous_response_id=response_id, stream=True, store=False)
    yield create(user, input=[{"type": "item_reference", "id": item_id}])
    yield create(user, input=[{"id": item_id}])  # the type may be absent
    yield create(user, input=[response["output"][0], {"role": "user", "content": "go on"}])


@pytest.mark.parametrize("is_stream", [False, True])
def test_no_other_user_can_continue_read_or_delete_it(
    ada: User, grace: User, openai: OpenAIStandIn, *, is_stream: bool
) -> None:
    """The answers are OpenAI's own for an unknown id; OpenAI is not asked and nothing counts."""
    response = begin(ada, stream=is_stream)
    before = asked(openai)
    for answer in uses(grace, response):
        expected = 400 if answer.request.body and b"previous_response_id" in answer.request.body else 404
        assert (answer.status_code, error(answer)["type"]) == (expected, "invalid_request_error"), answer.request.url
        assert "not found." in error(answer)["message"]
    assert asked(openai) == before
    assert grace.get("/v1/usage").json()["used"] == 0
    assert ada.get(f"/v1/responses/{response['id']}").status_code == 200


def test_an_unknown_id_has_openais_own_answers(ada: User, openai: OpenAIStandIn) -> None:
    """Status, code, param and sentence are the recorded ones."""
    assert error(ada.get("/v1/responses/resp_1")) == {
        "message": "Response with id 'resp_1' not found.", "type": "invalid_request_error", "param": None, "code": None,
    }  # fmt: skip
    assert error(create(ada, previous_response_id="resp_1")) == {
        "message": "Previous response with id 'resp_1' not found.", "type": "invalid_request_error",
        "param": "previous_response_id", "code": "previous_response_not_found",
    }  # fmt: skip
    assert asked(openai) == 0


def spellings(stored_id: str) -> list[str]:
    """Paths that a lax reader takes for this id's."""
    encoded = "".join(f"%{ord(letter):02X}" for letter in stored_id)
    wide = quote("".join(chr(ord(letter) + 0xFEE0) if letter.isalnum() else letter for letter in stored_id))
    bases = [
        "/v1/responses/",
        "/v1//responses/",
        "//v1/responses/",
        "/V1/Responses/",
        "/v1/responses//",
        "/responses/",
        "/v1/v1/responses/",
        "/v1/./responses/",
        "/v1/models/../responses/",
        "/v1/responses%2F",
        "/v1%2Fresponses/",
    ]
    ids = [
        stored_id,
        encoded,
        stored_id.upper(),
        wide,
        quote(encoded),
        "%20" + stored_id,
        "%E2%80%8B" + stored_id,
        f"x/../{stored_id}",
    ]
    ends = ("%00", "%0A", "/", "/.", "%2F", ";x=1", "/input_items", "/input_items/", "%2Finput_items", "/cancel")
    ids += [stored_id + end for end in (*ends, "?stream=true", "?id=" + stored_id)]
    return [base + one for base in bases for one in ids]


def test_no_spelling_of_a_path_opens_it(ada: User, grace: User, openai: OpenAIStandIn) -> None:
    """Percent-encoding, doubled slashes, case, look-alikes and dots never reach OpenAI and never give a 200."""
    response = begin(ada)
    before = asked(openai)
    for path in spellings(response["id"]):
        for method in ("GET", "DELETE"):
            request = requests.Request(method, grace.url + "/", headers=grace.headers).prepare()
            request.url = grace.url + path  # unchanged: `requests` would tidy it
            with requests.Session() as session:
                assert session.send(request, timeout=10).status_code in (400, 404, 405), path
    assert asked(openai) == before


QUERIES = (
    "stream=true",
    "stream=true&starting_after=0",
    "starting_after=1",
    "include=message.output_text.logprobs",
    "include[]=reasoning.encrypted_content&stream=false",
    "limit=1&order=asc",
    "after={item}",
    "previous_response_id={response}",
    "id={response}",
)


def test_no_query_opens_it(ada: User, grace: User, openai: OpenAIStandIn) -> None:
    """Another user's response is unknown with every query; the owner's may not be replayed as a stream."""
    response = begin(ada)
    named = {"response": response["id"], "item": response["output"][0]["id"]}
    before = asked(openai)
    for query in QUERIES:
        for path in ("", "/input_items"):
            answer = grace.get(f"/v1/responses/{response['id']}{path}?{query.format(**named)}")
            assert (answer.status_code, error(answer)["type"]) == (404, "invalid_request_error"), query
    for query in ("stream=true", "stream=true&starting_after=0", "starting_after=1", "user=x"):
        refused = ada.get(f"/v1/responses/{response['id']}?{query}")
        assert (refused.status_code, error(refused)["code"]) == (400, "unsupported_parameter"), query
    assert asked(openai) == before
    assert ada.get(f"/v1/responses/{response['id']}?include[]=message.output_text.logprobs").status_code == 200


def test_a_list_goes_on_only_after_an_item_of_the_callers(ada: User, grace: User, openai: OpenAIStandIn) -> None:
    """The query may name the item twice, or in another spelling."""
    theirs, own = begin(ada), begin(grace)
    foreign, path = theirs["output"][0]["id"], f"/v1/responses/{own['id']}/input_items"
    mine = grace.get(path).json()["last_id"]
    before = asked(openai)
    for after in (foreign, foreign.upper(), f"%20{foreign}", f"{foreign}%00", f"{mine}&after={foreign}", theirs["id"]):
        answer = grace.get(f"{path}?after={after}")
        assert (answer.status_code, error(answer)["param"]) == (404, "input"), after
    assert asked(openai) == before
    assert grace.get(f"{path}?after={mine}").status_code == 200


def test_no_item_of_another_user_is_taken_in_full(ada: User, grace: User, openai: OpenAIStandIn) -> None:
    """Clients send earlier items back with their ids: calls, reasoning, messages, outputs, at any depth."""
    call = begin(ada, tools=[TOOL], input="Use your tools.")["output"][0]
    text = begin(ada)["output"][0]
    reasoning = {"type": "reasoning", "summary": [], "encrypted_content": "x", "id": text["id"]}
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "noon"}
    inputs: list[list[dict[str, Any]]] = [
        [call, output],
        [{**call, "id": None}, {**output, "id": call["id"]}],
        [text],
        [reasoning],
        [{"role": "user", "content": "x"}, {"role": "assistant", "id": text["id"], "content": "x"}],
        [{**output, "output": [{"type": "item_reference", "id": text["id"]}]}],
        [{"type": "item_reference", "id": [text["id"]]}],
        [{"role": "user", "content": [{"type": "input_text", "text": "x", "item_id": text["id"]}]}],
    ]
    before = asked(openai)
    for items in inputs:
        answer = create(grace, input=items)
        assert (answer.status_code, error(answer)["param"]) == (404, "input"), items
    assert asked(openai) == before
    assert create(ada, input=[call, output]).status_code == create(ada, input=[text]).status_code == 200


def test_an_absent_previous_response_begins_anew(ada: User, grace: User, openai: OpenAIStandIn) -> None:
    """Null is absent; an empty or a blank id is unknown; another type is refused."""
    begin(ada)
    assert create(grace, previous_response_id=None).status_code == 200
    assert "previous_response_id" not in openai.seen[-1].body
    before = asked(openai)
    odd: object
    for odd in ("", " ", "null", "resp_", "*", "%", 0, False, [], {}):
        assert create(grace, previous_response_id=odd).status_code == 400, odd
    assert asked(openai) == before


CHANGES: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    lambda one: f" {one}",
    lambda one: f"{one}\n",
    lambda one: f"{one}\x00",
    lambda one: f"{one}\u200b",
    lambda one: one.replace("_", "\uff3f"),
    lambda _: "",
    lambda one: one * 900,
)


@pytest.mark.parametrize("member", ["previous_response_id", "reference", "item", "nested"])
def test_no_spelling_of_an_id_opens_it(ada: User, grace: User, openai: OpenAIStandIn, member: str) -> None:
    """Escapes, case, blanks and look-alikes in a body are refused, and so is an id at any depth."""
    response = begin(ada)
    stored, item = response["id"], response["output"][0]["id"]
    before = asked(openai)
    for change in CHANGES:
        members: dict[str, dict[str, object]] = {
            "previous_response_id": {"previous_response_id": change(stored)},
            "reference": {"input": [{"type": "item_reference", "id": change(item)}]},
            "item": {
                "input": [{"role": "user", "content": "x"}, {"type": "reasoning", "id": change(item), "summary": []}]
            },
            "nested": {
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "id": change(item)}]}]
            },
        }
        assert create(grace, **members[member]).status_code in (400, 404)
    escaped = json.dumps({"model": "gpt-4o", "input": "x", "previous_response_id": stored})
    escaped = escaped.replace(stored, "".join(f"\\u{ord(letter):04x}" for letter in stored))
    assert grace.call("POST", "/v1/responses", data=escaped).status_code == 400
    assert asked(openai) == before


def test_a_deleted_response_is_forgotten(ada: User, openai: OpenAIStandIn) -> None:
    """The response and its items are forgotten; the others stay."""
    kept, deleted = begin(ada), begin(ada)
    assert ada.call("DELETE", f"/v1/responses/{deleted['id']}").status_code == 200
    before = asked(openai)
    assert {answer.status_code for answer in uses(ada, deleted)} == {400, 404}
    assert asked(openai) == before
    assert ada.get(f"/v1/responses/{kept['id']}").status_code == 200


def test_an_item_outlives_a_later_response_that_was_made_from_it(ada: User, openai: OpenAIStandIn) -> None:
    """The later response's input is listed, with the item in it, before that response is deleted."""
    item_id = begin(ada)["output"][0]["id"]
    again = [{"type": "item_reference", "id": item_id}, {"role": "user", "content": "go on"}]
    later = begin(ada, input=again)
    listed = ada.get(f"/v1/responses/{later['id']}/input_items").json()
    assert item_id in [item["id"] for item in listed["data"]]
    assert ada.call("DELETE", f"/v1/responses/{later['id']}").status_code == 200
    assert create(ada, input=again).status_code == 200


def test_an_owner_is_known_to_every_worker_and_after_a_restart(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Redis holds it. Another project's user with the same id is another user."""
    first = start_broker()
    user = new_user(first)
    response = begin(user)
    first.end()
    again = User(user.id, start_broker(WEB_CONCURRENCY="2").url, user.token)
    assert {again.get(f"/v1/responses/{response['id']}").status_code for _ in range(6)} == {200}


def test_an_id_is_known_before_the_client_sees_it(ada: User, openai: OpenAIStandIn) -> None:
    """A client may use an id during the stream that delivered it."""
    openai.token_delay = 0.05
    seen = set()
    for line in create(ada, stream=True).iter_lines():
        if line.startswith(b"data: ") and (event := json.loads(line[6:]))["type"].endswith("item.added"):
            answer = create(
                ada, input=[{"type": "item_reference", "id": event["item"]["id"]}, {"role": "user", "content": "x"}]
            )
            seen.add(answer.status_code)
    assert seen == {200}


def test_without_redis_no_id_is_passed_on(
    start_broker: StartBroker, new_user: NewUser, own_redis: RedisProcess, openai: OpenAIStandIn
) -> None:
    """The 503 comes even if calls are counted without Redis. Ids of answers given meanwhile are known afterwards."""
    user = new_user(start_broker(REDIS_URL=own_redis.url, USAGE_WITHOUT_REDIS="allow", WEB_CONCURRENCY="1"))
    response = begin(user)
    own_redis.stop()
    before = asked(openai)
    for answer in list(uses(user, response))[3:]:
        assert (answer.status_code, error(answer)["code"]) == (503, "ownership_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    assert asked(openai) == before
    meanwhile = begin(user, stream=True)
    own_redis.start()
    within(5, lambda: user.get(f"/v1/responses/{meanwhile['id']}").status_code == 200)


@pytest.mark.parametrize("name", ["response_stream_incomplete", "response_stream_reasoning"])
def test_a_recorded_stream_is_passed_on_and_its_tokens_are_in_the_log(
    ada: User, broker: BrokerProcess, openai: OpenAIStandIn, name: str
) -> None:
    """Usage comes with the last event, also if that is `response.incomplete`."""
    openai.next(name)
    assert create(ada, stream=True).content == response_named(name).body

    def line() -> dict[str, Any]:
        return next((line for line in broker.log_lines() if line["user"] == ada.id), {})

    within(1, lambda: bool(line()))
    assert (line()["prompt_tokens"], line()["completion_tokens"], line()["model"]) == (12, 30, "gpt-4o")
    assert (line()["endpoint"], line()["outcome"]) == ("/v1/responses", "answered")


def test_the_limit_is_exact_here_too(start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn) -> None:
    """Both APIs at once give exactly the day's calls; stored responses are read without a call left."""
    user = new_user(start_broker(DAILY_LIMIT="10", WEB_CONCURRENCY="2"))
    stored = begin(user)

    def call(number: int) -> int:
        return (create(user) if number % 2 else user.post("/gpt-4o", {"messages": "x"})).status_code

    with ThreadPoolExecutor(30) as pool:
        assert Counter(pool.map(call, range(30))) == {200: 9, 429: 21}
    assert user.get(f"/v1/responses/{stored['id']}").status_code == 200


@pytest.mark.parametrize("is_stream", [False, True])
def test_leaving_ends_the_call_at_openai(
    broker: BrokerProcess, ada: User, openai: OpenAIStandIn, *, is_stream: bool
) -> None:
    """It ends within a second."""
    openai.next("silent_mid_stream" if is_stream else "silent")
    body = {"model": "gpt-4o", "input": "hello", "stream": is_stream}
    disconnect_during_silence(broker, openai, ada, "/v1/responses", body)


def begin_a_long_one(user: User, openai: OpenAIStandIn) -> dict[str, Any]:
    """Create a response of 5,040 tokens: 5,000 of input, 40 of output."""
    usage = response_shapes.usage_of(40) | {"input_tokens": 5_000, "total_tokens": 5_040}
    shape = response_shapes.new_response({"model": "gpt-4o"}) | {"output": [response_shapes.message("x")]}
    openai.next("events", body=b"".join(response_shapes.events(shape | {"usage": usage})).decode())
    return begin(user, stream=True)


def tokens(user: User, kind: str = "used") -> int:
    return int(user.get("/v1/usage").json()["tokens"][kind])


def leave(user: User, openai: OpenAIStandIn, **members: object) -> str:
    """Continue a response, leave after its first text, and return its id."""
    openai.next("silent_mid_stream", events=5)
    with create(user, stream=True, **members) as response:
        read = b""
        while b".delta" not in read:
            read += response.raw.read1(65_536)
    within(2, lambda: tokens(user, "reserved") == 0)
    return str(json.loads(read.partition(b"data: ")[2].partition(b"\n")[0])["response"]["id"])


def test_a_user_who_leaves_is_charged_the_stored_context(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """OpenAI bills it again with every turn, also if the turn before broke off."""
    user = new_user(start_broker(DAILY_TOKENS="100000", WEB_CONCURRENCY="1"))
    first = begin_a_long_one(user, openai)
    assert tokens(user) == 5_040
    second = leave(user, openai, previous_response_id=first["id"])
    charged = tokens(user) - 5_040
    assert 5_040 < charged < 5_120
    leave(user, openai, previous_response_id=second)
    assert charged < tokens(user) - charged - 5_040 < charged + 80


def test_parallel_calls_reserve_the_stored_context(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """The budget suffices for one continuation. The other is refused, and OpenAI is not asked."""
    user = new_user(start_broker(DAILY_TOKENS="11000", MIN_OUTPUT_TOKENS="60", WEB_CONCURRENCY="1"))
    first = begin_a_long_one(user, openai)
    openai.next("silent_mid_stream", events=5)
    with create(user, stream=True, previous_response_id=first["id"], max_output_tokens=100):
        assert 5_140 < tokens(user, "reserved") < 5_220
        before = asked(openai)
        refused = create(user, previous_response_id=first["id"])
        assert (refused.status_code, error(refused)["code"]) == (429, "daily_tokens_exceeded")
        assert asked(openai) == before
        assert create(user).status_code == 200


def test_a_function_with_an_optional_argument_passes(ada: User, openai: OpenAIStandIn) -> None:
    """Its schema's `type` is an array, as SDKs write it for strict functions. Both APIs take it."""
    function = {
        "name": "tide_at", "strict": True,
        "parameters": {"type": "object", "properties": {"at": {"type": ["string", "null"]}}},
    }  # fmt: skip
    assert create(ada, tools=[{"type": "function", **function}]).status_code == 200
    assert openai.seen[-1].body["tools"] == [{"type": "function", **function}]
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    answer = ada.post("/v1/chat/completions", {**chat, "tools": [{"type": "function", "function": function}]})
    assert answer.status_code == 200


def test_a_successor_model_serves_both_names(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """The patch is in the Responses API's spelling, and a refused temperature is left out."""
    models = '{"gpt-4o": {"model": "gpt-6-luna", "reasoning_effort": "none"}, "gpt-4o-mini": "gpt-6-luna"}'
    user = new_user(start_broker(MODELS=models, WEB_CONCURRENCY="1"))
    assert create(user, temperature=0.2).status_code == 200
    assert openai.seen[-1].body["reasoning"] == {"effort": "none"}
    response = create(user, model="gpt-4o-mini", temperature=0.2)
    assert (response.status_code, response.headers["X-Dropped-Parameters"]) == (200, "temperature")


def test_a_citation_of_a_hosted_tool_is_sent_back_by_its_reader_only(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """SDKs send earlier items back in full, with the files that they cite. No other place takes a file's id."""
    broker = start_broker(HOSTED_TOOLS="file_search", WEB_CONCURRENCY="1")
    reader, stranger = new_user(broker), new_user(broker)
    search = {"id": "fs_1", "type": "file_search_call", "queries": ["tide"], "results": [{"file_id": "file-2"}]}
    text = response_shapes.message("high water")
    text["content"][0]["annotations"] = [{"type": "file_citation", "index": 0, "file_id": "file-1", "filename": "a"}]
    cited = response_shapes.new_response({"model": "gpt-4o"}) | {"output": [search, text]}
    last = event("response.completed", {"type": "response.completed", "response": cited})
    openai.next("events", body=last.decode())
    assert create(reader, stream=True).status_code == 200
    again = [search, text, {"role": "user", "content": "go on"}]
    assert create(reader, input=again).status_code == 200
    assert create(stranger, input=again).status_code == 404
    for forged in (text | {"id": None}, search | {"id": None}):
        assert create(stranger, input=[forged]).status_code == 404
    file = {"type": "input_file", "file_id": "file-1"}
    for content in ([file], [{"type": "input_text", "text": "x", "annotations": {"file_ids": ["file-1"]}}]):
        assert create(reader, input=[{"role": "user", "content": content}]).status_code == 400


def test_without_a_token_there_is_no_answer(broker: BrokerProcess, openai: OpenAIStandIn) -> None:
    """Every route refuses."""
    for method, path in (("POST", ""), ("GET", "/resp_1"), ("DELETE", "/resp_1"), ("GET", "/resp_1/input_items")):
        assert requests.request(method, f"{broker.url}/v1/responses{path}", timeout=5).status_code == 401
    assert asked(openai) == 0


NOT_OFFERED: dict[str, dict[str, object]] = {
    "background": {"background": True},
    "conversation": {"conversation": "conv_1"},
    "prompt": {"prompt": {"id": "pmpt_1"}},
    "tools[0].type": {"tools": [{"type": "web_search"}]},
    "input[0].type": {"input": [{"type": "mcp_call", "id": "mcp_1"}]},
    "input[0]": {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
}


@pytest.mark.parametrize(("param", "members"), NOT_OFFERED.items(), ids=NOT_OFFERED)
def test_a_feature_that_is_not_offered_is_refused_in_openais_format(
    ada: User, openai: OpenAIStandIn, param: str, members: dict[str, object]
) -> None:
    """The sentence gives the reason. OpenAI is not asked, and the call costs nothing."""
    refused = create(ada, **members)
    assert (refused.status_code, set(error(refused))) == (400, {"message", "type", "param", "code"})
    assert (error(refused)["type"], error(refused)["param"]) == ("invalid_request_error", param)
    assert len(error(refused)["message"]) > 20
    assert (asked(openai), ada.get("/v1/usage").json()["used"]) == (0, 0)


def test_the_operator_allows_hosted_tools_and_refuses_to_store(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """A listed tool reaches OpenAI, another is refused. Without `store: false` the error names each SDK's option."""
    user = new_user(start_broker(RESPONSES_STORE="refuse", HOSTED_TOOLS="web_search", WEB_CONCURRENCY="1"))
    for members in ({}, {"store": True}, {"stream": True}):
        refused = create(user, **members)
        assert (refused.status_code, error(refused)["code"]) == (400, "store_refused")
        assert "providerOptions: {openai: {store: false}}" in error(refused)["message"]
    assert create(user, store=False, tools=[{"type": "code_interpreter"}]).status_code == 400
    assert asked(openai) == 0
    response = begin(user, store=False, tools=[{"type": "web_search"}], include=["reasoning.encrypted_content"])
    sent = openai.seen[-1].body
    assert (sent["store"], sent["tools"]) == (False, [{"type": "web_search"}])
    assert user.get(f"/v1/responses/{response['id']}").status_code == 404  # OpenAI has not stored it
