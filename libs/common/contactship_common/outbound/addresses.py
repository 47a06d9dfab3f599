"""Which IP addresses a URL that came through the API may reach: public ones, and those that the operator allows."""

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V6_IN_USE = IPv6Network("2000::/3")
"""All public v6 addresses; what lies outside is local, reserved, or v4 in disguise."""
_NAT64 = IPv6Network("64:ff9b::/96")
# What `is_global` lets through, or did in one Python release or another, and is nobody's public web server.
_NEVER: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments; a cloud's metadata service lives here
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("168.63.129.16/32"),  # a cloud's host, as its virtual machines see it
    IPv6Network("2001::/23"),  # Teredo and other assignments
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)


def parse_networks(text: str) -> tuple[Network, ...]:
    """`10.0.0.0/8, ::1` as networks.

    Raises:
        ValueError: one of them is none; says which.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ipaddress.ip_network(part, strict=False))
        except ValueError:
            raise ValueError(f"{part!r} is not a network such as 10.0.0.0/8") from None
    return tuple(found)


def is_allowed(address: Address, allow: Sequence[Network] = ()) -> bool:
    """True for public addresses and those within `allow`. A v4 address in v6 clothes is judged as what it is."""
    plain = _plain(address)
    return any(form in network for form in (address, plain) for network in allow) or _is_public(plain)


def _plain(address: Address) -> Address:
    """The v4 address that is reached through this v6 one, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: Address) -> bool:
    if any(address in network for network in _NEVER) or (address.version == 6 and address not in _V6_IN_USE):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
