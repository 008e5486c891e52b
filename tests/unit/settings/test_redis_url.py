"""REDIS_URL: every form is parsed, and every mistake gives one message without a piece of the password."""

from urllib.parse import quote

import pytest

from broker.settings.redis_url import parse

ALL_CHARACTERS = "pa:ss/w#o?r[d]@%25 \x01é\"'\\&=+;,"


@pytest.mark.parametrize(
    ("url", "kind", "hosts"),
    [
        ("redis://:@redis-stack:6379", "single", (("redis-stack", 6379),)),
        ("redis://", "single", (("localhost", 6379),)),
        ("redis://[::1]:6380/0", "single", (("::1", 6380),)),
        ("rediss+sentinel://one:1,two/mymaster/3", "sentinel", (("one", 1), ("two", 26379))),
        ("redis+cluster://one,[::1]:2", "cluster", (("one", 6379), ("::1", 2))),
    ],
)
def test_every_form_names_its_hosts(url: str, kind: str, hosts: tuple[tuple[str, int], ...]) -> None:
    """Ports have defaults."""
    assert (parse(url).kind, parse(url).hosts) == (kind, hosts)


@pytest.mark.parametrize("scheme", ["redis://", "rediss+cluster://", "redis+sentinel://"])
def test_a_percent_encoded_password_may_have_any_character(scheme: str) -> None:
    """The user name may as well."""
    encoded = quote(ALL_CHARACTERS, safe="")
    place = parse(f"{scheme}{encoded}:{encoded}@host:1" + ("/mymaster" if "sentinel" in scheme else ""))
    assert (place.username, place.password) == (ALL_CHARACTERS, ALL_CHARACTERS)
    assert place.hosts == (("host", 1),)
    assert "pa:ss" not in repr(place)


def test_options_of_redis_py_for_tls_are_understood() -> None:
    """All forms accept them, Sentinel and Cluster included."""
    place = parse("rediss+cluster://host?ssl_ca_certs=/run/ca%20.pem&ssl_cert_reqs=none")
    assert place.options == {"ssl_ca_certs": "/run/ca .pem", "ssl_cert_reqs": "none"}


def test_a_plus_in_an_option_is_a_plus() -> None:
    """As it is in the user name and the password of the URL. A blank is %20."""
    place = parse("redis+sentinel://host/mymaster?sentinel_password=one+two%2B%20three")
    assert place.options == {"sentinel_password": "one+two+ three"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://127.0.0.1:abc", "must have port numbers"),
        ("redis://:planted@127.0.0.1:0", "must have port numbers"),
        ("redis+cluster://:planted@one:1,two:99999", "must have port numbers"),
        ("redis://:plan/ted@127.0.0.1:6379", "percent-encoded"),
        ("redis://:plan#ted@127.0.0.1:6379", "percent-encoded"),
        ("redis://:plan?ted@127.0.0.1:6379", "percent-encoded"),
        ("redis://:plan[ted@127.0.0.1:6379", "percent-encoded"),
        ("redis://:plan]ted@127.0.0.1:6379", "percent-encoded"),
        ("redis://:planted:2@127.0.0.1:1:2", "percent-encoded"),
        ("redis://:planted@host\nx", "must not contain blanks"),
        ("redis://:plan ted@host", "must not contain blanks"),
        ("redis://127.0.0.1:6379/0?socket_timeout=planted", "must have a number of seconds above 0"),
        ("redis://127.0.0.1:6379/0?socket_timeout=0", "must have a number of seconds above 0"),
        ("redis://127.0.0.1:6379/0?planted=1", "must have no options but these"),
        ("rediss://127.0.0.1?ssl_cert_reqs=planted", "must have required or none"),
        ("redis://:planted@host?ssl_ca_certs=/run/ca.pem", "must start with rediss:// for the option ssl_ca_certs"),
        ("redis+cluster://host?ssl_certfile=/planted.pem", "must start with rediss.cluster:// for the option"),
        ("redis://127.0.0.1:6379/planted", "must end in the number of the database"),
        ("redis://127.0.0.1:6379/0/planted", "must end in the number of the database"),
        ("redis+sentinel://127.0.0.1:26379/mymaster/planted", "must end in the number of the database"),
        ("redis+sentinel://127.0.0.1:26379", "must end in the name of the Sentinel service"),
        ("redis+cluster://127.0.0.1:6379/1", "must not name a database"),
        ("redis+cluster://:planted@", "must be a URL such as"),
        ("redis://:planted@one:1,two:2", "must start with redis.sentinel:// or redis.cluster://"),
        ("redis+cluster://:planted@one:1,two:2,", "must have a host between the commas"),
        ("redis+sentinel://one,,two/mymaster", "must have a host between the commas"),
        ("unix://", "must have the path of the socket"),
        ("planted", "must be a URL such as"),
        ("redis+planted://host", "must be a URL such as"),
    ],
)
def test_a_mistake_gives_a_message_without_a_secret(url: str, message: str) -> None:
    """Each part of a URL with an unencoded password may hold a piece of it."""
    with pytest.raises(ValueError, match=message) as error:
        parse(url)
    assert not any(secret in str(error.value) for secret in ("plan", "ted"))
