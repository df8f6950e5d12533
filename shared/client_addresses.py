"""The addresses of clients behind proxies, read in the same way for the site and for workers.

A proxy names its client in `X-Forwarded-For`, or in `Forwarded` (RFC 7239). Anyone can write these headers, so they are
believed only as far as trusted proxies have written them: from right to left, up to the first address that is not a
trusted proxy's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PRIVATE_NETWORKS = "127.0.0.0/8 ::1 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 fc00::/7 fe80::/10"
MAX_HOPS = 20
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[,;]|[^",;]+')
_WITH_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+))(?::[0-9A-Za-z._-]+)?")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the addresses and networks in a text, separated by spaces or commas.

    Raises:
        ValueError: One of them is not an address or network; the message names it.
    """
    networks = []
    for part in text.replace(",", " ").split():
        try:
            networks.append(ip_network(part))
        except ValueError:
            raise ValueError(f"{part!r} is not an address, nor a network like 10.0.0.0/8") from None
    return tuple(networks)


def parse_address(text: str) -> Address | None:
    """Return the address in a text, without its port; None if there is none.

    Understands `203.0.113.7`, `203.0.113.7:51234`, `2001:db8::7`, `[2001:db8::7]`, `[2001:db8::7]:51234`, with quotes
    or without. An IPv4 address that is written as IPv6 becomes IPv4.
    """
    text = text.strip().strip('"').strip()
    with_port = _WITH_PORT.fullmatch(text)
    if with_port is not None:
        text = with_port[1] or with_port[2]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class TrustedProxies:
    """The proxies whose headers are believed. False if there are none."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def has(self, address: str) -> bool:
        """Return whether an address is a trusted proxy's."""
        parsed = parse_address(address)
        return parsed is not None and self._has(parsed)

    def client_address(self, peer: str, *, forwarded_for: str = "", forwarded: str = "") -> str:
        """Return the address of the client behind a connection.

        Args:
            peer: The address of the connection's other end.
            forwarded_for: The `X-Forwarded-For` header, "" if there is none.
            forwarded: The `Forwarded` header. Ignored if there is an `X-Forwarded-For`.

        Returns:
            The last address that no trusted proxy has. If a proxy does not name its client, that proxy's address.
        """
        client = parse_address(peer)
        if client is None:
            return peer
        hops = _hops(forwarded_for, forwarded)
        while self._has(client):
            hop = next(hops, None)
            before = None if hop is None else parse_address(hop)
            if before is None:
                break
            client = before
        return str(client)

    def _has(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


NO_PROXIES = TrustedProxies(())


def _hops(forwarded_for: str, forwarded: str) -> Iterator[str]:
    """Yield the addresses of the headers, the last one first."""
    if forwarded_for.strip():
        hops = forwarded_for.rsplit(",", MAX_HOPS)
    else:
        hops = [_named_client(element) for element in _elements(forwarded)][-MAX_HOPS:]
    return reversed(hops)


def _elements(forwarded: str) -> list[list[str]]:
    """Return the elements of a `Forwarded` header, each as a list of `name=value`. Keeps quoted separators."""
    elements = [[""]]
    for piece in _PIECE.findall(forwarded):
        if piece == ",":
            elements.append([""])
        elif piece == ";":
            elements[-1].append("")
        else:
            elements[-1][-1] += piece
    return elements


def _named_client(element: list[str]) -> str:
    pairs = (pair.partition("=") for pair in element)
    return next((value for name, _, value in pairs if name.strip().lower() == "for"), "")
