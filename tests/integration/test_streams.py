"""Streams arrive promptly and whole, and end with an error line after a failure."""

import json
import time
from collections.abc import Callable

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from tests.integration.client_disconnect import disconnect_during_silence, log_lines_of
from tests.integration.conftest import StartBroker, User
from tests.integration.reading import reads_of
from tests.integration.test_v1_streams import ask, error_at_the_end
from tests.integration.waiting import within
from tests.recorded import RecordedReply, streams
from tests.unit.openai.streaming.test_sse import ODD, expected

WARM = 4  # OPENAI_WARM_CONNECTIONS
ERROR = {"error": "Error while streaming"}


def lines_of(response: requests.Response) -> list[dict[str, str]]:
    return [json.loads(line) for line in response.content.splitlines()]


def text_of(lines: list[dict[str, str]]) -> str:
    return "".join(line.get("data", "") for line in lines)


@pytest.mark.parametrize("reply", streams(), ids=lambda reply: reply.name)
def test_every_recorded_stream_arrives_whole(ada: User, openai: OpenAIStandIn, reply: RecordedReply) -> None:
    """Every byte of the text arrives, and an error line at the end if OpenAI broke off."""
    openai.next(reply.name)
    response = ada.stream()
    text, end = expected(reply)
    if end != "complete" and not text:
        assert response.status_code == 502
        return
    lines = lines_of(response)
    assert text_of(lines) == text
    assert [line for line in lines if "data" not in line] == ([] if end == "complete" else [ERROR])


@pytest.mark.parametrize("behaviour", ["clumps", "split", "no_done"])
def test_the_networks_cuts_do_not_matter(ada: User, openai: OpenAIStandIn, behaviour: str) -> None:
    """Clumps of events, bytes cut anywhere and a missing `[DONE]` give the same text."""
    openai.next(behaviour)
    lines = lines_of(ada.stream())
    assert text_of(lines) == ANSWER
    assert ERROR not in lines


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
def test_odd_bytes_that_the_standard_allows_are_read(ada: User, openai: OpenAIStandIn, body: bytes) -> None:
    """No text is lost, and a character that came in two chunks is in one line."""
    openai.next("events", body=body.decode())
    lines = lines_of(ada.stream())
    assert text_of(lines) == "Hi 🧩 there"
    assert ERROR not in lines
    assert sum("🧩" in line["data"] for line in lines) == 1


def test_text_leaves_as_it_arrives(ada: User, openai: OpenAIStandIn) -> None:
    """The first line arrives long before the last."""
    openai.token_delay = 0.02
    started = time.monotonic()
    response = ada.stream()
    reads = reads_of(response)
    next(reads)
    first = time.monotonic() - started
    rest = list(reads)
    assert first < 0.3
    assert time.monotonic() - started > 0.5
    assert len(rest) > 20


def test_all_events_of_one_read_leave_in_one_line(ada: User, openai: OpenAIStandIn) -> None:
    """Several tokens of one read leave in one write."""
    openai.next("clumps")  # data that is written at once is read at once, on a busy machine too
    response = ada.stream()
    assert len(lines_of(response)) < len(ANSWER.split()) / 2


@pytest.mark.parametrize("behaviour", ["cut_mid_stream", "garbage_event"])
def test_a_failure_midway_is_the_last_line(
    ada: User, openai: OpenAIStandIn, broker: BrokerProcess, behaviour: str
) -> None:
    """The text before it is delivered, the call counts, and the log has the outcome."""
    openai.next(behaviour, events=5)
    lines = lines_of(ada.stream())
    assert ANSWER.startswith(text_of(lines))
    assert text_of(lines)
    assert lines[-1] == ERROR
    assert ada.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=49;')
    endings = {line["outcome"] for line in broker.log_lines() if line["user"] == ada.id}
    assert endings & {"openai_stream_broken", "openai_answer_invalid"}


def test_a_failure_before_the_first_text_has_its_status(ada: User, openai: OpenAIStandIn) -> None:
    """The broker's status is sent with the first text only. The call costs nothing."""
    openai.next("stream_error_first")
    response = ada.stream()
    assert (response.status_code, response.json()["code"]) == (502, "openai_stream_broken")
    assert response.headers["RateLimit"].startswith('"daily";r=50;')


def test_silence_before_the_first_byte_times_out(
    broker_with: StartBroker, new_user: Callable[[BrokerProcess], User], openai: OpenAIStandIn
) -> None:
    """The answer is 504, and the call is given back."""
    user = new_user(broker_with(OPENAI_FIRST_BYTE_TIMEOUT="0.3", OPENAI_SILENCE_TIMEOUT="0.3"))
    for behaviour in ("silent", "silent_after_headers"):
        openai.next(behaviour)
        response = user.stream()
        assert (response.status_code, response.json()["code"]) == (504, "openai_timeout")
        assert response.headers["RateLimit"].startswith('"daily";r=50;')


def test_silence_midway_times_out(
    broker_with: StartBroker, new_user: Callable[[BrokerProcess], User], openai: OpenAIStandIn
) -> None:
    """The stream ends with the error line."""
    user = new_user(broker_with(OPENAI_FIRST_BYTE_TIMEOUT="0.3", OPENAI_SILENCE_TIMEOUT="0.3"))
    openai.next("silent_mid_stream")
    assert lines_of(user.stream())[-1] == ERROR


def test_a_call_has_an_end_even_if_openai_goes_on(
    start_broker: StartBroker, new_user: Callable[[BrokerProcess], User], openai: OpenAIStandIn
) -> None:
    """OPENAI_CALL_TIMEOUT bounds streams and whole answers."""
    user = new_user(start_broker(OPENAI_CALL_TIMEOUT="0.5"))
    openai.token_delay = 0.05
    assert lines_of(user.stream())[-1] == ERROR
    openai.next("silent")
    started = time.monotonic()
    assert user.post("/gpt-4o", {"messages": "x"}).status_code == 504
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("behaviour", ["silent", "silent_after_headers", "silent_mid_stream"])
@pytest.mark.parametrize("path", ["/stream", "/gpt-4o"])
def test_a_client_that_leaves_is_noticed_within_a_second(
    ada: User, openai: OpenAIStandIn, broker: BrokerProcess, behaviour: str, path: str
) -> None:
    """The request to OpenAI is closed, even while OpenAI is silent."""
    openai.next(behaviour)
    disconnect_during_silence(broker, openai, ada, path, {"messages": "x", "model": "gpt-4o"})


def test_leaving_midway_counts_and_leaving_before_does_not(ada: User, openai: OpenAIStandIn) -> None:
    """One call is one answer that OpenAI began to give."""
    openai.token_delay = 0.05
    with ada.stream() as response:
        response.raw.read1(100)
    within(1, lambda: openai.completions()[0].end == "peer left")
    assert ada.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=49;')


def test_finished_streams_leave_their_connections_for_the_next(
    start_broker: StartBroker, new_user: Callable[[BrokerProcess], User], openai: OpenAIStandIn
) -> None:
    """100 consecutive streams use one or two connections to OpenAI."""
    user = new_user(start_broker(WEB_CONCURRENCY="1", DAILY_LIMIT="200"))
    before = openai.connections_ever
    with requests.Session() as session:
        for _ in range(100):
            response = session.post(
                user.url + "/stream", headers=user.headers, json={"messages": "x", "model": "gpt-4o"}, timeout=10
            )
            assert text_of(lines_of(response)) == ANSWER
    assert openai.connections_ever - before <= 2 + WARM


def test_a_stopping_worker_ends_its_streams(
    start_broker: StartBroker, broker: BrokerProcess, new_user: Callable[[BrokerProcess], User], openai: OpenAIStandIn
) -> None:
    """A long stream gets its error line or event; the request to OpenAI is closed; the call counts."""
    own = start_broker(GRACEFUL_TIMEOUT="4")
    users = [new_user(own) for _ in range(2)]
    openai.next("silent_mid_stream", times=2)
    plain, sdk_s = users[0].stream(), ask(users[1])
    assert plain.raw.read1(1000)
    first = sdk_s.raw.read1(1000)
    own.process.terminate()
    assert plain.raw.read().endswith(b'{"error": "Error while streaming"}\n')
    assert error_at_the_end(first + sdk_s.raw.read())["code"] == "restarting"
    within(1, lambda: {one.end for one in openai.completions()} == {"peer left"})
    assert own.stop() == 0
    for user in users:
        assert [line["outcome"] for line in log_lines_of(own, user)] == ["restarting"]
        again = User(user.id, broker.url, user.token)
        assert again.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=49;')


def test_idle_connections_do_not_delay_the_end_of_a_worker(start_broker: StartBroker) -> None:
    """A proxy keeps some open."""
    broker = start_broker()
    with requests.Session() as session:
        session.get(broker.url + "/health", timeout=5)
        started = time.monotonic()
        assert broker.stop() == 0
        assert time.monotonic() - started < 5


def test_a_stopping_worker_lets_short_streams_finish(
    start_broker: StartBroker, new_user: Callable[[BrokerProcess], User], openai: OpenAIStandIn
) -> None:
    """It accepts no new call meanwhile."""
    broker = start_broker(GRACEFUL_TIMEOUT="10")
    user = new_user(broker)
    openai.token_delay = 0.03
    response = user.stream()
    first = response.raw.read1(1000)
    broker.process.terminate()
    time.sleep(0.3)
    with pytest.raises(requests.ConnectionError):
        user.post("/gpt-4o", {})
    lines = [json.loads(line) for line in (first + response.raw.read()).splitlines()]
    assert text_of(lines) == ANSWER
