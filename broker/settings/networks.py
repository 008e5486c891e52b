"""Whose request is it, by the addresses that it names: the peer's, and those that proxies say it came from. Pure.

A header can be forged, so that it may only take rights away, never give them: every address that a request names
has to be one of the listed. A proxy that appends to what the client sent, or passes it on, then opens nothing.
"""

import ipaddress
import re
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# RFC 7239, 4: for=192.0.2.43, for="[2001:db8::17]:4711", for=unknown, for=_hidden
_FORWARDED_FOR = re.compile(r'for\s*=\s*("[^"]*"|[^;,\s]*)', re.IGNORECASE)


def all_within(networks: Iterable[Network], peer: str, forwarded: Iterable[str]) -> bool:
    """Whether the peer and each address that it says it speaks for lie in `networks`; one that is none does not."""
    listed = tuple(networks)
    return all(_is_within(listed, text) for text in (peer, *forwarded))


def named(x_forwarded_for: Iterable[str], x_real_ip: Iterable[str], forwarded: Iterable[str]) -> list[str]:
    """The addresses in these header fields, each of which may stand several times; as they are written there."""
    chains = [part.strip() for field in x_forwarded_for for part in field.split(",")]
    hops = [hop for field in forwarded for hop in _hops(field)]
    return [*chains, *(field.strip() for field in x_real_ip), *hops]


def _hops(field: str) -> list[str]:
    """A `Forwarded` field that names nobody is one empty, and so unlisted, address."""
    hops = [match.strip('"') for match in _FORWARDED_FOR.findall(field)]
    return [hop.removeprefix("[").removesuffix("]") for hop in hops] or [""]


def _is_within(networks: tuple[Network, ...], text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped  # how a socket for both families shows an IPv4 peer
    return any(address in network for network in networks)
