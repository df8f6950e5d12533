"""Copying credentials with a button, and navigation on a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.factory import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture
def owner(page: Page, stored):
    """An owner's browser on the page of a game."""
    wren = stored.user("wren", is_verified=True)
    _, credentials = stored.game_with_credentials("Harbour", owner=wren)
    page.goto("/sign-in?next=/manage/games/Harbour")
    page.get_by_label("Username or email").fill("wren")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    expect(page.locator("h1")).to_contain_text("The Harbour")
    return page, credentials


def test_a_button_copies_the_text_beside_it_and_says_so(owner):
    """Also with the keyboard. The announcement matches what is shown."""
    page, credentials = owner
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy the client id")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Copied the client id.")).to_have_count(1)
    expect(button).to_have_count(0)  # it says "Copied" now
    assert page.evaluate("navigator.clipboard.readText()") == credentials.client_id
    expect(page.get_by_role("button", name="Copy the client id")).to_be_visible()  # and "Copy" again


def test_without_a_clipboard_the_selection_is_copied(owner):
    """As on a site without TLS."""
    page, _credentials = owner
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_role("button", name="Copy the client id").click()
    expect(page.get_by_role("status").filter(has_text="Copied the client id.")).to_have_count(1)


def test_without_scripts_the_button_is_hidden(browser, site, stored):
    """Because it would do nothing."""
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    stored.channel("gossip")
    page.goto("/channels/gossip")
    expect(page.locator(".copy-box code")).to_be_visible()
    expect(page.locator(".copy-button")).to_be_hidden()
    context.close()


def test_a_phone_has_a_menu_and_folds_the_contents(owner):
    page, _credentials = owner
    page.set_viewport_size({"width": 390, "height": 800})
    header = page.get_by_role("banner")
    expect(header.get_by_role("button", name="Sign out")).to_be_hidden()
    assert header.bounding_box()["height"] < 120  # two rows
    header.locator("summary").focus()
    page.keyboard.press("Enter")
    for name in ("My games", "Characters", "Account"):
        expect(header.get_by_role("link", name=name)).to_be_visible()
    expect(header.get_by_role("button", name="Sign out")).to_be_in_viewport()
    page.goto("/docs/protocol/failures")
    expect(page.locator(".toc.above a[href='#close-codes']")).to_be_hidden()
    page.get_by_text("Contents").click()
    expect(page.locator(".toc.above a[href='#close-codes']")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(page.locator(".toc.beside a[href='#close-codes']")).to_be_visible()


def test_an_old_address_within_the_documentation_leads_to_its_page(page: Page, site):
    page.goto("/docs#channels-send.request")
    page.wait_for_url("**/docs/protocol/channels#channels-send.request")
    expect(page.locator("[id='channels-send.request']")).to_be_in_viewport()
    page.goto("/docs#rate-limited")
    page.wait_for_url("**/docs/protocol/failures#rate-limited")
