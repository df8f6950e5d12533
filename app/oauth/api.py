"""The endpoints that games call: tokens, revocation, who somebody is, and the public keys."""

from __future__ import annotations

import json

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, Response, current_app, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from flask_limiter import RateLimitExceeded

from app.oauth.requests import address_with, read_parameters
from app.oauth.server import DESCRIPTIONS, get_server, oauth_reading, oauth_transaction
from app.programs import BLUEPRINT
from shared.db import transaction
from shared.models import Grant, User
from shared.services.oauth import grants, tokens
from shared.services.oauth.clients import Client

bp = Blueprint(BLUEPRINT, __name__)


@bp.post("/oauth/token")
def token() -> Response:
    """Redeem a code or a refresh token."""
    with oauth_transaction():
        return get_server().answer_token_request()


@bp.post("/oauth/revoke")
def revoke() -> Response:
    """Revoke a token (RFC 7009)."""
    with oauth_transaction():
        return get_server().answer_revocation()


@bp.route("/oauth/userinfo", methods=["GET", "POST"])
def userinfo() -> ResponseReturnValue:
    """Return the claims about the person (OpenID Connect Core, section 5.3)."""
    bearer = _read_bearer()
    if bearer is None:
        return _unauthorized()
    client, user, scopes = bearer
    if "openid" not in scopes:
        return _unauthorized("insufficient_scope", status=403)
    public_url = current_app.extensions["settings"].public_url
    return jsonify(grants.claims_of(client, user, scopes, public_url=public_url))


@bp.get("/users/me")
def me() -> ResponseReturnValue:
    """Return who the person is, as the first Grapevine did. It answered 401 for every fault."""
    bearer = _read_bearer()
    if bearer is None:
        return _unauthorized()
    client, user, scopes = bearer
    if "profile" not in scopes:
        return _unauthorized("insufficient_scope")
    answer: dict[str, str | None] = {"uid": grants.subject_of(client, user), "username": user.username}
    if "email" in scopes:
        answer["email"] = user.email if user.is_verified else None
    return Response(json.dumps(answer), mimetype="application/json")  # in this order, as old games print it


@bp.post("/oauth/authorize")
def authorize() -> ResponseReturnValue:
    """Go on with GET: clients may send the parameters as a form (OpenID Connect Core, section 3.1.2.1)."""
    return redirect(address_with("oauth.authorize", read_parameters(request)), 303)


@bp.post("/oauth/logout")
def logout() -> ResponseReturnValue:
    """Go on with GET: clients may send the parameters as a form (RP-Initiated Logout, section 2)."""
    return redirect(address_with("oauth_logout.ask", read_parameters(request)), 303)


@bp.after_request
def prevent_caching(response: Response) -> Response:
    """No cache may keep what these endpoints answer."""
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.errorhandler(OAuth2Error)
def oauth_error(error: OAuth2Error) -> Response:
    """Answer a request whose parameters cannot be read."""
    return get_server().answer_error(error)


@bp.errorhandler(RateLimitExceeded)
def rate_limited(error: RateLimitExceeded) -> ResponseReturnValue:
    """Answer a client that has failed too often."""
    return jsonify(error="temporarily_unavailable", error_description=error.description), 429


def _read_bearer() -> tuple[Client, User, list[str]] | None:
    """Return whose access token the request has, and what it can read; None if it has no valid one."""
    scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    with oauth_reading() as session:
        row = tokens.find_access_token(session, access_token.strip())
        if row is None:
            return None
        client, user, scopes, grant_id = row.grant.client, row.grant.user, row.access_scopes, row.grant_id
        is_news = grants.note_use(row.grant)
    if is_news:
        with transaction() as session:
            grant = session.get(Grant, grant_id)
            if grant is not None:
                grants.note_use(grant)
    return client, user, scopes


def _unauthorized(error: str = "invalid_token", *, status: int = 401) -> ResponseReturnValue:
    """Refuse a request (RFC 6750, section 3). One without a token is not told an error code in the header."""
    challenge = "Bearer"
    if request.headers.get("Authorization"):
        challenge += f' error="{error}"'
    description = DESCRIPTIONS[error]
    return jsonify(error=error, error_description=description), status, {"WWW-Authenticate": challenge}
