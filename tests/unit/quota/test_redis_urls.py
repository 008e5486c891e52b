"""`connect` builds the right client for each form of REDIS_URL, and sends nothing before the first command."""

import fakeredis
import pytest
import redis
from redis.sentinel import SentinelConnectionPool

from broker.errors.base import UsageUnavailable
from broker.quota.redis_store import Store
from broker.quota.redis_urls import connect
from broker.telemetry.metrics import Metrics


def options(url: str) -> dict[str, object]:
    kwargs: dict[str, object] = connect(url, 0.25, 0.5).connection_pool.connection_kwargs
    return kwargs


def test_an_empty_user_and_password_mean_none() -> None:
    """Every tenant's env file has `redis://:@redis-stack:6379`."""
    made = options("redis://:@redis-stack:6379")
    assert (made["host"], made["port"]) == ("redis-stack", 6379)
    assert not made.get("username")
    assert not made.get("password")


def test_time_outs_are_short() -> None:
    """They are those of the settings."""
    made = options("redis://localhost")
    assert (made["socket_connect_timeout"], made["socket_timeout"]) == (0.25, 0.5)


def test_tls_and_accounts_are_understood() -> None:
    """So is the database number."""
    client = connect("rediss://ada:secret@host:6380/2", 0.25, 0.5)
    assert client.connection_pool.connection_class is redis.SSLConnection
    made = client.connection_pool.connection_kwargs
    assert (made["username"], made["password"], made["db"]) == ("ada", "secret", 2)


def test_sentinels_are_asked_for_the_master() -> None:
    """The client knows every Sentinel, the service name and the account of the master."""
    client = connect("redis+sentinel://:secret@one:1,two/mymaster/3", 0.25, 0.5)
    pool = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "mymaster"
    nodes = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert [(node["host"], node["port"]) for node in nodes] == [("one", 1), ("two", 26379)]
    assert (pool.connection_kwargs["password"], pool.connection_kwargs["db"]) == ("secret", 3)


def test_a_cluster_is_asked_for_its_layout_only_when_it_is_used() -> None:
    """A broker starts while Redis is unavailable; the first script then raises `UsageUnavailable`."""
    client = connect("redis+cluster://127.0.0.1:1", 0.05, 0.05)
    with pytest.raises(UsageUnavailable):
        Store(client, Metrics()).run("return 1", ("key",))


def test_no_url_is_the_embedded_store() -> None:
    """It runs the same scripts."""
    client = connect(None, 0.25, 0.5)
    assert isinstance(client, fakeredis.FakeRedis)
    assert client.eval("return redis.call('ZCARD', KEYS[1])", 1, "key") == 0
