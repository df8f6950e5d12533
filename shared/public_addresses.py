"""Which addresses are on the public internet. People type the hosts that we connect to, and must not reach our own."""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Addresses that look public but belong to a cloud's internal services, or to nobody.
_INSIDE = [ipaddress.ip_network(text) for text in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")]


def is_public(address: str) -> bool:
    """Return whether an address is on the public internet.

    Private, local and reserved addresses are not, nor are IPv6 addresses that contain one of those.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64 or (inner is None and int(ip) < 1 << 32):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not any(ip in network for network in _INSIDE) and not ip.is_multicast and not ip.is_reserved
