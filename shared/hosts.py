"""Hosts of ways to connect, as people type and paste them: names in any script, IP addresses, ports, telnet URLs."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from shared.errors import Invalid

HOST_LONGEST = 253
LABEL_LONGEST = 63
TLS_SCHEMES = ("telnets", "telnet+ssl", "telnet+tls", "ssl", "tls")
WEB_SCHEMES = ("http", "https", "ws", "wss")

_EXAMPLE = "a name like mud.example.com or an IP address"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST_AND_PORT = re.compile(r"(?:telnet\s+)?(\S+)\s+(\d{1,10})", re.IGNORECASE | re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_ONLY_DIGITS = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


class Host(NamedTuple):
    """A host that clients can resolve, in ASCII, and the port that was typed with it, if any."""

    name: str
    port: int | None
    is_tls: bool = False


def parse_host(text: str) -> Host:
    """Return the host that a text means: `mud.example.com`, `host:port`, `host port`, `[IPv6]:port`, a telnet URL.

    A name that is not ASCII becomes its IDNA 2008 form (RFC 5891), the only one that telnet clients can resolve.

    Raises:
        Invalid: With the field `host` or `port`, and what to do instead.
    """
    text = text.strip()
    scheme = _URL.match(text)
    if scheme is not None:
        return _parse_url(text, scheme[1].lower())
    spaced = _HOST_AND_PORT.fullmatch(text)
    if spaced is not None:
        return Host(clean_host(spaced[1]), _port(spaced[2]))
    return _parse_pair(text)


def clean_host(text: str) -> str:
    """Return a host name or IP address without a port, as it is stored. Raises Invalid (field `host`)."""
    text = text.removesuffix(".")
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if ":" in text:
        return _clean_address(text)
    labels = text.split(".")
    if _ONLY_DIGITS.fullmatch(labels[-1]):  # no top-level domain is a number, and clients read it as an address
        return _clean_address(text)
    if not text.isascii():
        text = _to_ascii(text)
        labels = text.split(".")
    for label in labels:
        if len(label) > LABEL_LONGEST:
            raise _bad(f"the part “{label[:20]}…” of the host is longer than {LABEL_LONGEST} characters")
        if not _LABEL.fullmatch(label):
            raise _bad(f"the host must be {_EXAMPLE}, without spaces or other characters")
    if len(text) > HOST_LONGEST:
        raise _bad(f"the host is longer than {HOST_LONGEST} characters")
    return text


def _parse_url(text: str, scheme: str) -> Host:
    if scheme in WEB_SCHEMES:
        raise _bad("this is the address of a page: choose the kind web for it, or write the host alone")
    if scheme != "telnet" and scheme not in TLS_SCHEMES:
        raise _bad(f"players cannot connect to {scheme}:// addresses with telnet: write the host alone")
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets without an IPv6 address
        raise _bad(f"the host must be {_EXAMPLE}") from None
    if "@" in parts.netloc:
        raise _bad("leave out the user name and the password: write the host alone")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _bad("leave out what follows the host and the port")
    host = _parse_pair(parts.netloc)
    return host._replace(is_tls=scheme in TLS_SCHEMES)


def _parse_pair(text: str) -> Host:
    """Parse `host`, `host:port`, `[IPv6]` or `[IPv6]:port`. Colons without brackets are an IPv6 address."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _bad("write an IPv6 address like 2001:db8::1, or with a port like [2001:db8::1]:4000")
        return Host(_clean_address(address), _port(rest[1:]) if rest else None)
    if text.count(":") == 1:
        name, _, port = text.partition(":")
        return Host(clean_host(name), _port(port))
    return Host(clean_host(text), None)


def _clean_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        kind = "an IPv6 address" if ":" in text else "an IP address"
        example = "2001:db8::1" if ":" in text else "192.0.2.7"
        raise _bad(f"“{text[:50]}” is not {kind}: one looks like {example}") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise _bad("leave out the zone after the %: it means something only on your own machine")
    if address.is_unspecified or address.is_multicast or text == "255.255.255.255":
        raise _bad(f"nobody can connect to {address}: write the address that players use")
    return str(address)


def _to_ascii(text: str) -> str:
    import idna  # slow to import

    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise _bad(f"“{text[:50]}” cannot be a host: it must be {_EXAMPLE}") from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:10]) <= 65_535):
        raise Invalid("the port after the host must be a whole number from 1 to 65535", field="port")
    return int(text)


def _bad(sentence: str) -> Invalid:
    return Invalid(sentence, field="host")
