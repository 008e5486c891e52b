"""`connect` builds the right client for each form of REDIS_URL, and sends nothing before the first command."""

import ssl
from typing import Any

import fakeredis
import pytest
import redis

from broker.errors.base import UsageUnavailable
from broker.quota.redis_clients import urls
from broker.quota.redis_clients.connections import TcpConnection, TlsConnection, UnixConnection
from broker.quota.redis_clients.single import Limits
from broker.quota.redis_clients.urls import connect
from broker.quota.redis_store import Store
from broker.telemetry.metrics import Metrics

LIMITS = Limits(connect=0.25, reply=0.5, idle=55)


def opened(url: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """Return the connections that the first command opens, with their options; none is really opened."""
    seen: list[tuple[Any, dict[str, Any]]] = []

    def refuse(kind: Any, options: dict[str, Any]) -> Any:
        seen.append((kind, options))
        raise redis.ConnectionError

    monkeypatch.setattr(urls, "_open", refuse)
    client = connect(url, LIMITS)
    assert not seen
    with pytest.raises(redis.ConnectionError):
        client.eval("return 1", 1, "key")
    return seen


def test_an_empty_user_and_password_mean_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tenant's env file has `redis://:@redis-stack:6379`."""
    ((kind, options),) = opened("redis://:@redis-stack:6379", monkeypatch)
    assert (kind, options["host"], options["port"]) == (TcpConnection, "redis-stack", 6379)
    assert options["username"] is options["password"] is None


def test_time_outs_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come from the settings, or from the URL."""
    ((_, options),) = opened("redis://localhost", monkeypatch)
    assert (options["socket_connect_timeout"], options["socket_timeout"]) == (0.25, 0.5)
    ((_, options),) = opened("redis://localhost?socket_timeout=2", monkeypatch)
    assert (options["socket_connect_timeout"], options["socket_timeout"]) == (0.25, 2.0)


def test_tls_and_accounts_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database number is understood as well. Certificates are verified."""
    ((kind, options),) = opened("rediss://ada:secret@host:6380/2", monkeypatch)
    assert kind is TlsConnection
    assert (options["username"], options["password"], options["db"]) == ("ada", "secret", 2)
    assert options["tls_context"].verify_mode is ssl.CERT_REQUIRED
    assert options["tls_context"].check_hostname


def test_a_certificate_is_left_unverified_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ssl_check_hostname` and `ssl_cert_reqs` work as in redis-py."""
    ((_, options),) = opened("rediss://host?ssl_check_hostname=false", monkeypatch)
    assert (options["tls_context"].check_hostname, options["tls_context"].verify_mode) == (False, ssl.CERT_REQUIRED)
    ((_, options),) = opened("rediss://host?ssl_cert_reqs=none", monkeypatch)
    assert options["tls_context"].verify_mode is ssl.CERT_NONE


def test_a_unix_socket_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Path and database are read."""
    ((kind, options),) = opened("unix:///run/redis%20.sock?db=3", monkeypatch)
    assert (kind, options["path"], options["db"]) == (UnixConnection, "/run/redis .sock", 3)


def test_all_sentinels_are_asked_with_their_own_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password before the host is the master's."""
    seen = opened("redis+sentinel://:secret@one:1,two/mymaster/3?sentinel_password=other", monkeypatch)
    assert {(options["host"], options["port"]) for _, options in seen} == {("one", 1), ("two", 26379)}
    assert {(options["password"], options["db"]) for _, options in seen} == {("other", 0)}


def test_a_cluster_is_asked_for_its_slots_only_when_it_is_used() -> None:
    """A broker starts while Redis is unavailable; the first script then raises `UsageUnavailable`."""
    client = connect("redis+cluster://127.0.0.1:1", LIMITS)
    with pytest.raises(UsageUnavailable):
        Store(client, Metrics()).run("return 1", ("key",), keys=1)


def test_no_url_is_the_embedded_store() -> None:
    """It runs the same scripts."""
    client = connect(None, LIMITS)
    assert isinstance(client, fakeredis.FakeRedis)
    assert client.eval("return redis.call('ZCARD', KEYS[1])", 1, "key") == 0
