"""A game that lets players sign in with their account, as a test drives it: the browser's side and the game's."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from shared.db import transaction
from shared.services.authority.actors import OPERATOR
from shared.services.oauth import clients
from shared.services.oauth.clients import SignInSettings

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from shared.models import Game
    from shared.models.credentials import Credentials

CALLBACK = "https://harbour.example/auth/callback"


def set_up(game: Game, *uris: str, **settings: Any) -> None:
    """Register where players return to."""
    with transaction() as session:
        settings = {"redirect_uris": uris or (CALLBACK,), **settings}
        clients.update_game(session, OPERATOR, short_name=game.short_name, settings=SignInSettings(**settings))


def pkce() -> tuple[str, str]:
    """Return a verifier and its challenge (RFC 7636)."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).decode().rstrip("=")


def query_of(location: str) -> dict[str, str]:
    """Return the parameters of an address."""
    return dict(parse_qsl(urlsplit(location).query))


class RelyingParty:
    """The game. `visitor` is the browser of a player (tests/app/conftest.py)."""

    def __init__(self, visitor: Any, credentials: Credentials, *, uri: str = CALLBACK) -> None:
        self.visitor = visitor
        self.credentials = credentials
        self.uri = uri

    def address(self, **parameters: str | None) -> str:
        """Return the address that the game sends the player to. None leaves a parameter out."""
        values = {
            "client_id": self.credentials.client_id,
            "redirect_uri": self.uri,
            "response_type": "code",
            "scope": "openid profile email",
            "state": "s1",
            **parameters,
        }
        return "/oauth/authorize?" + urlencode({name: value for name, value in values.items() if value is not None})

    def ask(self, **parameters: str | None) -> TestResponse:
        """Send the player to the page of consent, or to whatever the site answers."""
        self.visitor.answer = self.visitor.client.get(self.address(**parameters))
        answer: TestResponse = self.visitor.answer
        return answer

    def decide(self, allow: bool = True, **parameters: str | None) -> dict[str, str]:
        """Answer the page of consent, and return what the game gets to know."""
        page = self.address(**parameters)
        answer = self.visitor.send(
            page.replace("/oauth/authorize", "/oauth/consent"), form_on=page, allow="true" if allow else "false"
        )
        assert answer.status_code == 303, self.visitor.page
        assert answer.location.startswith(f"{self.uri}?"), answer.location
        return query_of(answer.location)

    def redeem(self, code: str, *, secret: str | None = "", **parameters: str) -> TestResponse:
        """Redeem a code with the secret in the body; None sends none."""
        values = {
            "grant_type": "authorization_code",
            "client_id": self.credentials.client_id,
            "client_secret": self.credentials.client_secret if secret == "" else secret,
            "redirect_uri": self.uri,
            "code": code,
            **parameters,
        }
        form = {name: value for name, value in values.items() if value is not None}
        answer: TestResponse = self.visitor.client.post("/oauth/token", data=form)
        return answer

    def refresh(self, refresh_token: str, **parameters: str) -> TestResponse:
        """Use a refresh token."""
        values = {
            "grant_type": "refresh_token",
            "client_id": self.credentials.client_id,
            "client_secret": self.credentials.client_secret,
            "refresh_token": refresh_token,
            **parameters,
        }
        answer: TestResponse = self.visitor.client.post("/oauth/token", data=values)
        return answer

    def sign_in(self, **parameters: str | None) -> dict[str, Any]:
        """Do all of it with PKCE, and return the tokens."""
        verifier, challenge = pkce()
        answer = self.decide(True, code_challenge=challenge, code_challenge_method="S256", **parameters)
        redeemed = self.redeem(answer["code"], code_verifier=verifier)
        assert redeemed.status_code == 200, redeemed.get_data(as_text=True)
        tokens: dict[str, Any] = redeemed.json  # type: ignore[assignment]
        return tokens

    def read(self, path: str, access_token: str) -> TestResponse:
        """Ask the site about the player."""
        answer: TestResponse = self.visitor.client.get(path, headers={"Authorization": f"Bearer {access_token}"})
        return answer
