"""Idle connections: which are used, closed, and opened ahead of need."""

from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from broker.transport.connector import Connector
from broker.transport.options import Options
from broker.transport.pool import Pool
from deploy.local.authority import Authority
from tests.servers import ScriptedServer


@pytest.fixture(autouse=True)
def _closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    opened, really_open = list[Any](), Connector.open

    def open_and_note(connector: Connector, seconds: float) -> Any:
        opened.append(really_open(connector, seconds))
        return opened[-1]

    monkeypatch.setattr(Connector, "open", open_and_note)
    yield
    for sock in opened:
        sock.close()


def pool_of(authority: Authority, **options: float) -> tuple[Pool, ScriptedServer]:
    server = ScriptedServer([], authority.server_context())
    return Pool(f"https://localhost:{server.port}", Options(ca_file=authority.file, **options)), server  # type: ignore[arg-type]


def test_the_newest_connection_is_used_first(authority: Authority) -> None:
    """The others grow old and are closed."""
    pool, server = pool_of(authority)
    older, newer = pool.open(5), pool.open(5)
    pool.give_back(older)
    pool.give_back(newer)
    assert pool.take(5) == (newer, True)
    assert pool.take(5) == (older, True)
    server.close()


def test_an_idle_connection_that_is_too_old_is_not_used(authority: Authority) -> None:
    """The network may have dropped it silently. All older ones are closed with it."""
    pool, server = pool_of(authority, idle_timeout=0.1)
    pool.give_back(pool.open(5))
    pool.give_back(pool.open(5))
    gevent.sleep(0.15)
    sock, is_used = pool.take(5)
    assert not is_used
    assert len(pool) == 0
    sock.close()
    server.close()


def test_idle_connections_are_closed_without_any_call(authority: Authority) -> None:
    pool, server = pool_of(authority, idle_timeout=0.2)
    sock = pool.open(5)
    pool.give_back(sock)
    gevent.sleep(0.5)
    assert (len(pool), sock.fileno()) == (0, -1)
    server.close()


def test_connections_are_still_closed_after_one_that_failed_to_close(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[type[BaseException]] = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda _, kind, *__: failures.append(kind))
    pool, server = pool_of(authority, idle_timeout=0.1)
    pool.give_back(_Unclosable())
    gevent.sleep(0.2)
    assert len(failures) == 1
    sock = pool.open(5)
    pool.give_back(sock)
    gevent.sleep(0.3)
    assert (len(pool), sock.fileno()) == (0, -1)
    server.close()


class _Unclosable:
    session = None

    def close(self) -> None:
        raise RuntimeError


def test_a_connection_that_the_server_closed_is_not_used(authority: Authority) -> None:
    """It is closed, because it would stay in CLOSE_WAIT."""
    pool, server = pool_of(authority)
    sock = pool.open(5)
    sock.sendall(b"hang up")
    pool.give_back(sock)
    gevent.sleep(0.1)
    assert pool.take(5)[1] is False
    server.close()


def test_session_tickets_do_not_make_a_new_connection_unusable(authority: Authority) -> None:
    """TLS 1.3 servers send them after the handshake, and the socket becomes readable."""
    pool, server = pool_of(authority)
    sock = pool.open(5)
    gevent.sleep(0.1)
    pool.give_back(sock)
    assert pool.take(5) == (sock, True)
    server.close()


def test_only_so_many_connections_are_kept(authority: Authority) -> None:
    pool, server = pool_of(authority, max_idle=2)
    socks = [pool.open(5) for _ in range(3)]
    for sock in socks:
        pool.give_back(sock)
    assert len(pool) == 2
    assert socks[0].fileno() == -1
    server.close()


def test_connections_are_opened_ahead_of_need(authority: Authority) -> None:
    """The call that finds too few of them does not wait for it."""
    pool, server = pool_of(authority, warm=2)
    pool.take(5)[0].close()
    gevent.sleep(0.3)
    assert len(pool) == 2
    assert pool.take(5)[1] is True
    pool.close()
    server.close()


def test_a_new_connection_resumes_the_tls_session(authority: Authority) -> None:
    """A resumed handshake takes a fifth less of the processor time on our side."""
    pool, server = pool_of(authority)
    first = pool.open(5)
    gevent.sleep(0.1)
    pool.give_back(first)
    taken, _ = pool.take(5)
    pool.give_back(taken)
    second = pool.open(5)
    assert (first.session_reused, second.session_reused) == (False, True)
    pool.close()
    second.close()
    server.close()
