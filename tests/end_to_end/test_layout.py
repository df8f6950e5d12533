"""The layout of pages at the widths of phones, tablets and screens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

PASSWORD = "correct horse battery"
ONE_ROW = 80

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture
def sign_in(new_page: Callable[[], Page]) -> Callable[[str], Page]:
    def sign_in(username: str) -> Page:
        page = new_page()
        page.goto("/sign-in")
        page.get_by_label("Username or email").fill(username)
        page.get_by_label("Password").fill(PASSWORD)
        page.locator("main form.stack button").click()
        page.wait_for_url(lambda url: "sign-in" not in url)
        return page

    return sign_in


def height(page: Page, selector: str) -> float:
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    return box["height"]


def width(page: Page, selector: str) -> float:
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    return box["width"]


@pytest.mark.parametrize("role", ["player", "moderator", "admin"])
def test_the_header_is_one_row_on_everything_wider_than_a_phone(sign_in, site, stored, role) -> None:
    username = "a-very-long-username-that-hardly-fits"
    stored.user(username, role=role)
    page = sign_in(username)
    for pixels in (641, 700, 768, 900, 1000, 1057, 1100, 1279, 1280):
        page.set_viewport_size({"width": pixels, "height": 800})
        assert height(page, ".site-head") < ONE_ROW, f"{pixels} pixels"
        assert page.evaluate("document.documentElement.scrollWidth") <= pixels
    page.set_viewport_size({"width": 900, "height": 800})
    page.locator(".site-menu summary").click()
    assert page.get_by_role("link", name="My games").last.is_visible()


@pytest.mark.parametrize("pixels", [320, 390])
def test_the_documentation_fits_on_a_phone(new_page, site, pixels) -> None:
    page = new_page()
    page.set_viewport_size({"width": pixels, "height": 800})
    for path in ("/docs", "/docs/protocol/channels", "/docs/libraries/gossip-backbone", "/docs/moderation"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= pixels, path


def test_a_form_is_as_wide_as_the_text_above_it(sign_in, site, stored) -> None:
    stored.game("Harbour", owner=stored.user("keeper"))
    page = sign_in("keeper")
    page.set_viewport_size({"width": 1280, "height": 800})
    for address in ("/manage/games/new", "/manage/games/Harbour/edit", "/account/password", "/channels/new", "/report"):
        page.goto(address)
        assert width(page, "main form.stack") <= 640, address


def test_the_tabs_of_moderation_stay_in_their_place(sign_in, site, stored) -> None:
    stored.admin("keeper")
    page = sign_in("keeper")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto("/moderation")
    links = page.locator(".tabs a")
    places = "links => links.map(link => [link.getBoundingClientRect().left, link.getBoundingClientRect().top])"
    expected = links.evaluate_all(places)
    for number in range(links.count()):
        links.nth(number).click()
        assert links.evaluate_all(places) == expected, page.url


@pytest.mark.parametrize("pixels", [390, 1280])
def test_the_button_of_a_search_is_beside_its_box(sign_in, site, stored, pixels) -> None:
    stored.admin("keeper")
    page = sign_in("keeper")
    page.set_viewport_size({"width": pixels, "height": 800})
    for address in ("/moderation/reports", "/moderation/sanctions", "/moderation/records", "/admin/users"):
        page.goto(address)
        box = page.locator("form.search input[type=search]").bounding_box()
        button = page.locator("form.search button").bounding_box()
        assert box is not None
        assert button is not None
        assert button["x"] >= box["x"] + box["width"], address
        assert button["height"] < 60, address
