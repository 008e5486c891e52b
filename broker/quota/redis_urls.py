"""Builds a Redis client from `REDIS_URL`. Nothing is sent before the first command.

Supported are redis-py's `redis://`, `rediss://` (TLS) and `unix://`,
`redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]` and
`redis+cluster://[user:password@]host:port[,host:port…]` (`rediss+…` for TLS). Without a URL the client is an
in-process store for local runs, which runs the same commands and scripts.
"""

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from broker.quota.redis_client import RedisClient

Client = Any  # redis.Redis, RedisCluster or the embedded store: the same commands


def connect(url: str | None, connect_timeout: float, timeout: float) -> Client:
    """Return a client for `url`, which `Settings` has checked. Both time-outs are in seconds."""
    if url is None:
        return _embedded()
    options: dict[str, Any] = {
        "socket_connect_timeout": connect_timeout,
        "socket_timeout": timeout,
        # Retry once, at once, for a stale connection. Never retry after a time-out.
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        "protocol": 2,
    }
    scheme = urlsplit(url).scheme
    if scheme in ("redis+cluster", "rediss+cluster"):
        return _cluster(url, options)
    if scheme in ("redis+sentinel", "rediss+sentinel"):
        return _sentinel(url, options)
    return RedisClient.from_url(url, **options)


def _embedded() -> Client:
    import fakeredis  # noqa: PLC0415 - only local runs load it

    return fakeredis.FakeRedis()


def _cluster(url: str, options: dict[str, Any]) -> Client:
    nodes = [ClusterNode(host, port) for host, port in _hosts(url, 6379)]
    options.pop("retry")  # a cluster client retries on another node
    return _LazyCluster(lambda: RedisCluster(startup_nodes=nodes, **options, **_account(url)))


def _sentinel(url: str, options: dict[str, Any]) -> Client:
    service, _, db = urlsplit(url).path.strip("/").partition("/")
    sentinel_options = {name: value for name, value in options.items() if name != "retry"}
    sentinel = Sentinel(_hosts(url, 26379), sentinel_kwargs=sentinel_options)
    return sentinel.master_for(service, db=int(db or 0), **options, **_account(url))


def _hosts(url: str, default_port: int) -> list[tuple[str, int]]:
    hosts = []
    for address in urlsplit(url).netloc.rpartition("@")[2].split(","):
        location = urlsplit("//" + address)
        hosts.append((location.hostname or "localhost", location.port or default_port))
    return hosts


def _account(url: str) -> dict[str, Any]:
    user, _, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    account: dict[str, Any] = {"ssl": True} if url.startswith("rediss") else {}
    if user:
        account["username"] = unquote(user)
    if password:
        account["password"] = unquote(password)
    return account


class _LazyCluster:
    """Builds the client with the first command. redis-py fetches the cluster's layout in the constructor."""

    def __init__(self, build: Any) -> None:
        self._build = build
        self._client: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._client is None:
            self._client = self._build()
        return getattr(self._client, name)
