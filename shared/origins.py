"""The origins of the site's own pages, as browsers write them into `Origin` (RFC 6454, section 6.2)."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_PORTS = {"http": 80, "https": 443}


def site_origins(public_url: str) -> frozenset[str]:
    """Return the origins of pages under PUBLIC_URL: one, or for this machine one for each of its names.

    Compare an `Origin` header with these exactly.
    """
    url = urlsplit(public_url)
    host = (url.hostname or "").encode("idna").decode() if ":" not in (url.hostname or "") else f"[{url.hostname}]"
    port = "" if url.port in (None, _PORTS.get(url.scheme)) else f":{url.port}"
    return frozenset(f"{url.scheme}://{name}{port}" for name in (_LOOPBACK if host in _LOOPBACK else (host,)))
