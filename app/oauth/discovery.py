"""What programs read to find out how to sign people in (OpenID Connect Discovery, RFC 8414), and the public keys."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, jsonify

from shared.db import reading
from shared.models.sign_in import ID_TOKEN_ALGORITHMS
from shared.services.oauth import grants, keys

bp = Blueprint("oauth_discovery", __name__)


@bp.get("/.well-known/openid-configuration")
@bp.get("/.well-known/oauth-authorization-server")
def describe() -> Response:
    """Return where the endpoints are, and what they support."""
    return jsonify(metadata(current_app.extensions["settings"].public_url))


@bp.get("/oauth/jwks.json")
def list_keys() -> Response:
    """Return the keys that verify ID tokens (RFC 7517)."""
    with reading() as session:
        return jsonify(keys=keys.public_keys(session))


@bp.after_request
def share(response: Response) -> Response:
    """Let pages of other sites read these documents, and caches keep them for a while."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


def metadata(issuer: str) -> dict[str, Any]:
    """Return the provider's metadata."""
    authentication = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "userinfo_endpoint": f"{issuer}/oauth/userinfo",
        "jwks_uri": f"{issuer}/oauth/jwks.json",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "end_session_endpoint": f"{issuer}/oauth/logout",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": list(ID_TOKEN_ALGORITHMS),
        "scopes_supported": list(grants.SCOPES),
        "claims_supported": [
            *("sub", "preferred_username", "name", "profile", "updated_at", "email", "email_verified"),
            *("iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash"),
        ],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": authentication,
        "revocation_endpoint_auth_methods_supported": authentication,
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "claims_parameter_supported": False,
        "service_documentation": f"{issuer}/docs/sign-in",
    }
