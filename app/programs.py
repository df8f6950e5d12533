"""Endpoints that other programs call. What they do does not depend on a cookie, so nobody can forge a request."""

from __future__ import annotations

from flask import request

BLUEPRINT = "oauth_api"


def is_for_programs() -> bool:
    """Return whether the request is to such an endpoint: it needs no CSRF token, and may come from another site."""
    return request.blueprint == BLUEPRINT
