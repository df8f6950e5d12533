"""Signing out when a game asks for it (OpenID Connect RP-Initiated Logout 1.0). The person confirms it on a page."""

from __future__ import annotations

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from flask import Blueprint, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.accounts.identity import end_session
from app.oauth.form_policy import origin_in_policy
from app.oauth.requests import address_with, read_parameters
from app.security import allow_form_redirects
from shared.db import reading
from shared.errors import Invalid
from shared.models.sign_in import ID_TOKEN_ALGORITHMS
from shared.services.oauth import clients, keys

bp = Blueprint("oauth_logout", __name__)


@bp.get("/oauth/logout")
def ask() -> ResponseReturnValue:
    """Ask whether to sign out. Whoever is signed out already returns to the game at once."""
    try:
        destination = _destination()
    except Invalid as error:
        return make_response(
            render_template("oauth/fault.html", error="invalid_request", description=error.message), 400
        )
    if not current_user.is_authenticated:
        return redirect(destination or url_for("pages.home"), 302)
    response = make_response(
        render_template("oauth/logout.html", action=address_with(".confirm", read_parameters(request)))
    )
    if destination:
        allow_form_redirects(response, origin_in_policy(destination))
    return response


@bp.post("/oauth/logout/confirm")
def confirm() -> ResponseReturnValue:
    """Sign out, and return to the game."""
    destination = _destination()
    end_session()
    return redirect(destination or url_for("pages.home"), 303)


def _destination() -> str | None:
    """Return the address to which the client wants the person to return.

    Raises:
        Invalid: The client is unknown, or has not registered the address. Nobody is sent there.
    """
    try:
        sent = read_parameters(request)
    except OAuth2Error as error:
        raise Invalid(error.description) from None
    client_id = sent.get("client_id")
    with reading() as session:
        if "id_token_hint" in sent:
            audience = _audience_of(sent["id_token_hint"], KeySet.import_key_set({"keys": keys.public_keys(session)}))
            if client_id is not None and client_id != audience:
                raise Invalid("the id_token_hint was issued to another client")
            client_id = audience
        uri = sent.get("post_logout_redirect_uri")
        if uri is None:
            return None
        client = None if client_id is None else clients.find_client(session, client_id)
        if client is None or uri not in client.logout_uris:
            raise Invalid("the post_logout_redirect_uri is not one that the client has registered")
    return str(add_params_to_uri(uri, [("state", sent["state"])])) if "state" in sent else uri


def _audience_of(id_token: str, key_set: KeySet) -> str:
    """Return the client that an ID token was issued to. It may be over. Raises Invalid if we did not issue it."""
    try:
        claims = jwt.decode(id_token, key_set, algorithms=list(ID_TOKEN_ALGORITHMS)).claims
    except (JoseError, ValueError):
        raise Invalid("the id_token_hint is not one of ours") from None
    return str(claims.get("aud"))
