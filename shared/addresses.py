"""Addresses as one counts them: whoever has one of an IPv6 network has all of its 2^64."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

IPV6_PREFIX = 64


def counted_address(text: str) -> str:
    """Whose doing it was: IPv4 (also written as IPv6) address by address, IPv6 by network. Other text stays."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if address.version == 4:
        return text
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, IPV6_PREFIX), strict=False))
