"""The client address of a request."""

import pytest

from broker.settings.parsers import networks
from broker.web.client_ip import client_address

PROXIES = networks("10.0.0.0/8, ::1, 192.0.2.9")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.5", "", "203.0.113.5"),
        ("203.0.113.5", "198.51.100.7", "203.0.113.5"),
        ("10.1.2.3", "198.51.100.7", "198.51.100.7"),
        ("10.1.2.3", "1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("10.1.2.3", "1.1.1.1, 198.51.100.7, 192.0.2.9", "198.51.100.7"),
        ("10.1.2.3", "10.9.9.9", "10.9.9.9"),
        ("::ffff:10.1.2.3", "198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("10.1.2.3", "nonsense", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_only_addresses_from_trusted_proxies_count(peer: str, forwarded: str, address: str) -> None:
    """The field is read from the right; the part that a client wrote is ignored."""
    assert client_address(peer, forwarded, PROXIES) == address


def test_no_proxy_is_trusted_by_default() -> None:
    """Loopback is not trusted either."""
    assert client_address("127.0.0.1", "198.51.100.7", ()) == "127.0.0.1"
