"""The page on which people let a game know who they are (RFC 6749, section 3.1; OpenID Connect Core, section 3.1.2).

A request that names no known client, or an address that the client has not registered, gets a page with the fault.
Every other fault is told to the client by a redirect.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AccessDeniedError
from authlib.oidc.core.errors import ConsentRequiredError, LoginRequiredError
from flask import Blueprint, current_app, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from itsdangerous import BadSignature, URLSafeTimedSerializer

from app.accounts.identity import signed_in_at
from app.oauth.form_policy import origin_in_policy
from app.oauth.requests import GameRequest, address_with
from app.oauth.server import DESCRIPTIONS, get_server, oauth_reading, oauth_transaction
from app.security import allow_form_redirects
from shared.db import utc_now
from shared.models import Game
from shared.services.accounts import get_account
from shared.services.oauth import clients, grants
from shared.settings import Settings

bp = Blueprint("oauth", __name__)
ASKED = "signed_in_after"
"""The parameter that remembers when `prompt=login` was answered with the page to sign in."""
ASKED_SECONDS = 600
FORM_FIELDS = frozenset(["allow", "csrf_token"])


@bp.get("/oauth/authorize")
def authorize() -> ResponseReturnValue:
    """Return to the game with a code, or show the page of consent, or the page to sign in."""
    try:
        with oauth_reading():
            grant = get_server().get_consent_grant()
            needed = _needed_page(grant)
            if needed == "consent":
                return _consent_page(grant)
        if needed == "sign in":
            return _sign_in_page(grant)
        return _give_code(grant)
    except OAuth2Error as error:
        return _answer_error(error)


@bp.post("/oauth/consent")
def consent() -> ResponseReturnValue:
    """Return to the game with a code, or with the refusal. The address repeats the game's request."""
    try:
        with oauth_reading():
            grant = get_server().get_consent_grant()
            needed = _needed_page(grant)
        if needed == "sign in":
            return _sign_in_page(grant)
        if request.form.get("allow") != "true":
            raise AccessDeniedError(DESCRIPTIONS["access_denied"], redirect_uri=grant.redirect_uri)
        return _give_code(grant)
    except OAuth2Error as error:
        return _answer_error(error)


def _needed_page(grant: Any) -> str:
    """Return which page must be shown before the answer: `sign in`, `consent`, or an empty text.

    Raises:
        OAuth2Error: The client wants no page to be shown.
    """
    sent = grant.request.payload.data
    prompts = set(sent.get("prompt", "").split())
    client: clients.Client = grant.request.client.record
    if not _is_signed_in(sent, prompts):
        if "none" in prompts:
            raise LoginRequiredError("The person must sign in first.", redirect_uri=grant.redirect_uri)
        return "sign in"
    # Any program on a computer could claim to be the one that asks (RFC 8252, section 8.6).
    must_ask = "consent" in prompts or clients.is_loopback(grant.redirect_uri)
    with oauth_reading() as session:
        known = grants.find_grant(session, user_id=current_user.id, client=client)
    if must_ask or not grants.covers(known, grant.request.scope.split()):
        if "none" in prompts:
            raise ConsentRequiredError("The person must agree first.", redirect_uri=grant.redirect_uri)
        return "consent"
    return ""


def _is_signed_in(sent: dict[str, str], prompts: set[str]) -> bool:
    """Return whether somebody is signed in, and as recently as the client wants."""
    if not current_user.is_authenticated:
        return False
    if "max_age" not in sent and not prompts & {"login", "select_account"}:
        return True
    since = signed_in_at()
    if since is None:
        return False
    if _has_signed_in_again(sent, int(since.timestamp())):
        return True
    is_recent = "max_age" in sent and (utc_now() - since).total_seconds() <= int(sent["max_age"])
    return is_recent and not prompts & {"login", "select_account"}


def _has_signed_in_again(sent: dict[str, str], since: int) -> bool:
    try:
        asked_at: int = _signer().loads(sent.get(ASKED, ""), max_age=ASKED_SECONDS)
    except BadSignature:
        return False
    return since >= asked_at


def _sign_in_page(grant: Any) -> ResponseReturnValue:
    """Redirect to the page to sign in, which leads back to this request."""
    asked = _signer().dumps(int(utc_now().timestamp()))
    flash(f"Sign in here first to go on to {grant.request.client.record.name}.", "notice")
    return redirect(url_for("accounts.sign_in", next=address_with(".authorize", _sent(grant) | {ASKED: asked})), 303)


def _sent(grant: Any) -> dict[str, str]:
    """Return the parameters of the client's request, without the fields of our form."""
    return {name: value for name, value in grant.request.payload.data.items() if name not in FORM_FIELDS}


def _consent_page(grant: Any) -> ResponseReturnValue:
    client: clients.Client = grant.request.client.record
    with oauth_reading() as session:
        user = get_account(session, current_user.id)
        sent = _sent(grant)
        page = render_template(
            "oauth/consent.html",
            client=client,
            is_game=isinstance(client, Game),
            owner=client.owner.username if isinstance(client, Game) else None,
            scopes=grant.request.scope.split(),
            user=user,
            host=urlsplit(grant.redirect_uri).netloc,
            is_loopback=clients.is_loopback(grant.redirect_uri),
            action=address_with(".consent", sent),
            switch=url_for("accounts.sign_in", next=address_with(".authorize", sent)),
        )
    response = make_response(page)
    response.headers["Cache-Control"] = "no-store"
    allow_form_redirects(response, origin_in_policy(grant.redirect_uri))
    return response


def _give_code(grant: Any) -> ResponseReturnValue:
    """Redirect to the game with a code. Reads the client again, in the transaction that stores the code."""
    with oauth_transaction() as session:
        fresh = get_server().get_consent_grant()
        user = get_account(session, current_user.id)
        _status, _body, headers = fresh.create_authorization_response(fresh.redirect_uri, user)
        location = dict(headers)["Location"]
    return _return_to_client(location, {})


def _answer_error(error: OAuth2Error) -> ResponseReturnValue:
    """Tell the client about a fault, or the person if the client is not known for sure."""
    description = error.description or DESCRIPTIONS.get(error.error, "The request failed.")
    if error.redirect_uri:
        answer = {"error": error.error, "error_description": description}
        state = _state()
        return _return_to_client(error.redirect_uri, answer | ({"state": state} if state else {}))
    page = render_template("oauth/fault.html", error=error.error, description=description)
    return make_response(page, 400)


def _state() -> str | None:
    try:
        return GameRequest(request).payload.state  # type: ignore[no-any-return]
    except OAuth2Error:
        return None


def _return_to_client(uri: str, parameters: dict[str, str]) -> ResponseReturnValue:
    """Redirect to the client. The answer names us (RFC 9207), so that it cannot be taken for another provider's."""
    settings: Settings = current_app.extensions["settings"]
    location = add_params_to_uri(uri, [*parameters.items(), ("iss", settings.public_url)])
    response = redirect(location, 303 if request.method == "POST" else 302)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _signer() -> URLSafeTimedSerializer:
    settings: Settings = current_app.extensions["settings"]
    return URLSafeTimedSerializer(settings.signing_keys, salt="oauth-signed-in-after")
