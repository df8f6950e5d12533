"""Compressed responses: files and public pages, with Brotli or gzip. Pages that may hold a secret are sent as they are.

docs/decisions/0023-compression.md says why. A compressed response has the ETag of the original as a weak one: both have
the same content, so either answers `If-None-Match`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable

import brotli
from flask import Flask, Response, g, request

SMALLEST = 512
TYPES = frozenset(
    [
        "application/atom+xml",
        "application/javascript",
        "application/json",
        "application/manifest+json",
        "application/xml",
        "application/yaml",
        "image/svg+xml",
        "text/css",
        "text/html",
        "text/javascript",
        "text/plain",
    ]
)
FILES = frozenset(["static", "modules.serve", "docs.asyncapi"])
"""The endpoints whose responses are the same for everyone, so that they are compressed once."""

Compress = Callable[[bytes], bytes]
ENCODINGS: dict[str, tuple[Compress, Compress]] = {
    "br": (lambda body: brotli.compress(body, quality=11), lambda body: brotli.compress(body, quality=4)),
    "gzip": (lambda body: gzip.compress(body, 9, mtime=0), lambda body: gzip.compress(body, 6, mtime=0)),
}
"""How to compress a file, which is kept, and a page, which is not."""


def init_app(app: Flask) -> None:
    """Compress what the client accepts compressed."""
    kept: dict[tuple[str, str], bytes] = {}

    @app.after_request
    def compress(response: Response) -> Response:
        is_file = request.endpoint in FILES
        if response.mimetype not in TYPES or not (is_file or _is_public(response)):
            return response
        response.vary.add("Accept-Encoding")
        if response.status_code != 200 or "Content-Encoding" in response.headers or request.method == "HEAD":
            return response
        encoding = _accepted()
        length = response.content_length
        if encoding is None or (length is not None and length < SMALLEST) or (response.is_streamed and not is_file):
            return response
        response.direct_passthrough = False
        body = response.get_data()
        thorough, quick = ENCODINGS[encoding]
        etag, _is_weak = response.get_etag()
        if is_file and etag:
            key = (encoding, etag)
            if key not in kept:
                kept[key] = thorough(body)
            response.set_data(kept[key])
        else:
            response.set_data(quick(body))
        response.headers["Content-Encoding"] = encoding
        response.headers.pop("Accept-Ranges", None)
        if etag:
            response.set_etag(etag, weak=True)
        return response


def _is_public(response: Response) -> bool:
    """Return whether a page holds no secret: it has no form, and was not made for somebody who is signed in."""
    user = g.get("_login_user")
    is_signed_in = user is not None and user.is_authenticated
    return not (is_signed_in or "csrf_token" in g or response.cache_control.no_store)


def _accepted() -> str | None:
    """Return the best encoding that the client accepts."""
    accepted = request.accept_encodings
    qualities = {encoding: accepted.quality(encoding) for encoding in ENCODINGS}
    best = max(qualities, key=lambda encoding: qualities[encoding])  # the first of equals
    return best if qualities[best] > 0 and qualities[best] >= accepted.quality("identity") else None
