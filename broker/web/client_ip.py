"""Where a request comes from: the peer, or whom a trusted proxy says that it speaks for. Pure."""

import ipaddress

from broker.settings.networks import Network

IPV6_HOME = 64  # bits; what one household or one machine is given as a whole


def client_address(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """The nearest address that is no trusted proxy's. `peer`: who connected; `forwarded`: `X-Forwarded-For`.

    Each proxy adds its own peer at the right end of the header, so what stands left of the first
    address that is not trusted is that client's invention. An IPv6 address counts with its network.
    """
    address = peer
    for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        if not _is_trusted(address, trusted):
            break
        address = hop
    return _home(address)


def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _home(address: str) -> str:
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
