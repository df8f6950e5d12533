"""Addresses as limits count them: one user of IPv6 has a whole network of 2^64 addresses."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

IPV6_PREFIX = 64


def counted_address(text: str) -> str:
    """Return what limits count: an IPv4 address (also if written as IPv6) or an IPv6 network. Keep other text."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if address.version == 4:
        return text
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, IPV6_PREFIX), strict=False))
