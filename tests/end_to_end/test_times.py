"""Times in the reader's zone and language."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from shared import db
from shared.models import Game

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def test_times_are_shown_in_the_readers_zone_and_language(browser, site, stored) -> None:
    """The whole time on hover; also in parts that are added later. Without scripts in UTC."""
    stored.game("Harbour")
    with db.transaction() as session:
        session.scalars(select(Game)).one().created_at = datetime(2025, 5, 3, 22, 30, tzinfo=UTC)
    berlin = browser.new_context(base_url=site.url, locale="de-DE", timezone_id="Europe/Berlin")
    page = berlin.new_page()
    page.goto("/games/Harbour")
    registered = page.locator(".facts time")
    expect(registered).to_have_text("4. Mai 2025")
    assert "Sonntag, 4. Mai 2025 um 00:30:00" in (registered.get_attribute("title") or "")
    page.evaluate(
        """document.querySelector("main").insertAdjacentHTML("beforeend",
        '<p id="new"><time datetime="2025-05-03T22:30:00Z" data-time="moment">UTC</time></p>')"""
    )
    expect(page.locator("#new")).to_have_text("4. Mai 2025 um 00:30")
    berlin.close()
    plain = browser.new_context(base_url=site.url, java_script_enabled=False, timezone_id="Europe/Berlin")
    page = plain.new_page()
    page.goto("/games/Harbour")
    expect(page.locator(".facts time")).to_have_text("3 May 2025")
    assert page.locator(".facts time").get_attribute("title") == "2025-05-03 22:30:00 UTC"
    plain.close()
