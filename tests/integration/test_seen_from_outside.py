"""Start-up, log and metrics as the operator sees them, and the secrets that must not appear."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from deploy.local.broker_process import BrokerProcess, DidNotStart
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.conftest import StartBroker, User
from tests.integration.ledger import name_of, scrape
from tests.integration.redis_process import RedisProcess
from tests.integration.waiting import within
from tests.secrecy import Secrecy, command_lines

NewUser = Callable[[BrokerProcess], User]


def requests_total(broker: BrokerProcess, method: str, endpoint: str, status: int) -> float:
    name = name_of("gpt_broker_requests_total", method=method, endpoint=endpoint, status_code=str(status))
    return scrape(broker).get(name, 0)


def test_wrong_settings_end_the_start_with_one_message() -> None:
    """Each variable is named, the exit status is not 0, and no secret is shown."""
    broker = BrokerProcess({"OPENAI_API_KEY": "sk-planted", "SUPABASE_URL": "nowhere", "DAILY_LIMIT": "x"})
    with pytest.raises(DidNotStart):
        broker.wait_until()
    assert broker.process.wait(10) != 0
    broker.stop()
    for name in ("SUPABASE_URL", "SUPABASE_SERVICE_KEY", "DAILY_LIMIT"):
        assert broker.log().count(name) == 1
    assert "Traceback" not in broker.log()
    assert "planted" not in broker.log()


def test_all_output_is_lines_of_json(start_broker: StartBroker, new_user: NewUser) -> None:
    """Python warnings, of which a start has none, are JSON too."""
    broker = start_broker(WEB_CONCURRENCY="1")
    assert new_user(broker).stream().content
    broker.stop()
    lines = [json.loads(line) for line in broker.log().splitlines()]
    loggers = {line["logger"] for line in lines}
    assert {"broker.request", "gunicorn.error"} <= loggers
    assert "py.warnings" not in loggers
    assert all({"time", "level", "event"} <= line.keys() for line in lines)


def test_every_request_is_counted_by_its_route(start_broker: StartBroker, new_user: NewUser) -> None:
    """/metrics is not counted; a path without a route is not a label."""
    broker = start_broker(WEB_CONCURRENCY="3")
    user = new_user(broker)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: user.post("/gpt-4o", {"messages": "x"}), range(30)))
    for path in ("/secret-path-1", "/secret-path-2", "/metrics", "/metrics"):
        requests.get(broker.url + path, timeout=5)
    requests.request("BREW", broker.url + "/gpt-4o", timeout=5)
    within(2, lambda: requests_total(broker, "POST", "/gpt-4o", 200) == 30)
    assert requests_total(broker, "GET", "unmatched", 404) == 2
    assert requests_total(broker, "other", "unmatched", 405) == 1
    text = requests.get(broker.url + "/metrics", timeout=5).text
    assert "secret-path" not in text
    assert 'endpoint="/metrics"' not in text


def test_counts_outlive_a_worker(start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn) -> None:
    """A dead worker's requests stay counted; its open streams do not."""
    broker = start_broker(WEB_CONCURRENCY="1")
    user = new_user(broker)
    user.post("/gpt-4o", {"messages": "x"})
    openai.next("silent_mid_stream")
    response = user.stream()
    response.raw.read1(100)
    within(2, lambda: scrape(broker)[name_of("gpt_broker_streams_in_flight")] == 1)
    (worker,) = broker.workers()
    os.kill(worker, signal.SIGKILL)
    within(10, lambda: broker.workers() not in ([], [worker]))
    broker.wait_until()
    user.post("/gpt-4o", {"messages": "x"})
    within(2, lambda: requests_total(broker, "POST", "/gpt-4o", 200) == 2)
    assert scrape(broker)[name_of("gpt_broker_streams_in_flight")] == 0
    response.close()


def test_the_metrics_count_streams_tokens_and_failures(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """They cover duration, first token, tokens by kind, refusals, failures by kind, the ledger and the parts' state."""
    broker = start_broker(WEB_CONCURRENCY="2", DAILY_LIMIT="2")
    user = new_user(broker)
    openai.first_token_delay, openai.token_delay = 0.3, 0.01
    assert user.stream().content
    openai.next("401_masked_key")
    assert user.post("/gpt-4o", {"messages": "x"}).status_code == 502
    openai.next("500_server_error")
    assert [user.post("/gpt-4o", {"messages": "x"}).status_code for _ in range(2)] == [200, 429]
    within(2, lambda: requests_total(broker, "POST", "/gpt-4o", 429) == 1)
    seen = scrape(broker)
    assert seen[name_of("gpt_broker_time_to_first_token_seconds_sum", model="gpt-4o")] > 0.3
    whole = name_of("gpt_broker_stream_duration_seconds_sum", model="gpt-4o", outcome="answered")
    assert seen[whole] > seen[name_of("gpt_broker_time_to_first_token_seconds_sum", model="gpt-4o")] + 0.2
    assert seen[name_of("gpt_broker_tokens_total", model="gpt-4o", kind="input")] == 24
    assert seen[name_of("gpt_broker_tokens_total", model="gpt-4o", kind="output")] > 24
    assert seen[name_of("gpt_broker_upstream_failures_total", kind="openai_refused")] == 1
    assert seen[name_of("gpt_broker_upstream_retries_total", kind="openai_failed")] == 1
    assert seen[name_of("gpt_broker_quota_refusals_total")] == 1
    assert seen[name_of("gpt_broker_calls_admitted_total")] == 3
    assert seen[name_of("gpt_broker_calls_settled_total")] == 2
    assert seen[name_of("gpt_broker_calls_given_back_total")] == 1
    assert seen[name_of("gpt_broker_redis_up")] == 1
    assert seen[name_of("gpt_broker_signing_keys_up")] == 1


def test_the_state_of_redis_is_known_without_calls(start_broker: StartBroker, own_redis: RedisProcess) -> None:
    """Every worker reports Redis from its start, when Redis goes away and when it returns."""
    broker = start_broker(REDIS_URL=own_redis.url, WEB_CONCURRENCY="4")

    def state() -> float:
        return scrape(broker)[name_of("gpt_broker_redis_up")]

    within(3, lambda: state() == 1)
    own_redis.stop()
    within(8, lambda: state() == 0)
    own_redis.start()
    within(4, lambda: state() == 1)


def test_a_scrape_under_load_is_quick(start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn) -> None:
    """The median of several counts, while streams run in every worker."""
    broker = start_broker(WEB_CONCURRENCY="2", DAILY_LIMIT="1000")
    user = new_user(broker)
    openai.token_delay = 0.02
    with ThreadPoolExecutor(40) as pool:
        streams = [pool.submit(lambda: user.stream().content) for _ in range(80)]
        took = sorted(requests.get(broker.url + "/metrics", timeout=5).elapsed.total_seconds() for _ in range(9))
        assert all(stream.result() for stream in streams)
    assert took[4] < 0.1


def test_each_request_has_one_log_line(ada: User, broker: BrokerProcess) -> None:
    """The line has both request ids; /health and /metrics have none."""
    response = ada.stream()
    assert response.content
    requests.get(broker.url + "/health", timeout=5)
    requests.get(broker.url + "/metrics", timeout=5)
    within(1, lambda: any(line["user"] == ada.id for line in broker.log_lines()))
    (line,) = (line for line in broker.log_lines() if line["user"] == ada.id)
    assert line["request_id"] == response.headers["X-Request-Id"]
    assert line["openai_id"].startswith("req_")
    assert (line["method"], line["endpoint"], line["status"]) == ("POST", "/stream", 200)
    assert (line["model"], line["prompt_tokens"], line["outcome"]) == ("gpt-4o", 12, "answered")
    assert line["seconds"] > 0
    assert line["completion_tokens"] > 0
    assert not {"/health", "/metrics"} & {line["endpoint"] for line in broker.log_lines()}


@pytest.mark.parametrize(
    ("given", "kept"), [("trace-1.2_3:4", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("ä", False)]
)
def test_a_well_formed_request_id_is_returned(broker: BrokerProcess, given: str, kept: bool) -> None:
    """Otherwise a new one is made. The response carries it in both cases."""
    response = requests.get(broker.url + "/health", headers={"X-Request-Id": given.encode()}, timeout=5)
    assert (response.headers["X-Request-Id"] == given) is kept
    assert response.headers["X-Request-Id"]


def test_nothing_secret_is_seen_anywhere(start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn) -> None:
    """Key, token, prompt and answer are in no log line, metric or error, for any failure."""
    broker = start_broker(WEB_CONCURRENCY="1", OPENAI_MAX_RETRIES="0", OPENAI_CALL_TIMEOUT="2")
    user = new_user(broker)
    prompt, answer = "planted-prompt-4711", "planted-answer-0815"
    openai.answer, kept = answer, openai.answer
    errors = []
    try:
        assert user.post("/gpt-4o", {"messages": prompt}).json() == {"message": answer}
        assert answer in user.stream(prompt).text
        assert user.get("/simple-gpt-4o-mini-complete", params={"prompt": prompt}).text == answer
        for reply in (
            "401_masked_key",
            "429_rate_limit",
            "garbage_json",
            "cut_before_headers",
            "silent",
            "403_country",
        ):
            openai.next(reply)
            errors.append(user.post("/gpt-4o", {"messages": prompt}))
        openai.next("garbage_event")
        errors.append(user.stream(prompt))
        errors.append(user.post("/gpt-4o", {"messages": [prompt]}))
        errors.append(requests.get(f"{broker.url}/{prompt}", headers={"Authorization": user.token}, timeout=5))
        errors.append(requests.get(broker.url + "/simple-gpt-4o-mini-complete?prompt=" + prompt, timeout=5))
        _send_nonsense(broker, prompt)
    finally:
        openai.answer = kept
    time.sleep(0.2)
    places = {
        "log": broker.log(),
        "metrics": requests.get(broker.url + "/metrics", timeout=5).text,
        "command line": command_lines(broker),
    }
    secrets = (openai.key, openai.key[:10], user.token, user.token.split(".")[2], prompt, "org-PLANTED")
    for where, text in places.items():
        for secret in (*secrets, answer):
            assert secret not in text, where
    for error in errors:
        for secret in secrets:
            assert secret not in error.text.replace(answer, "")
            assert secret not in str(error.headers)


def _send_nonsense(broker: BrokerProcess, planted: str) -> None:
    """Send requests that gunicorn itself refuses."""
    for head in (f"GET /{planted} HTTP/9.9\r\n\r\n", f"{planted}\r\n\r\n", f"GET / HTTP/1.1\r\n{planted}\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as client:
            client.sendall(head.encode())
            client.settimeout(2)
            client.recv(1000)


def test_the_output_of_the_whole_run_is_searched(
    exposed_secrets: Secrecy, start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """The output of every broker is collected and searched for secrets at the end of the run."""
    broker = start_broker()
    user = new_user(broker)
    assert user.post("/gpt-4o", {}).status_code == 400
    broker.stop()
    assert exposed_secrets.sources() >= {"command line", "error", "metrics", "log"}
    assert exposed_secrets.wrote("log", user.id)
