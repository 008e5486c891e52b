"""Streams under /v1: OpenAI's bytes, promptly, kept alive, counted, and ended with an error event after a failure."""

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.client_disconnect import disconnect_during_silence
from tests.integration.conftest import StartBroker, User
from tests.integration.reading import read_promptly, reads_of
from tests.integration.waiting import within
from tests.recorded import RecordedReply, streams
from tests.unit.openai.streaming.test_chat_relay import for_client
from tests.unit.openai.streaming.test_sse import event, expected, finish

WARM = 4  # OPENAI_WARM_CONNECTIONS
NewUser = Callable[[BrokerProcess], User]
HELLO = [{"role": "user", "content": "hello"}]
PING = b": ping\n\n"


def ask(user: User, **members: object) -> requests.Response:
    """Return a streamed completion with an unread body."""
    body = {"model": "gpt-4o", "messages": HELLO, "stream": True, **members}
    return user.post("/v1/chat/completions", body, stream=True)


def error_at_the_end(body: bytes) -> dict[str, object]:
    """Return the error object of the last event."""
    last = json.loads(body.rstrip().rpartition(b"\n\n")[2].removeprefix(b"data: "))
    assert list(last) == ["error"]
    assert set(last["error"]) == {"message", "type", "param", "code"}
    return dict(last["error"])


def used(user: User) -> int:
    return int(user.get("/v1/usage").json()["used"])


@pytest.mark.parametrize("with_usage", [True, False])
@pytest.mark.parametrize("reply", streams(), ids=lambda reply: reply.name)
def test_every_recorded_stream_is_passed_on(
    ada: User, openai: OpenAIStandIn, reply: RecordedReply, *, with_usage: bool
) -> None:
    """The bytes are unchanged without an unrequested usage chunk, and end with an error if OpenAI broke off."""
    openai.next(reply.name)
    response = ask(ada, **({"stream_options": {"include_usage": True}} if with_usage else {}))
    text, end = expected(reply)
    calls = b"tool_calls" in reply.body
    if end != "complete" and not (text or calls):
        assert response.status_code == 502
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        assert used(ada) == 0
        return
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["X-Accel-Buffering"] == "no"
    body, theirs = response.content, for_client(reply.body, with_usage=with_usage)
    assert body.startswith(theirs)
    if end == "complete":
        assert body == theirs
    else:
        assert error_at_the_end(body)["type"] in {"server_error", "model_error"}
        assert body.count(b"[DONE]") == theirs.count(b"[DONE]")
    assert used(ada) == 1


@pytest.mark.parametrize("behaviour", ["clumps", "split"])
def test_the_networks_cuts_do_not_matter(ada: User, openai: OpenAIStandIn, behaviour: str) -> None:
    """The bytes are the same."""
    openai.next(behaviour)
    body = ask(ada).content
    plain = ask(ada).content

    def pieces(stream: bytes) -> list[object]:
        return [json.loads(line[6:])["choices"] for line in stream.split(b"\n\n") if line.startswith(b"data: {")]

    assert pieces(body) == pieces(plain)
    assert body.endswith(b"data: [DONE]\n\n")


def test_events_leave_as_they_arrive(ada: User, openai: OpenAIStandIn) -> None:
    """The first arrives long before the last."""
    openai.token_delay = 0.02
    started = time.monotonic()
    response = ask(ada)
    reads = reads_of(response)
    next(reads)
    assert time.monotonic() - started < 0.3
    rest = list(reads)
    assert time.monotonic() - started > 0.5
    assert len(rest) > 20


def test_silence_is_filled_with_comments_between_events(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """There is one per interval, after the headers and midway. All other bytes are unchanged."""
    user = new_user(start_broker(STREAM_PING_INTERVAL="0.3"))
    for events in (0, 1, 4):
        openai.next("pause", events=events, seconds=1.1)
        started = time.monotonic()
        with ask(user) as response:
            assert response.status_code == 200
            assert time.monotonic() - started < 0.9
            body = response.content
        assert body.count(PING) in {2, 3}
        assert body.replace(PING, b"").endswith(b"data: [DONE]\n\n")
        assert body.split(b"\n\n").index(b": ping") == events


BEFORE_THE_TEXT = {
    "role chunks": event(role="assistant", content=""),
    "comments": b": ka\n\n",
    "ping events": b'event: ping\ndata: {"type": "ping"}\n\n',
    "reasoning": event(reasoning_content="thinking"),
}


@pytest.mark.parametrize("before", BEFORE_THE_TEXT.values(), ids=BEFORE_THE_TEXT.keys())
def test_the_first_byte_comes_within_the_ping_interval(
    broker_with: StartBroker, new_user: NewUser, openai: OpenAIStandIn, before: bytes
) -> None:
    """OpenAI may send other events before the text; these are passed on as they arrive."""
    user = new_user(broker_with(STREAM_PING_INTERVAL="0.6"))
    body = before * 10 + event(content="a") + finish() + b"data: [DONE]\n\n"
    openai.next("events", body=body.decode(), delay=0.2)
    reads = read_promptly(lambda: ask(user), 0.6 + 0.2)
    assert len(reads) > 7
    assert b"".join(reads) == body


def test_no_comment_breaks_an_event(start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn) -> None:
    """An incomplete event is completed first."""
    user = new_user(start_broker(STREAM_PING_INTERVAL="0.1"))
    openai.next("pause", events=3, bytes=40, seconds=0.5)
    body = ask(user).content
    assert PING not in body
    assert all(json.loads(block[6:]) for block in body.split(b"\n\n") if block.startswith(b"data: {"))
    assert body.endswith(b"data: [DONE]\n\n")


def test_silence_ends_at_the_time_out(start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn) -> None:
    """Comments do not extend it: the stream ends with an error, and costs nothing if nothing arrived."""
    user = new_user(start_broker(STREAM_PING_INTERVAL="0.2", OPENAI_SILENCE_TIMEOUT="0.7"))
    for behaviour, cost in (("silent_after_headers", 0), ("silent_mid_stream", 1)):
        before = used(user)
        openai.next(behaviour)
        started = time.monotonic()
        body = ask(user).content
        assert 0.6 < time.monotonic() - started < 1.5
        assert body.count(PING) in {2, 3}
        assert error_at_the_end(body)["code"] == "openai_timeout"
        assert b"[DONE]" not in body
        assert used(user) == before + cost


@pytest.mark.parametrize("behaviour", ["cut_mid_stream", "garbage_event"])
def test_a_stream_cut_short_ends_with_an_error(ada: User, openai: OpenAIStandIn, behaviour: str) -> None:
    """There is no `[DONE]`. The events before the cut are delivered, and the call counts."""
    openai.next(behaviour, events=5)
    body = ask(ada).content
    assert body.count(b"data: ") == 6
    assert error_at_the_end(body)["type"] == "server_error"
    assert b"[DONE]" not in body
    assert used(ada) == 1


def test_a_failure_before_the_answer_has_its_status(ada: User, openai: OpenAIStandIn) -> None:
    """The broker's status is sent when the answer begins. The call costs nothing."""
    for behaviour in ("stream_error_first", "cut_mid_stream"):
        openai.next(behaviour, events=1)
        response = ask(ada)
        assert (response.status_code, response.json()["error"]["type"]) == (502, "server_error")
    assert used(ada) == 0


@pytest.mark.parametrize("behaviour", ["silent", "silent_after_headers", "silent_mid_stream"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_leaves_is_noticed_within_a_second(
    ada: User, openai: OpenAIStandIn, broker: BrokerProcess, behaviour: str, *, is_stream: bool
) -> None:
    """The request to OpenAI is closed, even while OpenAI is silent. The call counts if an answer had begun."""
    openai.next(behaviour)
    body = {"model": "gpt-4o", "messages": HELLO, "stream": is_stream}
    disconnect_during_silence(broker, openai, ada, "/v1/chat/completions", body)
    assert used(ada) == (1 if is_stream and behaviour == "silent_mid_stream" else 0)


def test_the_limit_is_exact_here_too(start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn) -> None:
    """60 calls at once on 2 processes, streamed and whole, also on other endpoints, give exactly 20 answers."""
    user = new_user(start_broker(DAILY_LIMIT="20", WEB_CONCURRENCY="2"))
    openai.first_token_delay = 0.05

    def call(number: int) -> int:
        if number % 3 == 0:
            return user.post("/gpt-4o", {"messages": "x"}).status_code
        response = ask(user, stream=number % 3 == 1)
        assert response.content
        return response.status_code

    with ThreadPoolExecutor(60) as pool:
        assert Counter(pool.map(call, range(60))) == {200: 20, 429: 40}
    assert len(openai.completions()) == 20
    assert user.get("/v1/usage").json()["remaining"] == 0


def test_finished_streams_leave_their_connections_for_the_next(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """50 consecutive streams use one or two connections to OpenAI."""
    user = new_user(start_broker(WEB_CONCURRENCY="1", DAILY_LIMIT="100"))
    before = openai.connections_ever
    for _ in range(50):
        assert ask(user).content.endswith(b"data: [DONE]\n\n")
    assert openai.connections_ever - before <= 2 + WARM


def test_the_log_line_has_the_tokens(ada: User, broker: BrokerProcess, openai: OpenAIStandIn) -> None:
    """The client did not ask for the usage."""
    assert ask(ada).content
    ask(ada, stream=False)
    within(1, lambda: len([line for line in broker.log_lines() if line["user"] == ada.id]) >= 2)
    lines = [line for line in broker.log_lines() if line["user"] == ada.id]
    assert [line["prompt_tokens"] for line in lines] == [12, 12]
    assert all(line["completion_tokens"] > 10 for line in lines)
    assert all(line["model"] == "gpt-4o" for line in lines)


PDF = "data:application/pdf;base64,JVBERi0xLjQ="
PASSED: dict[str, tuple[str, dict[str, object]]] = {
    "chat completions": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"filename": "a", "file_data": PDF}}]}]},
    ),
    "responses": (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_file", "filename": "a", "file_data": PDF},
                                                {"type": "input_image", "image_url": "data:image/png;base64,eA=="}]}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body"), PASSED.values(), ids=PASSED)
def test_inline_files_flex_and_nulls_are_accepted(
    ada: User, openai: OpenAIStandIn, path: str, body: dict[str, object]
) -> None:
    """The parts reach OpenAI unchanged, a null is absent, and the user's names are replaced."""
    nulls = {"temperature": None, "stream_options": None, "tools": None, "metadata": None}
    own = {"user": "me", "safety_identifier": "me", "prompt_cache_key": "tides", "service_tier": "flex"}
    answer = ada.post(path, {"model": "gpt-4o", **body, **nulls, **own})
    assert answer.status_code == 200, answer.text
    sent = openai.seen[-1].body
    assert body.items() <= sent.items()
    assert (sent["service_tier"], sent["prompt_cache_key"], "user" in sent) == ("flex", "tides", False)
    assert len(sent["safety_identifier"]) == 64
    assert not nulls.keys() & sent.keys()
