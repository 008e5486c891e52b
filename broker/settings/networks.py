"""Checks the addresses of a request, the peer's and those in forwarding headers, against networks. Pure.

Headers can be forged, so they may only remove rights: every address that a request names must be listed. A proxy
that appends to or passes on a client's header then grants nothing.
"""

import ipaddress
import re
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# RFC 7239, 4: for=192.0.2.43, for="[2001:db8::17]:4711", for=unknown, for=_hidden
_FORWARDED_FOR = re.compile(r'for\s*=\s*("[^"]*"|[^;,\s]*)', re.IGNORECASE)


def all_within(networks: Iterable[Network], peer: str, forwarded: Iterable[str]) -> bool:
    """Whether the peer and every forwarded address lie in `networks`. Text that is no address does not."""
    listed = tuple(networks)
    return all(_is_within(listed, text) for text in (peer, *forwarded))


def addresses_in(x_forwarded_for: Iterable[str], x_real_ip: Iterable[str], forwarded: Iterable[str]) -> list[str]:
    """The addresses in these header fields, as written. Each field may occur several times."""
    chains = [part.strip() for field in x_forwarded_for for part in field.split(",")]
    hops = [hop for field in forwarded for hop in _hops(field)]
    return [*chains, *(field.strip() for field in x_real_ip), *hops]


def _hops(field: str) -> list[str]:
    """The addresses of a `Forwarded` field. A field without any counts as one empty, unlisted address."""
    hops = [match.strip('"') for match in _FORWARDED_FOR.findall(field)]
    return [hop.removeprefix("[").removesuffix("]") for hop in hops] or [""]


def _is_within(networks: tuple[Network, ...], text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped  # an IPv4 peer on a dual-stack socket
    return any(address in network for network in networks)
