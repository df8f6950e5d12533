"""The journey of a new owner in a real browser, with real sockets."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

PASSWORD = "correct horse battery"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def register(page: Page, username: str) -> None:
    """Create an account and sign in to it."""
    page.goto("/register")
    page.get_by_label("Username", exact=True).fill(username)
    page.get_by_label("Email").fill(f"{username}@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat the password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    page.goto("/sign-in")
    page.get_by_label("Username or email").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    expect(page.locator(".flash").last).to_contain_text(username)


def register_game(page: Page, name: str, short_name: str) -> dict[str, str]:
    """Register a game and return the credentials from the next page."""
    page.goto("/manage/games/new")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Short name").fill(short_name)
    page.locator("main form.stack button").click()
    expect(page.locator("#client-secret")).to_have_text(re.compile("[0-9a-f-]{36}"))
    return {
        "client_id": page.locator("#client-id").inner_text(),
        "client_secret": page.locator("#client-secret").inner_text(),
    }


def test_register_a_game_connect_it_talk_and_be_synced(page, worker, connect, stored):
    """From an empty site to a message that another game receives, and an edit that an application receives."""
    stored.channel("gossip")
    _, application_credentials = stored.application_with_credentials("Mirror")
    application = connect()
    application.authenticate(application_credentials.client_id, application_credentials.client_secret)
    complete = application.wait_for("sync/complete")["payload"]
    assert complete["counts"] == {"channels": 1, "games": 0}

    register(page, "wren")
    harbour = register_game(page, "Midnight Harbour", "Harbour")
    page.reload()
    assert page.locator("#client-secret").count() == 0, "the secret is shown once"
    ashfall = register_game(page, "Ashfall", "Ashfall")
    created = [application.wait_for("sync/games")["payload"] for _ in range(2)]
    assert [record["game"] for payload in created for record in payload["games"]] == ["Harbour", "Ashfall"]

    speaker, listener = connect(), connect()
    speaker.authenticate(**harbour, channels=["gossip"])
    listener.authenticate(**ashfall, channels=["gossip"])
    line = {"channel": "gossip", "name": "Wren", "message": "Is anyone awake?"}
    assert speaker.request("channels/send", line)["status"] == "success"
    received = listener.wait_for("channels/broadcast")["payload"]
    assert received == {**line, "game": "Harbour"}

    page.goto("/manage/games/Harbour/edit")
    page.get_by_label("Description").fill("Fog, gulls and lanterns.")
    page.locator("main form.stack button").click()
    expect(page.locator(".flash")).to_be_visible()
    edited = application.wait_for("sync/games", payload={})["payload"]
    assert edited["cursor"] > created[-1]["cursor"]
    assert [(game["game"], game["description"]) for game in edited["games"]] == [
        ("Harbour", "Fog, gulls and lanterns.")
    ]
    page.goto("/games/Harbour")
    expect(page.locator("main")).to_contain_text("Fog, gulls and lanterns.")
