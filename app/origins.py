"""Where forms come from: the second protection against forged requests, beside the CSRF token.

Browsers say so in `Origin` and `Sec-Fetch-Site`, which pages cannot forge. Many privacy settings leave out `Referer`,
so its absence proves nothing.
"""

from __future__ import annotations

from flask import Flask, current_app, request
from flask_wtf.csrf import CSRFError

from app.programs import is_for_programs
from shared.origins import origin_of
from shared.settings import Settings

FORM_METHODS = frozenset(["POST", "PUT", "PATCH", "DELETE"])


def init_app(app: Flask) -> None:
    """Check every request that changes something."""
    app.before_request(refuse_other_sites)


def refuse_other_sites() -> None:
    """Raise CSRFError if the browser says that another site sent the request."""
    if request.method not in FORM_METHODS or request.endpoint is None or is_for_programs():
        return
    if not _is_from_here():
        raise CSRFError("The form was sent by another site.")


def _is_from_here() -> bool:
    settings: Settings = current_app.extensions["settings"]
    # A proxy that does not pass on the host makes the request's own address differ from the public one.
    origins = {origin_of(settings.public_url), origin_of(request.host_url)}
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None and site not in ("same-origin", "none"):
        return False
    if origin == "null":  # what sandboxed pages send, but also browsers that hide the page's address
        return site is not None
    if origin is not None:
        return origin in origins
    return site is not None or not request.referrer or origin_of(request.referrer) in origins
