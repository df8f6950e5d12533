"""The journey of a new player in a real browser, with a game's real socket."""

from __future__ import annotations

import email
import email.policy
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

PASSWORD = "correct horse battery"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def mailed_link(instance_path: str) -> str:
    """Return the link in the newest mail."""
    newest = max(Path(instance_path, "mail").glob("*.eml"))
    text = email.message_from_bytes(newest.read_bytes(), policy=email.policy.default).get_content()
    return re.search(r"^http\S+?(/account/verify/\S+)$", text, re.MULTILINE)[1]


def test_from_an_account_to_a_public_profile(page: Page, new_page, worker, connect, stored, environment):
    """Register, verify by mail, and send the key as a tell from a game. The character appears without a reload."""
    _, credentials = stored.game_with_credentials("Harbour", name="Midnight Harbour")
    game = connect()
    game.authenticate(
        credentials.client_id, credentials.client_secret, supports=["channels", "players", "tells"], players=["Wren"]
    )

    page.goto("/register")
    page.get_by_label("Username", exact=True).fill("wren-of-harbour")
    page.get_by_label("Email").fill("wren@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat the password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    expect(page.locator(".unverified")).to_contain_text("wren@example.com")
    page.goto(mailed_link(environment["INSTANCE_PATH"]))
    expect(page.locator(".flash")).to_contain_text("wren@example.com is now verified")
    expect(page.locator(".unverified")).to_have_count(0)

    page.get_by_role("link", name="Characters").first.click()
    key = page.locator("#registration-key").inner_text()
    # A mark that a reload would remove.
    page.evaluate("document.body.dataset.loaded = 'once'")
    game.request(
        "tells/send",
        {"from_name": "Wren", "to_game": "grapevine", "to_name": "system", "message": f"  Register  {key.upper()} "},
    )
    assert "waits for you now" in game.wait_for("tells/receive")["payload"]["message"]
    pending = page.locator("#pending-characters li")
    expect(pending).to_contain_text("Wren")
    expect(page.get_by_role("status").filter(has_text="Wren: is this you?")).to_have_count(1)
    expect(page.locator("body")).to_have_attribute("data-loaded", "once")
    expect(page.locator("#registration-key")).not_to_have_text(key)

    stranger = new_page()
    stranger.goto("/players/wren-of-harbour")
    expect(stranger.locator("main")).not_to_contain_text("Midnight Harbour")
    pending.get_by_role("button", name="Approve").click()
    expect(page.locator("#approved-characters")).to_contain_text("Wren")
    expect(page.locator("#pending-characters")).to_have_count(0)

    stranger.goto("/players/wren-of-harbour")
    shown = stranger.locator("#profile-characters li")
    expect(shown).to_contain_text("Midnight Harbour")
    expect(shown).to_contain_text("online now")
    stranger.goto("/games/Harbour")
    stranger.locator("#game-characters a").click()
    expect(stranger).to_have_url(re.compile("/players/wren-of-harbour$"))


def test_a_live_page_whose_session_has_ended_goes_to_the_sign_in_page(page: Page, new_page, stored):
    """Ending all other sessions in one browser sends the page in the other to the sign-in page."""
    stored.user("wren")
    pages = [page, new_page()]
    for each_page in pages:
        each_page.goto("/sign-in?next=/manage/characters")
        each_page.get_by_label("Username or email").fill("wren")
        each_page.get_by_label("Password").fill(PASSWORD)
        each_page.locator("main form.stack button").click()
        expect(each_page.locator("#registration-key")).to_be_visible()
    pages[1].goto("/account")
    pages[1].get_by_role("button", name="Sign out everywhere else").click()
    expect(pages[1].locator(".flash")).to_contain_text("signed out everywhere else")
    expect(page).to_have_url(re.compile("/sign-in"))
