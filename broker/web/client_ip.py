"""The client's address: the peer's, or the one that a trusted proxy reports. Pure."""

import ipaddress

from broker.settings.networks import Network

IPV6_HOME = 64  # bits of the prefix that providers assign to one household or machine


def client_address(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """The nearest address that is not a trusted proxy. `peer`: the connected address; `forwarded`: `X-Forwarded-For`.

    Each proxy appends its peer on the right, so anything left of the first untrusted address may be forged.
    IPv6 addresses are reduced to their network.
    """
    address = peer
    for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        if not _is_trusted(address, trusted):
            break
        address = hop
    return _household(address)


def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _household(address: str) -> str:
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, IPV6_HOME), strict=False))
    return str(parsed) if parsed else "unknown"


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
