"""The network to OpenAI as in production: TLS, proxies, NATs, slow DNS, slow uploads, odd responses."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from deploy.local.broker_process import ROOT, BrokerProcess, free_port
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.shapes import completion
from tests.integration import ledger
from tests.integration.conftest import StartBroker, User
from tests.integration.redis_process import RedisProcess
from tests.integration.starvation import Stopwatch
from tests.integration.waiting import within
from tests.network_path import NetworkPath
from tests.servers import ScriptedServer

NewUser = Callable[[BrokerProcess], User]
ASK = {"messages": "x", "model": "gpt-4o"}
BODY = json.dumps(completion("gpt-4o", "Hello there")).encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
SLOW = 1.5  # seconds; a call that waits for a time-out of the network takes longer
BIG = {"messages": [{"role": "user", "content": [
    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 7_000_000}}]}]}  # fmt: skip


@pytest.fixture
def path(openai: OpenAIStandIn) -> Iterator[NetworkPath]:
    """The network path from the broker to OpenAI."""
    path = NetworkPath(openai.port)
    yield path
    path.close()


def through(path: NetworkPath) -> dict[str, str]:
    return {"OPENAI_BASE_URL": f"https://127.0.0.1:{path.port}/v1", "WEB_CONCURRENCY": "1", "OPENAI_MAX_RETRIES": "0"}


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"\r\nHTTP/1.1 200 OK\r\n" + LENGTH, 200),
        (b"HTTP/1.1 200 OK\r\n" + LENGTH + LENGTH, 502),
        (b"HTTP/1.1 200 OK\r\nX-A : 1\r\n" + LENGTH, 502),
        (b"HTTP/1.1 200 OK\r\nX-A: 1\r\n  more\r\n" + LENGTH, 502),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n" + LENGTH, 502),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n" + LENGTH, 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n", 502),
    ],
)
def test_an_odd_head_is_read_or_refused_and_never_asked_for_again(
    ada: User, openai: OpenAIStandIn, head: bytes, status: int
) -> None:
    """A status of 200 means that OpenAI has worked, and charges for it."""
    openai.next("raw", times=3, data=head + b"\r\n" + BODY)
    response = ada.post("/gpt-4o", ASK)
    assert response.status_code == status
    assert len(openai.completions()) == 1
    if status == 200:
        assert response.json() == {"message": "Hello there"}
    else:
        assert response.json()["code"] == "openai_answer_invalid"


def test_connections_that_a_nat_forgot_are_not_used(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn, path: NetworkPath
) -> None:
    """Five idle connections are dropped silently; the calls after them take no longer."""
    broker = start_broker(OPENAI_IDLE_TIMEOUT="0.5", **through(path))
    user, at_once = new_user(broker), ThreadPoolExecutor(5)
    openai.first_token_delay = 0.2
    assert {one.status_code for one in at_once.map(lambda _: user.post("/gpt-4o", ASK), range(5))} == {200}
    time.sleep(0.6)
    path.forget()
    for _ in range(5):
        response = user.post("/gpt-4o", ASK)
        assert (response.status_code, response.elapsed.total_seconds() < SLOW) == (200, True)
    at_once.shutdown()


def test_a_connection_that_was_closed_while_idle_fails_no_call(
    start_broker: StartBroker, new_user: NewUser, path: NetworkPath
) -> None:
    """The call is not retried: OpenAI cannot have begun it."""
    broker = start_broker(**through(path))
    user = new_user(broker)
    for _ in range(5):
        assert user.post("/gpt-4o", ASK).status_code == 200
        path.cut()


def test_an_upload_that_openai_reads_slowly_ends_and_delays_no_other_call(
    start_broker: StartBroker, new_user: NewUser, path: NetworkPath, redis_server: RedisProcess
) -> None:
    """OpenAI stops reading 7 MB: the call fails after OPENAI_UPLOAD_TIMEOUT; the others' p99 is below 100 ms."""
    broker = start_broker(OPENAI_UPLOAD_TIMEOUT="2.5", DAILY_LIMIT="100000", **through(path))
    user, other = new_user(broker), new_user(broker)
    path.throttle_from, path.bytes_per_second = 500_000, 1_000.0
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(user.post, "/gpt-4o", BIG)
        time.sleep(0.3)
        times, watch = [], Stopwatch([*broker.workers(), redis_server.pid])
        while not upload.done():
            watch.restart()
            assert other.post("/gpt-4o", ASK).status_code == 200
            times.append(watch.seconds())
    assert upload.result().status_code == 504
    assert time.monotonic() - began < 6
    assert len(times) > 10
    assert sorted(times)[len(times) * 99 // 100] < 0.1


@pytest.mark.parametrize(("status", "code"), [(413, "refused_by_openai"), (429, "openai_rate_limited")])
def test_an_answer_during_an_upload_is_passed_on_at_once(
    start_broker: StartBroker, new_user: NewUser, status: int, code: str
) -> None:
    """OpenAI refuses a large body early and stops reading it."""
    body = b'{"error": {"message": "no", "type": "x", "param": null, "code": null}}'
    refusal = b"HTTP/1.1 %d No\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body
    server = ScriptedServer([refusal] * 10)
    server.reads_on = False
    broker = start_broker(OPENAI_BASE_URL=f"http://127.0.0.1:{server.port}/v1", OPENAI_MAX_RETRIES="0")
    response = new_user(broker).post("/gpt-4o", BIG)
    assert response.json()["code"] == code
    assert response.elapsed.total_seconds() < SLOW
    server.close()


def test_a_whole_answer_may_take_longer_than_the_first_byte_of_a_stream(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Only OPENAI_CALL_TIMEOUT limits it."""
    user = new_user(start_broker(OPENAI_FIRST_BYTE_TIMEOUT="0.3", OPENAI_SILENCE_TIMEOUT="0.3"))
    openai.next("slow_to_start", times=2, delay=1.0)
    assert user.post("/gpt-4o", ASK).status_code == 200
    with user.stream() as refused:
        assert refused.status_code == 504


def test_openai_is_reached_through_a_proxy(start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn) -> None:
    """HTTPS_PROXY names it. The hosts of NO_PROXY are reached directly."""
    for no_proxy in ("", "127.0.0.1"):
        proxy = NetworkPath(0, is_proxy=True)
        broker = start_broker(HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}", NO_PROXY=no_proxy)
        assert new_user(broker).post("/gpt-4o", ASK).status_code == 200
        heads = {head.split(b"\r\n")[0] for head in proxy.connects}
        assert heads == (set() if no_proxy else {b"CONNECT 127.0.0.1:%d HTTP/1.1" % openai.port})
        proxy.close()


@pytest.mark.parametrize("kind", ["refused", "dns", "tls", "certificate"])
def test_each_kind_of_connection_failure_is_named(
    start_broker: StartBroker, new_user: NewUser, path: NetworkPath, kind: str
) -> None:
    """One log line per failure, a metric and `/ready` name it."""
    path.garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    environ = {
        "refused": {"OPENAI_BASE_URL": f"https://127.0.0.1:{free_port()}/v1"},
        "dns": {"OPENAI_BASE_URL": "https://openai.invalid/v1"},
        "tls": {"OPENAI_BASE_URL": f"https://127.0.0.1:{path.port}/v1"},
        "certificate": {"SSL_CERT_FILE": ""},
    }[kind]
    broker = start_broker(OPENAI_MAX_RETRIES="0", WEB_CONCURRENCY="1", **environ)
    response = new_user(broker).post("/gpt-4o", ASK)
    assert (response.status_code, response.json()["code"]) == (502, "openai_unreachable")
    line = broker.log_lines("OpenAI cannot be reached")[-1]
    assert (line["kind"], line["host"]) == (kind, "openai.invalid" if kind == "dns" else "127.0.0.1")
    assert line["reason"]
    assert ledger.scrape(broker)[ledger.name_of("gpt_broker_openai_connection_failures_total", kind=kind)] >= 1
    ready = requests.get(broker.url + "/ready", timeout=5)
    assert (ready.status_code, ready.json()["parts"]["openai"]) == (503, f"unreachable ({kind})")


def test_an_answer_that_breaks_off_is_logged_with_its_cause(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Whole or streamed, one line each has the kind of the failure and its words."""
    broker = start_broker(WEB_CONCURRENCY="1")
    user = new_user(broker)
    openai.next("raw", times=2, data=b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + BODY[:-1])
    assert user.post("/gpt-4o", ASK).status_code == user.stream().status_code == 502
    within(2, lambda: len(broker.log_lines("OpenAI's answer broke off")) == 2)
    lines = broker.log_lines("OpenAI's answer broke off")
    assert [(line["kind"], line["reason"]) for line in lines] == [("cut", "IncompleteRead")] * 2


def test_a_slow_name_look_up_is_within_the_connect_time_out(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    broker = start_broker(
        OPENAI_BASE_URL=f"https://localhost:{openai.port}/v1", OPENAI_CONNECT_TIMEOUT="0.4", OPENAI_MAX_RETRIES="0",
        PYTHONPATH=str(ROOT / "tests" / "slow_dns"), SLOW_NAMES="localhost", SLOW_DNS="3",
    )  # fmt: skip
    response = new_user(broker).post("/gpt-4o", ASK)
    assert (response.status_code, response.json()["code"]) == (502, "openai_unreachable")
    assert response.elapsed.total_seconds() < SLOW
    assert broker.log_lines("OpenAI cannot be reached")[-1]["kind"] == "dns"


def test_openai_may_be_reached_without_tls(
    start_broker: StartBroker, new_user: NewUser, plain_openai: OpenAIStandIn
) -> None:
    """The server may be the operator's own, on the same machine."""
    user = new_user(start_broker(OPENAI_BASE_URL=plain_openai.url + "/v1"))
    lines = [json.loads(line)["data"] for line in user.stream().content.splitlines()]
    assert "".join(lines) == plain_openai.answer


def test_idle_connections_are_closed_in_time(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """No further call is needed."""
    broker = start_broker(OPENAI_IDLE_TIMEOUT="0.5", WEB_CONCURRENCY="1")
    openai_before = openai.open_connections.copy()
    assert new_user(broker).post("/gpt-4o", ASK).status_code == 200
    within(3, lambda: not openai.open_connections - openai_before)
