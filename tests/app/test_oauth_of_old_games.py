"""Games written for the first Grapevine sign players in with only the host changed, and Mudlet with a game's help.

ExVenture 0.29 (`lib/grapevine/ueberauth.ex`, oauth2 0.9.4, hackney): the three requests as it sends them.
"""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from shared import db
from shared.models import Game
from tests.support.relying_party import RelyingParty, pkce, query_of, set_up

CALLBACK = "https://midmud.example/auth/grapevine/callback"


@pytest.fixture
def party(visitor, stored):
    """ExVenture, and a player in a browser."""
    stored.user("Wren", is_verified=True)
    game, credentials = stored.game_with_credentials("MidMUD")
    set_up(game, CALLBACK)
    return RelyingParty(visitor.sign_in("Wren"), credentials, uri=CALLBACK)


def send(port: int, raw: str) -> tuple[int, dict[str, str], dict]:
    """Send a request byte for byte, and return the status, the headers and the JSON object."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    connection.sock.sendall(raw.encode())
    answer = http.client.HTTPResponse(connection.sock)
    answer.begin()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read())


def token_request(port: int, party: RelyingParty, code: str) -> str:
    body = json.dumps(
        {
            "client_id": party.credentials.client_id,
            "code": code,
            "grant_type": "authorization_code",
            "redirect_uri": CALLBACK,
        },
        separators=(",", ":"),
    )
    return (
        f"POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: hackney/1.15.1\r\n"
        "accept: application/json\r\ncontent-type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def test_exventure_signs_in(party, site):
    """1. The browser. 2. The code for tokens: JSON, without a secret. 3. Who is it?"""
    port = urlsplit(site.url).port
    state = "5f6e3c0e-6f3a-4f6b-9e57-0d1c1f6a2f11"
    asked = (
        f"/oauth/authorize?client_id={party.credentials.client_id}"
        "&redirect_uri=https%3A%2F%2Fmidmud.example%2Fauth%2Fgrapevine%2Fcallback"
        f"&response_type=code&scope=profile+email&state={state}"
    )
    party.visitor.open(asked)
    answer = party.visitor.send(asked.replace("authorize", "consent"), form_on=asked, allow="true")
    told = query_of(answer.location)
    assert told["state"] == state

    status, headers, tokens = send(port, token_request(port, party, told["code"]))
    assert (status, headers["content-type"]) == (200, "application/json")
    assert tokens["expires_in"] == 3600
    assert isinstance(tokens["access_token"], str)
    assert isinstance(tokens["refresh_token"], str)

    status, headers, person = send(
        port,
        f"GET /users/me HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: hackney/1.15.1\r\n"
        f"accept: application/json\r\nauthorization: Bearer {tokens['access_token']}\r\n\r\n",
    )
    assert (status, headers["content-type"]) == (200, "application/json")
    assert list(person) == ["uid", "username", "email"]
    assert (person["username"], person["email"]) == ("Wren", "wren@example.com")

    # It matches both keys of an error, and fails without the second one.
    status, headers, fault = send(port, token_request(port, party, told["code"]))
    assert (status, headers["content-type"]) == (400, "application/json")
    assert fault.keys() == {"error", "error_description"}


@pytest.mark.parametrize("place", ["json", "data", "query_string"])
def test_the_code_is_redeemed_however_it_is_sent(party, place):
    code = party.decide(scope="profile")["code"]
    sent = {
        "grant_type": "authorization_code",
        "client_id": party.credentials.client_id.upper(),
        "redirect_uri": CALLBACK,
        "code": code,
    }
    answer = party.visitor.client.post("/oauth/token", **{place: sent})
    assert answer.status_code == 200


def test_the_door_without_a_secret_closes_after_the_first_redemption_with_one(party, stored):
    assert party.redeem(party.decide()["code"], secret=None).status_code == 200
    assert party.redeem(party.decide(prompt="consent")["code"]).status_code == 200
    with db.reading() as session:
        assert session.scalars(select(Game.requires_secret)).one() is True
    code = party.decide(prompt="consent")["code"]
    assert party.redeem(code, secret=None).json["error"] == "invalid_client"


def test_a_failed_redemption_does_not_close_the_door(party):
    party.redeem("unknown")
    assert party.redeem(party.decide()["code"], secret=None).status_code == 200


def test_without_a_secret_pkce_does_not_help(party):
    """A code that began with PKCE belongs to software that can send its secret."""
    verifier, challenge = pkce()
    code = party.decide(code_challenge=challenge, code_challenge_method="S256")["code"]
    answer = party.redeem(code, secret=None, code_verifier=verifier)
    assert answer.json["error"] == "invalid_grant"
    assert party.redeem(code, code_verifier=verifier).status_code == 200


def test_mudlet_signs_in_with_the_help_of_a_game(party, stored, settings):
    """Mudlet 5: discovery, a free port, PKCE and a nonce. The game redeems the code that Mudlet hands to it."""
    game, party.credentials = stored.game_with_credentials("Stick")
    set_up(game, "http://127.0.0.1/")
    found = party.visitor.client.get("/.well-known/openid-configuration").json["authorization_endpoint"]
    assert found == f"{settings.public_url}/oauth/authorize"
    party.uri = "http://127.0.0.1:49711/"
    without_pkce = query_of(party.ask(scope="openid").location)
    assert without_pkce["error"] == "invalid_request"
    verifier, challenge = pkce()
    asked = {"scope": "openid", "code_challenge": challenge, "code_challenge_method": "S256", "nonce": "n-0S6_WzA2Mj"}
    code = party.decide(True, **asked)["code"]
    assert party.redeem(code, secret=None, code_verifier=verifier).json["error"] == "invalid_grant"
    assert party.redeem(code, code_verifier=verifier, redirect_uri="http://127.0.0.1/").json["error"] == "invalid_grant"
    assert "id_token" in party.redeem(code, code_verifier=verifier).json
