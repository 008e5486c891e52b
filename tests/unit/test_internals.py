"""What the broker relies on in other packages beyond their documentation: the reason, and a test that names it.

A failure here after an upgrade means: read the place that is named, and adapt it or leave the old version.

- `transport/connections`: `HTTPAdapter.send` calls `urlopen` of the pool that `get_connection_with_tls_context`
  returns. With urllib3's pool and http.client a call costs a third more.
- `transport/upload`: gevent's `SSLSocket.write` raises `SSLWantWriteError` at time-out 0. `send` returns 0, and
  a loop on it stops the worker.
- `transport/response`: an exception of a callback is the `__context__` of httptools' error. It tells the
  refusals of the broker from those of llhttp.
- `transport/receiver`: `again` of gevent's loop timers starts a timer anew, in a tenth of a microsecond. With
  `gevent.Timeout` for each wait, and a read before it, receiving a token over TLS takes 22.6 instead of 13.7 µs.
- `transport/options`: `urllib.request.proxy_bypass_environment` takes the proxies as an argument. The proxies
  are settings and do not come from `os.environ`.
"""

import ssl
from typing import Any
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # what the test is about

import gevent
import gevent.ssl
import httptools
import pytest
import requests
from gevent import socket as gevent_socket
from requests.adapters import HTTPAdapter

from deploy.local.authority import Authority
from tests.servers import ScriptedServer


def test_requests_sends_through_the_pool_that_the_adapter_names() -> None:
    seen: dict[str, Any] = {}

    class Pool:
        def urlopen(self, **options: Any) -> Any:
            seen.update(options)
            raise TimeoutError

    class Adapter(HTTPAdapter):
        def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
            return Pool()

    request = requests.Request("POST", "http://openai.invalid/v1", data=b"{}").prepare()
    with pytest.raises(requests.ConnectionError):
        Adapter().send(request, stream=True, timeout=(1.0, 2.0))
    assert {"method", "url", "body", "headers", "timeout"} <= seen.keys(), "requests passes other arguments to urlopen"
    assert (seen["timeout"].connect_timeout, seen["timeout"].read_timeout) == (1.0, 2.0)


def fill(sock: Any) -> None:
    for _ in range(10_000):
        assert sock.write(b"x" * 16_384), "gevent's SSLSocket.write returns 0 where it would block"


def test_gevent_s_tls_socket_says_when_it_would_block(authority: Authority) -> None:
    server = ScriptedServer([b""], authority.server_context())
    server.reads_on = False
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority.file)
    plain = gevent_socket.create_connection(("127.0.0.1", server.port))
    with context.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.sendall(b"x")
        sock.settimeout(0)
        with pytest.raises(gevent.ssl.SSLWantWriteError):
            fill(sock)
    server.close()


def test_a_timer_of_the_loop_starts_anew() -> None:
    fired: list[int] = []
    timer = gevent.get_hub().loop.timer(0.05, 0.05)
    for _ in range(4):
        timer.again(fired.append, 1, update=True)
        gevent.sleep(0.03)
    assert not fired, "`again` does not begin the timer's time anew"
    gevent.sleep(0.05)
    timer.stop()
    gevent.sleep(0.1)
    assert fired, "`again` does not start a timer"
    assert len(fired) <= 2, "`stop` does not stop a repeating timer"
    timer.close()


def test_an_exception_of_a_callback_is_the_context_of_httptools_error() -> None:
    class Protocol:
        def on_headers_complete(self) -> None:
            raise KeyError("ours")

    with pytest.raises(httptools.HttpParserError) as raised:
        httptools.HttpResponseParser(Protocol()).feed_data(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert isinstance(raised.value.__context__, KeyError)


def test_the_standard_library_decides_which_hosts_bypass_the_proxy() -> None:
    assert proxy_bypass_environment("api.openai.com", {"no": "openai.com"})
    assert not proxy_bypass_environment("api.openai.com", {"no": ""})
