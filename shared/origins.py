"""The origins of addresses, as browsers write them into `Origin` (RFC 6454, section 6.2)."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_PORTS = {"http": 80, "https": 443}


def origin_of(address: str) -> str | None:
    """Return the origin of an address, to compare exactly with an `Origin` header. None if it has none."""
    try:
        scheme, host, port = _parts(address)
    except ValueError:
        return None
    return f"{scheme}://{host}{port}"


def site_origins(public_url: str) -> frozenset[str]:
    """Return the origins of pages under PUBLIC_URL: one, or for this machine one for each of its names."""
    scheme, host, port = _parts(public_url)
    return frozenset(f"{scheme}://{name}{port}" for name in (_LOOPBACK if host in _LOOPBACK else (host,)))


def _parts(address: str) -> tuple[str, str, str]:
    """Return the scheme, the host, and the port after a colon, empty if it is the scheme's own.

    Raises:
        ValueError: The address has no origin.
    """
    url = urlsplit(address)
    if not url.hostname or url.scheme not in _PORTS:
        raise ValueError("not the address of a page")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname.encode("idna").decode()
    return url.scheme, host, "" if url.port in (None, _PORTS[url.scheme]) else f":{url.port}"
