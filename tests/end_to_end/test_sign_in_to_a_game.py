"""A player signs in to a game in a real browser, and the game is Authlib's client: no code of ours on its side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import KeySet
from playwright.sync_api import expect

from app.oauth.discovery import metadata
from shared import db
from shared.services.authority import actors
from shared.services.oauth import clients, grants
from tests.support.factory import PASSWORD
from tests.support.relying_party import query_of, set_up

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
VERIFIER = "v" * 48


@pytest.fixture
def callback() -> Iterator[str]:
    """The address of a page of the game, to which players return."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>The game</title><h1>Back in the game</h1>")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/callback"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def found(site) -> dict[str, Any]:
    """What the site says about itself, with the address at which this test reaches it."""
    return metadata(site.url)


def test_a_player_signs_in_refuses_agrees_and_takes_it_back(stored, site, page, callback, found) -> None:
    """From signed out to the game and back. Each form leads to another site, which its page's policy must allow."""
    stored.user("Wren", is_verified=True)
    game, credentials = stored.game_with_credentials("Harbour", name="Midnight Harbour")
    set_up(game, callback)
    client = OAuth2Session(
        credentials.client_id,
        credentials.client_secret,
        scope="openid profile email",
        redirect_uri=callback,
        code_challenge_method="S256",
    )
    address, state = client.create_authorization_url(
        found["authorization_endpoint"], code_verifier=VERIFIER, nonce="n1"
    )

    page.goto(address)
    page.get_by_label("Username or email").fill("Wren")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    expect(page.get_by_role("heading", name="Sign in to Midnight Harbour?")).to_be_visible()
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_role("heading", name="Back in the game")).to_be_visible()
    assert (query_of(page.url)["error"], query_of(page.url)["state"]) == ("access_denied", state)

    page.goto(address)
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("heading", name="Back in the game")).to_be_visible()
    given = client.fetch_token(
        found["token_endpoint"], authorization_response=page.url, state=state, code_verifier=VERIFIER
    )
    keys = KeySet.import_key_set(client.get(found["jwks_uri"]).json())
    claims = jwt.decode(given["id_token"], keys, algorithms=["RS256"]).claims
    assert (claims["nonce"], claims["preferred_username"]) == ("n1", "Wren")
    assert client.get(found["userinfo_endpoint"]).json()["sub"] == claims["sub"]
    refreshed = client.refresh_token(found["token_endpoint"])
    assert refreshed["access_token"] != given["access_token"]

    page.goto(f"{site.url}/account/connected")
    page.get_by_role("button", name="Remove Midnight Harbour").click()
    expect(page.get_by_text("Midnight Harbour is no longer connected to your account.")).to_be_visible()
    assert client.get(found["userinfo_endpoint"]).status_code == 401


def test_a_player_who_has_agreed_before_only_signs_in(stored, site, page, callback, found) -> None:
    """The page to sign in then leads to the game at once, which its policy must allow."""
    user = stored.user("Wren")
    game, credentials = stored.game_with_credentials("Harbour")
    away = "https://harbour.example/callback"
    set_up(game, away)
    with db.transaction() as session:
        client = clients.find_client(session, credentials.client_id)
        assert client is not None
        grants.allow(session, actors.of_user(session, user.id), client=client, scopes=["openid"])
    page.route("https://harbour.example/**", lambda route: route.fulfill(body="<h1>Back in the game</h1>"))
    asked = OAuth2Session(credentials.client_id, scope="openid", redirect_uri=away)
    page.goto(asked.create_authorization_url(found["authorization_endpoint"])[0])
    page.get_by_label("Username or email").fill("Wren")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    page.wait_for_url("https://harbour.example/callback?*")
    assert "code" in query_of(page.url)
