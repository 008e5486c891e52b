"""The project's nginx in front of a real broker: closed endpoints, unbuffered streams, error responses."""

import json
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from deploy.local.broker_process import ROOT, BrokerProcess, free_port
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import StartBroker, User
from tests.integration.live_targets import live, resolve_here, write_target
from tests.integration.nginx_process import HOSTS, NginxProcess
from tests.integration.waiting import within

LONGEST_TOKEN = 16_384  # characters
OUTSIDE = "127.0.0.9"  # not in METRICS_ALLOW of this nginx
SPELLINGS = (
    "/metrics",
    "//metrics",
    "/./metrics",
    "/x/../metrics",
    "/%6detrics",
    "/metrics?x=1",
    "/metrics/",
    "/metrics%00",
)
FORGED: tuple[dict[str, str], ...] = (
    {},
    {"X_Forwarded_For": "127.0.0.1"},
    {"X_Forwarded_For": "127.0.0.1, 127.0.0.1"},
    {"X_Real_IP": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1"},
    {"X_Forwarded_Host": "127.0.0.1", "X_Original_URL": "/metrics"},
)
StartNginx = Callable[..., NginxProcess]
NewUser = Callable[[BrokerProcess], User]


@pytest.fixture
def start_nginx(tmp_path: Path) -> Iterator[StartNginx]:
    """A function that starts nginx in front of one broker, with optional changes."""
    started: list[NginxProcess] = []

    def start(broker: str, *changes: tuple[str, str], other: str = "", **variables: str) -> NginxProcess:
        upstreams = {"sksndev": broker, "techsksn": other or broker}
        started.append(NginxProcess(tmp_path, upstreams, *changes, **variables))
        return started[-1]

    yield start
    for nginx in started:
        nginx.stop()


def at(broker: BrokerProcess) -> str:
    return f"127.0.0.1:{broker.port}"


def whole_stream(nginx: NginxProcess, user: User) -> str:
    with nginx.stream(user.headers) as response:
        return "".join(json.loads(line)["data"] for line in response.read().splitlines())


def test_metrics_and_ready_are_closed_to_the_public(start_nginx: StartNginx, broker: BrokerProcess) -> None:
    """Alternative spellings and forged headers do not open them; allowed addresses read them."""
    nginx = start_nginx(at(broker))
    for path in ("/metrics", "/ready"):
        assert nginx.get(path).status == 200
    for forged in FORGED:
        for path in (*SPELLINGS, "/ready", "//ready"):
            response = nginx.get(path, source=OUTSIDE, **forged)
            assert response.status in (400, 403, 404), path
            assert b"gpt_broker_" not in response.body
    assert nginx.get("/health", source=OUTSIDE).status == 200


@pytest.mark.parametrize(
    "mistake",
    [
        ("location = /metrics {", "location = /no-longer-metrics {"),
        ("    deny all;\n", ""),
        ("    deny all;\n", "    allow all;\n"),
    ],
)
def test_a_mistake_in_nginx_alone_does_not_open_metrics(
    start_nginx: StartNginx, broker_with: StartBroker, mistake: tuple[str, str]
) -> None:
    """The broker refuses clients outside METRICS_ALLOW, even if nginx appends to the client's headers."""
    broker = broker_with(METRICS_ALLOW="127.0.0.1")
    appending = (
        "proxy_set_header X-Forwarded-For $remote_addr",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for",
    )
    nginx = start_nginx(at(broker), mistake, appending)
    assert nginx.get("/metrics").status == 200
    for forged in FORGED:
        response = nginx.get("/metrics", source=OUTSIDE, **forged)
        assert response.error() == (403, "not_public", None)


def test_the_client_s_address_is_set_and_connections_are_kept(
    start_nginx: StartNginx, plain_openai: OpenAIStandIn
) -> None:
    """Nginx replaces the client's headers. Twenty requests use one upstream connection."""
    nginx = start_nginx(plain_openai.url.removeprefix("http://"))
    for _ in range(20):
        nginx.get(
            "/v1/models", X_Forwarded_For="1.2.3.4", X_Real_IP="1.2.3.4", Forwarded="for=1.2.3.4", Connection="close"
        )
    assert plain_openai.connections_ever == 1
    headers = plain_openai.seen[-1].headers
    assert (headers["x-forwarded-for"], headers["x-real-ip"], headers["x-forwarded-proto"]) == (
        "127.0.0.1",
        "127.0.0.1",
        "https",
    )
    assert "forwarded" not in headers
    assert headers["host"] == HOSTS["sksndev"]


def test_streams_are_neither_held_back_nor_compressed(
    start_nginx: StartNginx, broker: BrokerProcess, ada: User, openai: OpenAIStandIn
) -> None:
    """The first line arrives long before the last, uncompressed even if the client accepts gzip."""
    nginx = start_nginx(at(broker))
    openai.token_delay = 0.02
    started = time.monotonic()
    with nginx.stream(ada.headers | {"Accept-Encoding": "gzip, br"}) as response:
        reads = [(time.monotonic() - started, data) for data in iter(lambda: response.read1(65_536), b"")]
    assert response.headers["Content-Encoding"] is None
    assert reads[0][0] < reads[-1][0] / 2
    assert reads[-1][0] - reads[0][0] > 0.5
    assert len(reads) > 20
    assert response.headers["X-Accel-Buffering"] is None  # consumed by nginx


def test_the_first_text_comes_as_soon_as_without_nginx(
    start_nginx: StartNginx, start_broker: StartBroker, new_user: NewUser
) -> None:
    """The median over alternating calls is at most 20 ms later, without the TLS handshake."""
    broker = start_broker(WEB_CONCURRENCY="1", DAILY_LIMIT="1000")
    nginx, user = start_nginx(at(broker), RATE="1000", BURST="1000"), new_user(broker)
    later = []
    connection = nginx.connect()
    for _ in range(16):
        started = time.monotonic()
        with user.stream() as direct:
            direct.raw.read1(10)
            without = time.monotonic() - started
        started = time.monotonic()
        connection.request("POST", "/stream", json.dumps({"messages": "hello", "model": "gpt-4o"}), user.headers)
        response = connection.getresponse()
        response.read1(10)
        later.append(time.monotonic() - started - without)
        response.read()
    connection.close()
    assert statistics.median(later[1:]) < 0.020  # the first one includes the handshake


def test_tls_is_modern_and_http_redirects_to_it(start_nginx: StartNginx, broker: BrokerProcess) -> None:
    """TLS 1.2 and 1.3 with HTTP/2; unknown host names get no handshake."""
    nginx = start_nginx(at(broker))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert negotiated(nginx, version) == version.name.replace("TLSv1_", "TLSv1.")
    with pytest.raises(ssl.SSLError), pytest.warns(DeprecationWarning, match="TLSv1_1"):
        negotiated(nginx, ssl.TLSVersion.TLSv1_1)
    with pytest.raises(ssl.SSLError):
        negotiated(nginx, ssl.TLSVersion.TLSv1_3, "another.test")
    answer = nginx.get("/health")
    assert answer.headers["Strict-Transport-Security"] == "max-age=63072000"
    plain_url = f"http://127.0.0.1:{nginx.http_port}/gpt-4o?a=b"
    plain = requests.get(plain_url, headers={"Host": HOSTS["techsksn"]}, allow_redirects=False, timeout=5)
    assert (plain.status_code, plain.headers["Location"]) == (301, f"https://{HOSTS['techsksn']}/gpt-4o?a=b")


def negotiated(nginx: NginxProcess, version: ssl.TLSVersion, host: str = HOSTS["sksndev"]) -> str | None:
    """Connect with this TLS version and HTTP/2, and return the negotiated version."""
    context = nginx.context()
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", nginx.port)) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        assert secured.selected_alpn_protocol() == "h2"
        return secured.version()


def test_the_broker_refuses_a_request_line_that_is_too_long(start_nginx: StartNginx, broker: BrokerProcess) -> None:
    """Nginx's limit exceeds gunicorn's, so the error has the contract's format."""
    response = start_nginx(at(broker)).get("/simple-gpt-4o-mini-complete?prompt=" + "x" * 12_000)
    assert response.status in (400, 414)
    assert json.loads(response.body)["code"]


def test_headers_too_large_for_nginx_get_the_broker_s_error(start_nginx: StartNginx, broker: BrokerProcess) -> None:
    """The sentence tells a page to send a long prompt in a body."""
    nginx, path = start_nginx(at(broker)), "/simple-gpt-4o-mini-complete?prompt="
    by_broker, by_nginx = nginx.get(path + "x" * 12_000), nginx.get(path + "planted-prompt" * 3_000)
    assert by_nginx.error() == by_broker.error() == (414, "target_too_long", None)
    assert by_nginx.body == by_broker.body
    assert nginx.get("/gpt-4o", X_Long="x" * 40_000).error() == (431, "headers_too_large", None)
    assert nginx.get("/v1/models", X_Long="x" * 40_000).openai_error()[2] == "headers_too_large"
    assert nginx.get("/too-long").status == 404  # internal only
    assert "planted" not in nginx.logs()


def test_the_longest_token_passes(
    start_nginx: StartNginx, broker: BrokerProcess, ada: User, supabase: SupabaseStandIn
) -> None:
    """16,384 characters, which with the field's name are more than 16 KB."""
    token = next(
        token
        for length in range(11_000, 13_000)
        if len(token := supabase.token_for(ada.id, app_metadata={"groups": "g" * length})) > LONGEST_TOKEN - 4
    )
    assert len(token) <= LONGEST_TOKEN
    answer = start_nginx(at(broker)).get("/v1/usage", Authorization=f"Bearer {token}")
    assert answer.status == 200, answer.body


def test_pages_can_read_nginx_s_errors(start_nginx: StartNginx, broker: BrokerProcess, ada: User) -> None:
    """Each has the contract's format, CORS headers, and Retry-After if a retry helps."""
    nginx = start_nginx(at(broker), RATE="1", BURST="2", other=f"127.0.0.1:{free_port()}")
    assert nginx.request("POST", "/gpt-4o", ada.headers, body=b"x" * 9_500_000).error() == (413, "body_too_large", None)
    away = nginx.get("/health", tenant="techsksn")
    assert away.error() == (503, "restarting", "2")
    assert away.headers["Strict-Transport-Security"]
    answers = [nginx.get("/health", source="127.0.0.7") for _ in range(6)]
    assert [answer.status for answer in answers[:3]] == [200, 200, 200]
    assert answers[-1].error() == (429, "too_many_requests", "1")
    assert answers[-1].headers["X-Should-Retry"] is None
    assert nginx.get("/health", source="127.0.0.8").status == 200


def test_under_v1_nginx_s_errors_have_openai_s_format(
    start_nginx: StartNginx, broker: BrokerProcess, ada: User
) -> None:
    """`{"error": {"message", "type", "param", "code"}}`, but not for paths such as /v1x."""
    nginx = start_nginx(at(broker), RATE="1", BURST="2", other=f"127.0.0.1:{free_port()}")
    large = nginx.request("POST", "/v1/chat/completions", ada.headers, body=b"x" * 9_500_000)
    assert large.openai_error() == (413, "invalid_request_error", "body_too_large", None)
    for path in ("/v1", "/v1/chat/completions", "//v1/models?limit=1"):
        away = nginx.get(path, tenant="techsksn", source="127.0.0.6")
        assert away.openai_error() == (503, "service_unavailable_error", "restarting", "2")
    fast = [nginx.get("/v1/models", source="127.0.0.7") for _ in range(6)][-1]
    assert fast.openai_error() == (429, "rate_limit_error", "too_many_requests", "1")
    assert nginx.get("/v1x", tenant="techsksn").error() == (503, "restarting", "2")


def test_the_broker_s_responses_pass_unchanged(start_nginx: StartNginx, broker: BrokerProcess, ada: User) -> None:
    """Errors pass with the same body, and no header is duplicated."""
    nginx = start_nginx(at(broker))
    for path in ("/gpt-4o", "/v1/chat/completions"):
        direct = requests.post(f"http://{at(broker)}{path}", b"[", headers=ada.headers, timeout=5)
        through = nginx.request("POST", path, ada.headers, body=b"[")
        assert (through.status, through.body) == (direct.status_code, direct.content)
        for name in ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers"):
            assert through.headers.get_all(name) == [direct.headers[name]]
        assert through.headers["Retry-After"] is through.headers["Access-Control-Allow-Methods"] is None


def test_a_preflight_succeeds_so_that_the_page_can_read_the_error(
    start_nginx: StartNginx, broker: BrokerProcess
) -> None:
    """A failed preflight would hide the error of a stopped or busy broker from the page."""
    nginx = start_nginx(at(broker), RATE="1", BURST="1", other=f"127.0.0.1:{free_port()}")
    asked = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
    }
    away = nginx.request("OPTIONS", "/v1/chat/completions", asked, tenant="techsksn")
    fast = [nginx.request("OPTIONS", "/stream", asked, source="127.0.0.7") for _ in range(4)][-1]
    for answer in (away, fast):
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, DELETE, OPTIONS"
        assert answer.headers["Access-Control-Allow-Headers"] == asked["Access-Control-Request-Headers"]
        assert answer.headers["Access-Control-Max-Age"] is None  # do not cache nginx's substitute


def test_a_silent_broker_times_out(start_nginx: StartNginx) -> None:
    """A read timeout is 504 without retry, since the call may still run. A connect timeout is 503."""
    silent, full = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = socket.create_connection(full.getsockname())  # fills the backlog
    nginx = start_nginx(
        f"127.0.0.1:{silent.getsockname()[1]}",
        ("proxy_read_timeout 610s", "proxy_read_timeout 1s"),
        ("proxy_connect_timeout 5s", "proxy_connect_timeout 1s"),
        other=f"127.0.0.1:{full.getsockname()[1]}",
    )
    with silent, full, waiting:
        for path in ("/gpt-4o", "/v1/chat/completions"):
            answer = nginx.request("POST", path, {}, body=b"{}")
            assert answer.headers["X-Should-Retry"] == "false"
        assert answer.openai_error() == (504, "server_error", "broker_timeout", None)
        assert nginx.request("POST", "/gpt-4o", {}, body=b"{}").error() == (504, "broker_timeout", None)
        assert nginx.get("/health", tenant="techsksn").error() == (503, "restarting", "2")


def test_nginx_logs_no_prompt_and_no_token(start_nginx: StartNginx, broker: BrokerProcess, ada: User) -> None:
    """Access log and error log are checked."""
    nginx = start_nginx(at(broker), other=f"127.0.0.1:{free_port()}")
    for tenant in HOSTS:
        nginx.get("/simple-gpt-4o-mini-complete?prompt=planted-prompt", tenant=tenant, **ada.headers)
    within(5, lambda: nginx.logs().count("/simple-gpt-4o-mini-complete") == 2)
    assert "planted" not in nginx.logs()
    assert ada.token not in nginx.logs()


def test_a_broker_drains_behind_nginx(
    start_nginx: StartNginx, start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """After SIGTERM under load, every open stream completes and new calls get 503 at once."""
    broker = start_broker(WEB_CONCURRENCY="2", GRACEFUL_TIMEOUT="10", DAILY_LIMIT="1000")
    nginx, user = start_nginx(at(broker), RATE="1000", BURST="1000"), new_user(broker)
    openai.token_delay = 0.03
    with ThreadPoolExecutor(30) as pool:
        streams = [pool.submit(whole_stream, nginx, user) for _ in range(30)]
        within(15, lambda: len(openai.completions()) == 30)
        time.sleep(0.2)
        broker.process.terminate()
        time.sleep(0.3)
        started = time.monotonic()
        assert nginx.get("/health").error() == (503, "restarting", "2")
        assert time.monotonic() - started < 1
        assert {one.result() for one in streams} == {ANSWER}
    assert broker.stop() == 0


def test_the_live_suite_passes_through_nginx(
    start_nginx: StartNginx, broker_with: StartBroker, openai: OpenAIStandIn, supabase: SupabaseStandIn,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Both production targets pass, over TLS and by host name."""
    broker = broker_with(METRICS_ALLOW="127.0.0.1")
    nginx = start_nginx(at(broker), METRICS_ALLOW="10.0.0.1")
    openai.token_delay = 0.02
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(nginx.certificate))
    resolve_here(monkeypatch)
    for tenant, host in HOSTS.items():
        write_target(tmp_path, f"{tenant}_prod", f"https://{host}:{nginx.port}", supabase)
    status = live(["--folder", str(tmp_path), "sksndev_prod", "techsksn_prod"])
    said = capsys.readouterr().out
    assert status == 0, said
    assert said.count("16 fine, 0 wrong") == 2


def test_gixy_finds_nothing_in_the_configuration(start_nginx: StartNginx, plain_openai: OpenAIStandIn) -> None:
    """There is no finding of medium or high severity."""
    nginx = start_nginx(plain_openai.url.removeprefix("http://"))
    gixy = Path(sys.executable).parent / "gixy"
    done = subprocess.run(
        (gixy, "-l", "-l", str(nginx.folder / "nginx.conf")), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert (ROOT / "deploy" / "nginx" / "nginx.conf").is_file()
