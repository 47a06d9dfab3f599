"""Who is on the other end: the peer's address, or what a trusted proxy says."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Network = IPv4Network | IPv6Network


def parse_networks(texts: list[str]) -> list[Network]:
    """CIDR texts as networks.

    Raises:
        ValueError: one of them is not a network; says which setting.
    """
    try:
        return [ip_network(text, strict=False) for text in texts]
    except ValueError as error:
        raise ValueError(f"TRUSTED_PROXIES: {error}") from None


def _in(address: str, networks: list[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def client_address(scope: Scope, trusted: list[Network]) -> str:
    """The nearest address that is not a trusted proxy. Everything further left in X-Forwarded-For is hearsay."""
    peer: str = scope["client"][0] if scope.get("client") else "unknown"
    if not trusted or not _in(peer, trusted):
        return peer
    forwarded = [v.decode("latin-1") for k, v in scope["headers"] if k == b"x-forwarded-for"]
    for hop in reversed([part.strip() for part in ",".join(forwarded).split(",")]):
        try:
            ip_address(hop)
        except ValueError:
            return peer
        if not _in(hop, trusted):
            return hop
        peer = hop
    return peer
