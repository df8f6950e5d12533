"""Files that are the same for everybody, so that caches may keep them for a while."""

from __future__ import annotations

from flask import Response, request
from flask.typing import ResponseReturnValue

KEPT_SECONDS = 300


def public_file(data: bytes | str, mimetype: str) -> ResponseReturnValue:
    """The answer with a file; without it for who has it already."""
    response = Response(data, mimetype=mimetype)
    response.cache_control.public = True
    response.cache_control.max_age = KEPT_SECONDS
    response.add_etag()
    return response.make_conditional(request)
