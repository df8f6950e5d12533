"""The live view in Chromium: 25 messages on a screen, one key for each act, and ten seconds to undo it."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import select

from shared import db
from shared.db import utc_now
from shared.models import AuditEntry, Message, Sanction
from shared.services import history
from shared.services.history import Line
from tests.support.moderating import make_moderated
from tests.support.waiting import wait_until

PASSWORD = "correct horse battery"
LINES = 40
TALL = (
    "() => [...document.querySelectorAll('#live > li')].filter(row => row.getBoundingClientRect().height !== 24).length"
)
VISIBLE = """() => {
  const log = document.querySelector(".log").getBoundingClientRect();
  return [...document.querySelectorAll("#live > li")].filter((row) => {
    const box = row.getBoundingClientRect();
    return box.top >= Math.max(0, log.top) && box.bottom <= Math.min(innerHeight, log.bottom);
  }).length;
}"""

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def page(stored, site, new_page) -> Page:
    """The live view with 40 messages, as a moderator."""
    moderated = make_moderated(stored, channel="noise")
    peer = f"game:{moderated.game.id}"
    with db.transaction() as session:
        lines = [
            Line(moderated.channel.id, peer, "Harbour", f"Ash{number}", f"Line {number}", utc_now())
            for number in range(LINES)
        ]
        history.store_lines(session, lines, worker="w")
    page = new_page()
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto("/sign-in")
    page.get_by_label("Username or email").fill("mod")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    page.wait_for_url(lambda url: "sign-in" not in url)
    page.goto("/moderation/live")
    expect(page.locator("#live-help")).to_be_visible()
    return page


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def latest_sanction() -> Sanction:
    with db.reading() as session:
        return session.scalars(select(Sanction).order_by(Sanction.id.desc()).limit(1)).one()


def text_of(number: int) -> str:
    with db.reading() as session:
        return session.scalars(select(Message.text).where(Message.name == f"Ash{number}")).one()


def test_one_key_for_each_act_and_ten_seconds_to_undo_it(page) -> None:
    """Moving, muting, warning and redacting from the keyboard alone, each with its undo; then the menu and the help."""
    assert page.evaluate(VISIBLE) >= 25 and page.evaluate(TALL) == 0
    done = page.locator("#live-done")
    reason = "Repeated advertising. Rule: Do not flood."
    page.get_by_label("Reason").fill(reason)
    page.locator(".log").focus()
    press(page, "k")
    expect(page.locator("#live > li:focus")).to_contain_text("Line 39")
    press(page, "k", "ArrowUp", "j")
    expect(page.locator("#live > li:focus")).to_contain_text("Line 38")
    row = page.locator("#live > li", has_text="Line 38")

    press(page, "m")
    expect(done).to_contain_text("Muted Ash38@Harbour for an hour.")
    muted = latest_sanction()
    assert (muted.kind, muted.target, muted.reason, muted.state) == ("mute", "Ash38@Harbour", reason, "in force")
    press(page, "u")
    expect(done).to_contain_text("The mute of Ash38@Harbour is undone.")
    assert latest_sanction().is_undone
    with db.reading() as session:
        acts = session.scalars(select(AuditEntry.act).order_by(AuditEntry.number.desc()).limit(2)).all()
    assert acts == ["undo", "sanction"]

    press(page, "w")
    expect(done).to_contain_text("Warning Ash38@Harbour.")
    press(page, "u")
    expect(done).to_contain_text("Ash38@Harbour was not warned.")
    press(page, "d")
    expect(row).to_have_class("said is-redacting")
    done.get_by_role("button", name="Undo").click()
    expect(done).to_contain_text("The message was not redacted.")
    assert latest_sanction().id == muted.id and text_of(38) == "Line 38"

    # A new act makes the one before final, and so does leaving the page.
    expect(row).to_be_focused()
    press(page, "d", "k", "w")
    expect(page.locator("#live > li:focus")).to_contain_text("Line 37")
    wait_until(lambda: text_of(38) == "", what="the first act is done")
    page.goto("/moderation")
    wait_until(lambda: latest_sanction().id != muted.id, what="the second act is done")
    assert (latest_sanction().kind, latest_sanction().target) == ("warn", "Ash37@Harbour")


def test_everything_works_by_the_menu_and_letters_can_be_switched_off(page) -> None:
    """At both widths, with no violation that axe finds."""
    press(page, "m", "w", "d")  # outside the list, letters do nothing
    expect(page.locator("#live-done")).to_be_empty()
    row = page.locator("#live > li", has_text="Line 39")
    row.focus()
    press(page, "?")
    page.get_by_label("Single letters work on messages").uncheck()
    page.get_by_role("button", name="Close").click()
    row.focus()
    press(page, "m")
    expect(page.locator("#live-done")).to_be_empty()
    press(page, "Enter")
    page.get_by_role("menuitem", name="Mute for an hour").click()
    expect(page.locator("#live-done")).to_contain_text("Muted Ash39@Harbour for an hour.")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
    row.locator(".who").click()
    expect(page.get_by_role("menuitem", name="Record")).to_be_visible()
