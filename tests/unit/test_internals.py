"""What the broker relies on in other packages beyond their documentation: the reason, and a test that names it.

A failure here after an upgrade means: read the place that is named, and adapt it or leave the old version.

gunicorn, whose worker and master have no documented interface for subclasses:

- `server/master`: replaces `handle_hup`, `manage_workers` and `stop` of the arbiter, and uses its workers, listeners
  and app. Without it, a reload with a mistake ends the master, and a leaving worker counts as a worker.
- `server/worker`, `server/request_handler`: override methods of the gevent worker; StopIteration ends a connection.
  gunicorn's own handler ends open answers at a stop, and looks up some twenty settings a call through `__getattr__`.
  Its `patch` writes to 2 MB of shared pages.
- `server/response_writer`: overrides `Response`. One system call a token in place of three, and a third of the time to
  check the fields of a response.
- `server/request_body`: overrides `Body` and reads from its readers. gunicorn takes a short body for a whole one.
- `server/request_validation`: sets the class of requests, and parses plain fields itself, which takes gunicorn a
  twentieth of a call. gunicorn's errors have no CORS fields, and its limit of a head would be 850 KB, which it scans
  anew with each packet.

Other packages:

- `config/gunicorn.conf.py`: gevent's hub calls its `print_exception`. It would write tracebacks that are no log lines.
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
- `quota/redis_clients`: overrides `_connect`, and exchanges commands over `_sock` with the classes of `parse_error`.
  redis-py's check of each connection is half of its time for a command; the rest takes half as much again.
- `server/multiprocess_metrics`: reads prometheus_client's files by name, for the calls of a worker that died.
- `telemetry/metrics`: prometheus_client keeps every value that was ever made, which a reload must not make again.
- `web/flask_app`: makes a `MapAdapter` itself. Flask's way takes the host apart, which no route uses.
"""

import inspect
import ssl
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # what the test is about

import gevent
import gevent.ssl
import httptools
import pytest
import redis
import requests
from gevent import socket as gevent_socket
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.http import body, message, parser, wsgi
from gunicorn.http.unreader import Unreader
from gunicorn.workers.ggevent import GeventWorker
from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict
from requests.adapters import HTTPAdapter
from werkzeug.routing import Map, MapAdapter

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


def test_gunicorn_s_worker_patches_everything_and_makes_its_sockets_anew() -> None:
    source = inspect.getsource(GeventWorker.patch)
    assert "monkey.patch_all()" in source, "gunicorn patches something else: see Worker.patch"
    assert "socket.socket(s.FAMILY, socket.SOCK_STREAM," in source, "gunicorn's sockets have changed: see Worker.patch"
    assert "fileno=s.sock.detach())" in source, "gunicorn's sockets have changed: see Worker.patch"


# each class, and the methods that are overridden or called, with the arguments that they get
METHODS: list[tuple[Any, dict[str, str]]] = [
    (Arbiter, {"handle_hup": "", "manage_workers": "", "stop": "graceful", "spawn_worker": "", "reload": "",
               "kill_worker": "pid sig"}),
    (GeventWorker, {"patch": "", "run": "", "init_process": "", "handle_exit": "sig frame",
                    "handle": "listener client addr", "handle_request": "listener_name req sock addr",
                    "handle_error": "req client addr exc"}),
    (wsgi.Response, {"__init__": "req sock cfg", "start_response": "status headers exc_info", "should_close": "",
                     "force_close": "", "default_headers": "", "send_headers": "", "write": "arg", "close": "",
                     "_emit_body": "data", "process_headers": "headers"}),
    (body.Body, {"__init__": "reader", "read": "size", "_read_reader": "size"}),
    (body.ChunkedReader, {"parse_chunk_size": "unreader data"}),
    (body.LengthReader, {"__init__": "unreader length"}),
    (Unreader, {"read": "size read_ahead"}),
    (message.Request, {"parse": "unreader", "read_into": "unreader buf stop", "parse_headers": "data from_trailer"}),
    (redis.Connection, {"_connect": "", "disconnect": "args kwargs"}),
    (MmapedDict, {"read_all_values_from_file": "filename"}),
    (MapAdapter, {"__init__": "map server_name script_name subdomain url_scheme path_info default_method query_args"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("owner", "name", "arguments"),
    [(owner, name, arguments.split()) for owner, methods in METHODS for name, arguments in methods.items()],
)
def test_the_methods_that_are_overridden_or_called_are_there(owner: Any, name: str, arguments: list[str]) -> None:
    method = getattr(owner, name, None)
    assert method is not None, f"{owner.__module__}.{owner.__name__} has no {name} any more"
    expected = [one for one in inspect.signature(method).parameters if one != "self"]
    assert expected == arguments, f"{owner.__name__}.{name} takes other arguments"


def test_gunicorn_s_master_calls_the_replaced_methods() -> None:
    assert "self.manage_workers()" in inspect.getsource(Arbiter.run), "the loop of the master looks different"
    assert "self.handle_hup" in inspect.getsource(Arbiter) or 'getattr(self, "handle_%s"' in inspect.getsource(Arbiter)
    assert "self.stop()" in inspect.getsource(Arbiter.halt), "the master ends in another way"
    assert {"app", "cfg", "pid", "num_workers", "WORKERS", "LISTENERS"} <= {
        *dir(Arbiter),
        *inspect.getsource(Arbiter).replace("self.", " ").replace("=", " ").split(),
    }


def test_gunicorn_s_configuration_is_a_dictionary_of_settings_behind_attributes() -> None:
    config = Config()
    config.__dict__["keepalive"] = "ours"
    assert config.keepalive == "ours", "attributes of gunicorn's Config do not come first any more"
    assert all(callable(setting.get) for setting in config.settings.values())


def test_gunicorn_makes_requests_and_responses_of_the_classes_that_are_set() -> None:
    assert issubclass(parser.RequestParser.mesg_class, message.Request)
    assert "response_class" in inspect.signature(wsgi.create).parameters
    assert "StopIteration" in inspect.getsource(GeventWorker.__mro__[1].handle), "it ends connections in another way"
    assert {"reader", "failed"} <= vars(body.Body(None)).keys()
    assert {"unreader", "length"} <= vars(body.LengthReader(None, 1)).keys()


def test_the_class_of_requests_bounds_the_head_by_one_attribute() -> None:
    assert "self.max_buffer_headers" in inspect.getsource(message.Request._parse_python)


def test_gevent_s_hub_prints_exceptions_through_one_method(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[Any] = []
    monkeypatch.setattr(gevent.get_hub(), "print_exception", lambda *about: printed.append(about))
    gevent.spawn(lambda: 1 / 0).join()
    gevent.sleep(0)
    assert printed, "the errors of greenlets are written by another method"
    assert printed[0][1] is ZeroDivisionError


def test_redis_py_keeps_the_socket_that_it_opened_and_names_the_errors() -> None:
    connection, (near, far) = redis.Connection(protocol=2, driver_info=None), gevent_socket.socketpair()
    with near, far:
        connection._connect = lambda: near
        connection.connect()
        assert connection._sock is near, "`exchange` finds the socket elsewhere"
    assert isinstance(connection._parser.parse_error("MOVED 5 10.0.0.1:6379"), redis.exceptions.MovedError)


def test_prometheus_client_names_its_files_by_kind_and_process() -> None:
    source = inspect.getsource(values.MultiProcessValue)
    assert "'{}_{}.db'.format(file_prefix, pid['value'])" in source, "the files of a worker are found by their name"
    assert "values.append(self)" in source, "apps need not share metrics any more: `telemetry.metrics_of_process`"


def test_a_map_adapter_needs_no_host() -> None:
    adapter = MapAdapter(Map([]), "localhost", "/", "", "http", "/x", "GET")
    assert adapter.allowed_methods() == []


RELIED_ON = (
    "gunicorn",
    "gevent",
    "requests",
    "httptools",
    "redis",
    "flask",
    "prometheus-client",
    "urllib3",
    "werkzeug",
)


@pytest.mark.parametrize("package", RELIED_ON)
def test_an_upgrade_of_these_packages_is_a_decision(package: str) -> None:
    """`config/runtime.in` bounds each to the minor release with which this file was last looked at."""
    lines = (Path(__file__).parents[2] / "config" / "runtime.in").read_text().splitlines()
    bounds = {line.partition("~=")[0].partition("[")[0]: line.partition("~=")[2] for line in lines if "~=" in line}
    assert package in bounds
    assert version(package).split(".")[:2] == bounds[package].split(".")[:2]
