"""Redirects from addresses with a trailing slash, as people type and link them, to the page without one."""

from __future__ import annotations

import re

from flask import current_app, redirect, request, url_for
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response

_SLASHES = re.compile("/+")


def redirect_for(error: HTTPException) -> Response | None:
    """Return the redirect for a request that no route matches, if one does without the trailing slash; else None.

    The target is built from the route, so it is always an address of this site.
    """
    if (
        not isinstance(error, NotFound)
        or error is not request.routing_exception
        or request.method not in ("GET", "HEAD")
    ):
        return None
    path = _SLASHES.sub("/", request.path)
    adapter = current_app.create_url_adapter(request)
    if not path.endswith("/") or adapter is None:
        return None
    try:
        endpoint, arguments = adapter.match(path.rstrip("/"), method="GET")
    except HTTPException:
        return None
    query = request.query_string.decode("latin-1")
    return redirect(url_for(endpoint, **arguments) + (f"?{query}" if query else ""), 308)
