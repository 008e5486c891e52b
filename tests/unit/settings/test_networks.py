"""Addresses of a request, and the networks that may read /metrics."""

import ipaddress

import pytest

from broker.settings import networks
from tests.apps import make_client

LISTED = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("fc00::/7"))
STRANGER = "203.0.113.9"


@pytest.mark.parametrize("peer", ["10.1.2.3", "127.0.0.1", "::ffff:10.1.2.3", "fd00::1"])
def test_a_listed_peer_without_a_proxy_is_within(peer: str) -> None:
    """An IPv4 peer may have an IPv4-mapped IPv6 address."""
    assert networks.all_within(LISTED, peer, [])


@pytest.mark.parametrize("peer", [STRANGER, "::ffff:203.0.113.9", "2001:db8::1", "", "unix:", "127.0.0.2"])
def test_any_other_peer_is_not(peer: str) -> None:
    """Its forwarding headers change nothing."""
    assert not networks.all_within(LISTED, peer, [])
    assert not networks.all_within(LISTED, peer, ["10.1.2.3"])


@pytest.mark.parametrize(
    "forwarded", [[STRANGER], ["127.0.0.1", STRANGER], [STRANGER, "10.0.0.1"], ["unknown"], [""], ["10.0.0.1:80"]]
)
def test_one_address_that_is_not_listed_is_enough(forwarded: list[str]) -> None:
    """Its position does not matter: a client may forge the left part, and proxies append on the right."""
    assert not networks.all_within(LISTED, "127.0.0.1", forwarded)


def test_every_field_that_names_an_address_is_read() -> None:
    """Each field may occur several times; `Forwarded` follows RFC 7239."""
    assert networks.addresses_in(["1.1.1.1, 2.2.2.2", "3.3.3.3"], ["4.4.4.4"], []) == [
        "1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4",
    ]  # fmt: skip
    assert networks.addresses_in([], [], ['for=5.5.5.5;proto=http, For="[2001:db8::1]"', "by=6.6.6.6"]) == [
        "5.5.5.5", "2001:db8::1", "",
    ]  # fmt: skip


def status(*fields: tuple[str, str], peer: str = "127.0.0.1", **environ: str) -> int:
    client = make_client(None, **environ)
    return client.get("/metrics", headers=list(fields), environ_overrides={"REMOTE_ADDR": peer}).status_code


def test_metrics_are_for_the_listed_networks() -> None:
    """The default is loopback and the private networks."""
    assert status() == 200
    assert status(peer="172.18.0.5") == 200
    assert status(peer=STRANGER) == 403
    assert status(peer="172.18.0.5", METRICS_ALLOW="127.0.0.1") == 403
    assert status(peer=STRANGER, METRICS_ALLOW=f"127.0.0.1, {STRANGER}") == 200


@pytest.mark.parametrize("field", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_metrics_are_refused_to_a_stranger_behind_a_proxy(field: str) -> None:
    """Nginx, the peer, is listed."""
    prefix = "for=" if field == "Forwarded" else ""
    assert status((field, prefix + "10.1.2.3")) == 200
    assert status((field, prefix + STRANGER)) == 403


@pytest.mark.parametrize(
    "forged",
    [
        [("X-Forwarded-For", f"127.0.0.1, {STRANGER}")],  # a proxy that appends
        [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", STRANGER)],  # or that adds a field
        [("X-Forwarded-For", STRANGER), ("X-Forwarded-For", "127.0.0.1")],
        [("X-Forwarded-For", STRANGER), ("X-Real-IP", "127.0.0.1")],  # a proxy that passes fields on
        [("X-Real-IP", STRANGER), ("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=127.0.0.1")],
        [("X-Forwarded-For", "")],
        [("Forwarded", "secret")],
    ],
)
def test_a_forged_field_grants_nothing(forged: list[tuple[str, str]]) -> None:
    """Every combination with the proxy's own fields is refused."""
    assert status(*forged) == 403


def test_the_refusal_is_an_error_like_any_other() -> None:
    """It has the contract's format."""
    refused = make_client().get("/metrics", headers={"X-Forwarded-For": STRANGER})
    assert refused.json == {"error": "This endpoint is not for the public", "message": None, "code": "not_public"}
