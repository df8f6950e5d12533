"""Which pages may lead, after a form, to the address of a game.

Browsers apply `form-action` of the Content-Security-Policy to the redirects that follow a form. The pages to sign in
lead to `/oauth/authorize`, which may send people on to the game at once.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from flask import Response, request, url_for
from sqlalchemy.exc import SQLAlchemyError

from app.security import allow_form_redirects
from shared.db import reading
from shared.services.oauth import clients

PAGES = frozenset(["accounts.sign_in", "accounts.register"])


def allow_returning(response: Response) -> Response:
    """Extend the policy of a page to sign in, if it leads to a valid authorization request."""
    target = request.args.get("next", "")
    if request.endpoint in PAGES and target.startswith(f"{request.script_root}{url_for('oauth.authorize')}?"):
        sent = parse_qs(urlsplit(target).query)
        client_id, uri = (sent.get(name, [""])[0] for name in ("client_id", "redirect_uri"))
        try:
            with reading() as session:
                client = clients.find_client(session, client_id)
                is_valid = client is not None and clients.has_redirect_uri(client, uri)
        except SQLAlchemyError:  # the page itself may be about that
            return response
        if is_valid:
            allow_form_redirects(response, origin_in_policy(uri))
    return response


def origin_in_policy(uri: str) -> str:
    """Return the source expression for an address. IPv6 has none, so `http:` stands for it."""
    parts = urlsplit(uri)
    return "http:" if ":" in (parts.hostname or "") else f"{parts.scheme}://{parts.netloc}"
