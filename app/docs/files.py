"""Public files, which caches may keep for a while."""

from __future__ import annotations

from flask import Response, request
from flask.typing import ResponseReturnValue

CACHE_SECONDS = 300


def public_file(data: bytes | str, mimetype: str) -> ResponseReturnValue:
    """Return a response with a file; 304 if the client already has it."""
    response = Response(data, mimetype=mimetype)
    response.cache_control.public = True
    response.cache_control.max_age = CACHE_SECONDS
    response.add_etag()
    return response.make_conditional(request)
