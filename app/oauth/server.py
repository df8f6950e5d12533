"""Authlib's authorization server, with our rules (`shared/services/oauth`) behind it.

Every endpoint opens one transaction and keeps its session in `g.oauth_session`. An error of OAuth is an answer, not an
exception that rolls back: what a replayed code or token revokes must stay revoked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer as FlaskAuthorizationServer
from authlib.oauth2 import OAuth2Error, OAuth2Request, rfc7009
from authlib.oauth2.rfc6749 import ClientMixin, InvalidGrantError, InvalidRequestError, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants.code import OpenIDToken
from flask import Flask, Response, current_app, g
from flask import request as flask_request
from sqlalchemy.orm import Session

from app.accounts.identity import signed_in_at
from app.oauth.requests import GameRequest
from shared.db import reading, transaction
from shared.models import AuthorizationCode, User
from shared.models.oauth import Token
from shared.services.authority.actors import of_user
from shared.services.oauth import clients, keys, tokens
from shared.services.oauth import grants as grant_rules
from shared.settings import Settings

AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]
PROMPTS = frozenset(["none", "login", "consent", "select_account"])
DESCRIPTIONS = {
    "invalid_request": "The request is missing a parameter, or one of its parameters is not valid.",
    "invalid_client": "The client id or the client secret is wrong.",
    "invalid_grant": "The code or the refresh token is not valid, or no longer.",
    "invalid_scope": "A scope is missing or unknown: use openid, profile and email.",
    "unauthorized_client": "The client may not do this.",
    "unsupported_grant_type": "The grant type must be authorization_code or refresh_token.",
    "unsupported_response_type": "The response type must be code.",
    "access_denied": "The person has refused.",
    "invalid_token": "The access token is missing, or not valid, or no longer.",
    "insufficient_scope": "The access token lacks the scope.",
}
"""What an error means if Authlib does not say it: ExVenture fails on errors without a description."""


class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A game or application as Authlib sees it."""

    def __init__(self, record: clients.Client) -> None:
        self.record = record
        self.id_token_signed_response_alg = record.id_token_algorithm

    def get_client_id(self) -> str:
        """Return the client id, which is also that of the socket."""
        return self.record.client_id

    def get_default_redirect_uri(self) -> None:
        """Return nothing: every request must say where to return to."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the known scopes; None if the request is not valid."""
        scopes = grant_rules.clean_scopes(scope or "")
        return None if scopes is None else " ".join(scopes)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Return whether the address is registered."""
        return clients.has_redirect_uri(self.record, redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        """Return whether the secret is right."""
        return clients.has_secret(self.record, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Return whether the client may authenticate like this. Without a secret: old games, for codes only."""
        return method != "none" or (endpoint == "token" and clients.may_omit_secret(self.record))

    def check_response_type(self, response_type: str) -> bool:
        """Return whether the response type is supported."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether the grant type is supported."""
        return grant_type in ("authorization_code", "refresh_token")


class AuthorizationServer(FlaskAuthorizationServer):  # type: ignore[misc]
    """Reads parameters from any part of the request, and describes each error."""

    def create_oauth2_request(self, request: object) -> GameRequest:
        """Return the current request for Authlib."""
        return request if isinstance(request, GameRequest) else GameRequest(flask_request)

    def handle_response(self, status: int, payload: Any, headers: list[tuple[str, str]]) -> Response:
        """Return a response. An error always has a description."""
        if isinstance(payload, dict):
            if "error" in payload:
                payload.setdefault("error_description", DESCRIPTIONS.get(payload["error"], "The request failed."))
            payload = json.dumps(payload)
        return Response(payload, status=status, headers=headers)

    def answer_token_request(self) -> Response:
        """Return the response to the current request for tokens."""
        response: Response = self.create_token_response()
        return response

    def answer_revocation(self) -> Response:
        """Return the response to the current request to revoke a token."""
        response: Response = self.create_endpoint_response("revocation")
        return response

    def answer_error(self, error: OAuth2Error) -> Response:
        """Return an error as JSON."""
        response: Response = self.handle_error_response(None, error)
        return response

    def authenticate_client(self, request: OAuth2Request, methods: list[str], endpoint: str = "token") -> Client:
        """Return the client. If it sends a secret in any way, the secret must be right.

        Raises:
            OAuth2Error: It cannot be authenticated, or sends a secret in two ways.
        """
        in_header = bool(request.headers.get("Authorization"))
        in_body = "client_secret" in request.form
        if in_header and in_body:
            raise InvalidRequestError("Send the client secret in the header or in the body, but not in both.")
        if in_header or in_body:
            methods = [method for method in methods if method != "none"]
        client: Client = super().authenticate_client(request, methods, endpoint)
        named = request.payload.client_id
        if named is not None and named.strip().lower() != client.get_client_id():
            raise InvalidRequestError("The client id in the body is not the one in the header.")
        return client


class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """Codes. The parameters that Authlib leaves to us are checked by `Checks`."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def generate_authorization_code(self) -> str:
        """Return a new code."""
        return tokens.new_token()

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Store a code for the signed-in person, who has agreed to all of its scopes."""
        session = current_session()
        scopes = request.scope.split()
        grant = grant_rules.allow(
            session, of_user(session, request.user.id), client=request.client.record, scopes=scopes
        )
        tokens.store_code(
            session,
            code,
            grant,
            tokens.CodeRequest(
                redirect_uri=request.payload.redirect_uri,
                scopes=scopes,
                nonce=request.payload.data.get("nonce"),
                code_challenge=request.payload.data.get("code_challenge"),
                authenticated_at=signed_in_at(),
            ),
        )

    def query_authorization_code(self, code: str, client: Client) -> StoredCode | None:
        """Return the code, if this client may redeem it like this."""
        row = tokens.find_code(current_session(), code, client.record)
        if row is None:
            return None
        if self.request.auth_method == "none" and (row.code_challenge or clients.is_loopback(row.redirect_uri)):
            raise InvalidGrantError("This code can only be redeemed with the client secret.")
        return StoredCode(row)

    def delete_authorization_code(self, authorization_code: StoredCode) -> None:
        """Do nothing: the code was marked as redeemed when its tokens were stored."""

    def authenticate_user(self, authorization_code: StoredCode) -> User:
        """Return the person whom the code is about."""
        return authorization_code.row.grant.user


class StoredCode:
    """A code as Authlib and its extensions see it."""

    code_challenge_method = "S256"

    def __init__(self, row: AuthorizationCode) -> None:
        self.row = row
        self.code_challenge = row.code_challenge

    def get_redirect_uri(self) -> str:
        """Return the address that the request named."""
        return self.row.redirect_uri

    def get_scope(self) -> str:
        """Return the scopes."""
        return " ".join(self.row.scopes)


class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    """Refresh tokens. Each is used once and replaced by a new one."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> StoredToken | None:
        """Return the token if it can be used now."""
        row = tokens.find_refresh_token(current_session(), refresh_token, self.request.client.record)
        return None if row is None else StoredToken(row)

    def authenticate_user(self, refresh_token: StoredToken) -> User:
        """Return the person whom the token is about."""
        return refresh_token.row.grant.user

    def revoke_old_credential(self, refresh_token: StoredToken) -> None:
        """Do nothing: the old token was marked as replaced when the new one was stored."""


class StoredToken:
    """A token as Authlib sees it."""

    def __init__(self, row: Token) -> None:
        self.row = row

    def check_client(self, client: Client) -> bool:
        """Return whether it is this client's."""
        return self.row.grant.client is client.record

    def get_scope(self) -> str:
        """Return the scopes that a new access token may have."""
        return " ".join(self.row.scopes)


class Pkce(CodeChallenge):  # type: ignore[misc]
    """PKCE with S256 (RFC 7636). A code that began with it ends with it, and the other way round."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def validate_code_challenge(self, grant: CodeGrant, result: object) -> None:
        """Raise InvalidRequestError if the challenge is not valid, or missing where it is needed."""
        super().validate_code_challenge(grant, result)
        sent = grant.request.payload.data
        if "code_challenge" in sent and sent.get("code_challenge_method") != "S256":
            raise InvalidRequestError("The code_challenge_method must be S256.")
        if "code_challenge" not in sent and clients.is_loopback(sent["redirect_uri"]):
            raise InvalidRequestError("A program on the player's own computer must use PKCE with S256.")


class Checks:
    """Checks of authorization requests beyond RFC 6749."""

    def __call__(self, grant: CodeGrant) -> None:
        """Register the checks with a grant."""
        grant.register_hook("after_validate_authorization_request_payload", self.check)

    def check(self, grant: CodeGrant, _result: object) -> None:
        """Raise OAuth2Error if a parameter is not valid. Nothing that a client names is ever fetched."""
        sent = grant.request.payload.data
        if "request_uri" in sent:
            raise OAuth2Error("Request objects are not supported.", error="request_uri_not_supported")
        if "request" in sent:
            raise OAuth2Error("Request objects are not supported.", error="request_not_supported")
        if "registration" in sent:
            raise OAuth2Error("Clients are registered on this site.", error="registration_not_supported")
        if sent.get("response_mode", "query") != "query":
            raise InvalidRequestError("The response_mode must be query.")
        prompts = set(sent.get("prompt", "").split())
        if not prompts <= PROMPTS:
            raise InvalidRequestError("The prompt must be none, login, consent or select_account.")
        if "none" in prompts and len(prompts) > 1:
            raise InvalidRequestError("The prompt none cannot be combined with others.")
        max_age = sent.get("max_age", "0")
        if not (max_age.isascii() and max_age.isdecimal() and len(max_age) <= 9):
            raise InvalidRequestError("The max_age must be a number of seconds.")


class IdToken(OpenIDToken):  # type: ignore[misc]
    """ID tokens (OpenID Connect Core, section 2)."""

    def encode_id_token(self, token: dict[str, Any], request: OAuth2Request) -> str:
        """Return a signed ID token."""
        self.key = keys.signing_key(
            current_session(), request.client.record.id_token_algorithm, secrets=_settings().signing_keys
        )
        id_token: str = super().encode_id_token(token, request)
        return id_token

    def resolve_client_private_key(self, _client: Client) -> keys.PrivateKey:
        """Return the key that signs."""
        return self.key

    def get_encode_header(self, client: Client) -> dict[str, str]:
        """Return the header of the token."""
        return {"alg": self.get_client_algorithm(client), "kid": str(self.key.kid), "typ": "JWT"}

    def get_compatible_claims(self, request: OAuth2Request) -> dict[str, Any]:
        """Return the claims about the token, and about how the person signed in."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": _settings().public_url,
            "aud": request.client.get_client_id(),
            "iat": now,
            "exp": now + int(tokens.ACCESS_LIVES.total_seconds()),
        }
        source: AuthorizationCode | Token = (request.authorization_code or request.refresh_token).row
        if source.authenticated_at is not None:
            claims["auth_time"] = int(source.authenticated_at.timestamp())
        if isinstance(source, AuthorizationCode) and source.nonce is not None:
            claims["nonce"] = source.nonce
        return claims

    def get_authorization_code_claims(self, _authorization_code: StoredCode) -> dict[str, Any]:
        """Return nothing: `get_compatible_claims` has them."""
        return {}

    def generate_user_info(self, user: User, scope: str) -> dict[str, Any]:
        """Return the claims about the person, as `/oauth/userinfo` does. Called last, with the request's client."""
        client: Client = g.oauth_client
        return grant_rules.claims_of(client.record, user, scope.split(), public_url=_settings().public_url)


class Revocation(rfc7009.RevocationEndpoint):  # type: ignore[misc]
    """Revocation (RFC 7009). Always revokes the access token together with the refresh token."""

    CLIENT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]

    def authenticate_token(self, request: OAuth2Request, client: Client) -> str:
        """Return the token that was sent. Unknown ones are no error (section 2.2)."""
        token = request.form.get("token")
        if token is None:
            raise InvalidRequestError("The parameter token is missing.")
        return str(token)

    def revoke_token(self, token: str, request: OAuth2Request) -> None:
        """Revoke a token if it is the client's."""
        tokens.revoke(current_session(), token, request.client.record)


def init_app(app: Flask) -> None:
    """Create the server."""
    server = AuthorizationServer(query_client=_query_client, save_token=_save_tokens)
    server.register_token_generator("default", _generate_tokens)
    server.register_grant(CodeGrant, [Pkce(required=False), Checks(), IdToken()])
    server.register_grant(RefreshGrant, [IdToken()])
    server.register_endpoint(Revocation)
    app.extensions["oauth_server"] = server


def get_server() -> AuthorizationServer:
    """Return the site's server."""
    server: AuthorizationServer = current_app.extensions["oauth_server"]
    return server


@contextmanager
def oauth_transaction() -> Iterator[Session]:
    """Open a transaction for Authlib's calls."""
    with transaction() as session:
        g.oauth_session = session
        yield session


@contextmanager
def oauth_reading() -> Iterator[Session]:
    """Open a read-only session for Authlib's calls."""
    with reading() as session:
        g.oauth_session = session
        yield session


def current_session() -> Session:
    """Return the session of this request."""
    session: Session = g.oauth_session
    return session


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings


def _query_client(client_id: str) -> Client | None:
    record = clients.find_client(current_session(), client_id)
    return None if record is None else Client(record)


def _generate_tokens(*, scope: str, expires_in: int | None = None, **_: object) -> dict[str, Any]:
    return {
        "access_token": tokens.new_token(),
        "refresh_token": tokens.new_token(),
        "expires_in": int(tokens.ACCESS_LIVES.total_seconds()),
        "token_type": "Bearer",
        "scope": scope,
    }


def _save_tokens(token: dict[str, Any], request: OAuth2Request) -> None:
    source: AuthorizationCode | Token = (request.authorization_code or request.refresh_token).row
    tokens.store_tokens(
        current_session(),
        access_token=token["access_token"],
        refresh_token=token["refresh_token"],
        access_scopes=token["scope"].split(),
        source=source,
    )
    grant_rules.note_use(source.grant)
    if request.auth_method != "none":
        clients.require_secret_from_now_on(request.client.record)
    g.oauth_client = request.client
