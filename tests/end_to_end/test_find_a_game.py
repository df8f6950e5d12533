"""Somebody on a phone looks for an online game, without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from shared import db
from shared.services import player_counts
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def test_find_a_game_on_a_phone_without_scripts(browser, site, worker, connect, stored):
    """The list, its filters, and the game's page with its players. Nothing is wider than the screen."""
    owner = stored.user()
    for number in range(26):
        stored.game(f"G{number}", owner=owner, name=f"Quiet {number:02}")
    game, credentials = stored.game_with_credentials("Harbour", owner=owner, name="Midnight Harbour")
    stored.connection(game, host="a-rather-long-host-name.harbour.example.com", port=4000)
    with db.transaction() as session:
        for quarter in range(4, 30):
            player_counts.record(session, {game.id: quarter}, at=db.utc_now() - quarter * player_counts.QUARTER)
    connect().authenticate(
        credentials.client_id,
        credentials.client_secret,
        supports=["channels", "players"],
        players=["Wren", "Somebody_with_a_very_long_name_in_this_game"],
        user_agent="Lantern 2.0",
    )
    context = browser.new_context(base_url=site.url, java_script_enabled=False, viewport={"width": 390, "height": 800})
    try:
        page = context.new_page()
        faults = []
        page.on("console", lambda message: faults.append(message.text))

        def too_wide():
            """Return the elements that stick out on the right, if the page can be scrolled sideways."""
            return page.evaluate(
                """() => document.documentElement.scrollWidth <= innerWidth ? [] :
                    [...document.querySelectorAll("main *")]
                        .filter((element) => element.getBoundingClientRect().right > innerWidth)
                        .map((element) => element.outerHTML.slice(0, 200))"""
            )

        def is_listed_first():
            """The game is online, and its software is stored, which takes the worker a second."""
            page.goto("/games")
            is_first = "Midnight Harbour" in page.locator(".card").first.inner_text()
            return is_first and page.get_by_label("Server software").count() == 1

        wait_until(is_listed_first, what="the online game comes first")
        expect(page.locator(".card").first).to_contain_text("2 players")
        expect(page.locator("#games-online")).to_have_text("1 online now")
        assert too_wide() == []
        page.get_by_role("link", name="Next page").click()
        expect(page.locator(".pagination")).to_contain_text("Page 2 of 2")

        page.goto("/games")
        page.get_by_label("Search").fill("HARBOUR")
        page.get_by_label("Way to connect").select_option("telnet")
        page.get_by_label("Server software").select_option("Lantern")
        page.get_by_label("Online now").check()
        page.get_by_role("button", name="Show").click()
        expect(page.locator(".card")).to_have_count(1)
        expect(page.get_by_label("Server software")).to_have_value("Lantern")
        expect(page.get_by_label("Online now")).to_be_checked()

        page.get_by_role("link", name="Midnight Harbour").click()
        expect(page.locator("#game-players")).to_contain_text("Wren")
        expect(page.locator(".side")).to_contain_text("Lantern 2.0")
        expect(page.get_by_role("img", name="Players online: last day")).to_be_visible()
        page.locator("#players-day ~ details summary").click()
        expect(page.locator(".counts").first).to_contain_text("Average")
        assert too_wide() == []

        page.goto("/")
        expect(page.locator("#picked-name")).to_have_text("Midnight Harbour")
        assert too_wide() == []
        assert faults == []
    finally:
        context.close()
