"""The owner's page live in a real browser: a game connects, is refused, and disconnects; a check; a transfer."""

from __future__ import annotations

import uuid

import pytest
from playwright.sync_api import Page, expect

from tests.support.endpoints import greets, listening

PASSWORD = "correct horse battery"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def open_own_page(page: Page) -> None:
    page.goto("/sign-in?next=/manage/games/Harbour")
    page.get_by_label("Username or email").fill("wren")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    expect(page.locator("#not-connected")).to_be_visible()
    # A mark that a reload would remove.
    page.evaluate("document.body.dataset.loaded = 'once'")


def test_a_game_connects_is_refused_and_disconnects_without_a_reload(page: Page, start_worker, connect, stored):
    """Details opened on the page stay open."""
    worker = start_worker(CHECK_PRIVATE_ADDRESSES="on")
    stored.channel("gossip")
    _, credentials = stored.game_with_credentials("Harbour", owner=stored.user("wren", is_verified=True))
    open_own_page(page)
    page.locator("#frames summary").click()

    wrong = connect(worker.url)
    wrong.authenticate(credentials.client_id, str(uuid.uuid4()), check=False)
    expect(page.locator("#refusals")).to_contain_text("Wrong secret")

    client = connect(worker.url)
    client.authenticate(
        credentials.client_id,
        credentials.client_secret,
        supports=["channels", "players"],
        channels=["gossip"],
        players=["Odo"],
        user_agent="Harbour 1.0",
        version="2.3.0",
    )
    socket = page.locator("#sockets li")
    expect(socket).to_have_count(1)
    for words in ("127.0.0.1", "2.3.0", "Harbour 1.0", "channels, players", "gossip", "Odo"):
        expect(socket).to_contain_text(words)
    expect(page.get_by_role("status").filter(has_text="Your game is connected.")).to_have_count(1)

    client.send_text("{nope")
    expect(page.locator("#refusals")).to_contain_text("Not a JSON frame")
    expect(page.locator(".frames")).to_contain_text("{nope")
    expect(page.locator("#frames")).to_have_attribute("open", "")
    assert credentials.client_secret not in page.content()

    client.drop()
    expect(page.locator("#not-connected")).to_contain_text("Harbour 1.0")
    expect(page.locator("#disconnects")).to_contain_text("The connection was lost")
    expect(page.locator("body")).to_have_attribute("data-loaded", "once")


def test_check_now_shows_the_result(page: Page, start_worker, stored):
    start_worker(CHECK_PRIVATE_ADDRESSES="on")
    game = stored.game("Harbour", owner=stored.user("wren", is_verified=True))
    with listening(greets) as endpoint:
        stored.connection(game, host="127.0.0.1", port=endpoint.port)
        open_own_page(page)
        expect(page.locator("#ways-list")).to_contain_text("Not checked yet")
        page.get_by_role("button", name="Check now").click()
        expect(page.locator("#ways-list .state.on")).to_have_text("It works")
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("#ways-list .state.bad")).to_have_text("Refused")
    expect(page.locator("#ways-list")).to_contain_text("nothing takes connections on this port")


def test_without_scripts_a_reload_shows_it(browser, site, start_worker, connect, stored):
    worker = start_worker()
    _, credentials = stored.game_with_credentials("Harbour", owner=stored.user("wren", is_verified=True))
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto("/sign-in?next=/manage/games/Harbour")
        page.get_by_label("Username or email").fill("wren")
        page.get_by_label("Password").fill(PASSWORD)
        page.locator("main form.stack button").click()
        expect(page.locator("#not-connected")).to_be_visible()
        assert "Reload this page to see changes" in page.content()
        connect(worker.url).authenticate(credentials.client_id, credentials.client_secret)
        for _ in range(50):  # the site reads Redis every two seconds
            page.reload()
            if page.locator("#connected").count():
                break
        expect(page.locator("#connected")).to_be_visible()
    finally:
        context.close()
