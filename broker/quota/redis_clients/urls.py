"""Builds a Redis client from `REDIS_URL`. Nothing is sent before the first command.

Supported are `redis://`, `rediss://` (TLS), `unix://`,
`redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]` and
`redis+cluster://[user:password@]host:port[,host:port…]` (`rediss+…` for TLS). Without a URL the client is an
in-process store for local runs, which runs the same commands and scripts.
"""

import functools
import ssl
from typing import Any

from broker.quota.redis_clients.cluster import ClusterClient
from broker.quota.redis_clients.connections import TcpConnection, TlsConnection, UnixConnection
from broker.quota.redis_clients.sentinel import Address, SentinelMaster
from broker.quota.redis_clients.single import Limits, RedisClient
from broker.settings.redis_url import RedisUrl, parse
from broker.settings.settings import Settings

Client = Any  # RedisClient, ClusterClient or the embedded store: the same commands


def redis_client(settings: Settings) -> Client:
    """Return the client that the settings ask for."""
    limits = Limits(settings.redis_connect_timeout, settings.redis_timeout, settings.redis_idle_timeout)
    return connect(settings.redis_url, limits)


def connect(url: str | None, limits: Limits) -> Client:
    """Return a client for `url`, which `Settings` has checked. Time-outs in the URL replace those of `limits`."""
    if url is None:
        return _embedded()
    place = parse(url)
    limits = Limits(
        float(place.options.get("socket_connect_timeout", limits.connect)),
        float(place.options.get("socket_timeout", limits.reply)),
        limits.idle,
    )
    account = {"username": place.username or None, "password": place.password or None}
    if place.kind == "cluster":
        client_for = functools.partial(_client, place, limits, account)
        return ClusterClient(place.hosts, client_for, limits.connect + limits.reply)
    if place.kind == "sentinel":
        return RedisClient(_sentinel(place, limits, account).connect, limits, place.service)
    if place.kind == "unix":
        options = _options(place, limits) | account | {"path": place.path, "db": place.db}
        return RedisClient(functools.partial(_open, UnixConnection, options), limits, place.path)
    return _client(place, limits, account, place.hosts[0])


def _embedded() -> Client:
    import fakeredis  # noqa: PLC0415 - only local runs load it

    return fakeredis.FakeRedis()


def _sentinel(place: RedisUrl, limits: Limits, account: dict[str, Any]) -> SentinelMaster:
    own_account = {
        "username": place.options.get("sentinel_username"),
        "password": place.options.get("sentinel_password"),
    }
    sentinels = [_client(place, limits, own_account, host, db=0) for host in place.hosts]
    connect_to = functools.partial(_connect, place, limits, account, db=place.db)
    return SentinelMaster(place.service, sentinels, connect_to, limits.connect + limits.reply)


def _client(
    place: RedisUrl, limits: Limits, account: dict[str, Any], address: Address, db: int | None = None
) -> RedisClient:
    connect = functools.partial(_connect, place, limits, account, address, db=place.db if db is None else db)
    return RedisClient(connect, limits, f"{address[0]}:{address[1]}")


def _connect(place: RedisUrl, limits: Limits, account: dict[str, Any], address: Address, *, db: int) -> Any:
    options = _options(place, limits) | account | {"host": address[0], "port": address[1], "db": db}
    if not place.is_tls:
        return _open(TcpConnection, options)
    return _open(TlsConnection, options | {"tls_context": _tls_context(tuple(sorted(place.options.items())))})


def _open(kind: Any, options: dict[str, Any]) -> Any:
    connection = kind(**options)
    connection.connect()
    return connection


def _options(place: RedisUrl, limits: Limits) -> dict[str, Any]:
    return {
        "socket_connect_timeout": limits.connect,
        "socket_timeout": limits.reply,
        "client_name": place.options.get("client_name"),
        "driver_info": None,  # spares two round trips
        "protocol": 2,
    }


@functools.lru_cache(maxsize=4)
def _tls_context(options: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    """Verifies certificates against `ssl_ca_certs`, else the system's authorities (`SSL_CERT_FILE`)."""
    given = dict(options)
    context = ssl.create_default_context(cafile=given.get("ssl_ca_certs"))
    if given.get("ssl_check_hostname", "true").lower() == "false" or given.get("ssl_cert_reqs", "").lower() == "none":
        context.check_hostname = False
    if given.get("ssl_cert_reqs", "").lower() == "none":
        context.verify_mode = ssl.CERT_NONE
    if "ssl_certfile" in given:
        context.load_cert_chain(given["ssl_certfile"], given.get("ssl_keyfile"))
    return context
