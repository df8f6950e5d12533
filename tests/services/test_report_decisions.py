"""Claims of reports, decisions with a sanction, the order of the queue, and internal notes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.db import transaction, utc_now
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.models import Character, Report, Sanction
from shared.models.report import CLAIM_TIME
from shared.services.moderation import claims, decisions, notes, records, reports
from tests.support.moderating import Moderated, actor, make_moderated

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.fixture
def world(stored: Any) -> Moderated:
    return make_moderated(stored)


def make_report(world: Moderated, name: str) -> int:
    with transaction() as session:
        reporter = actor(session, world.player)
        return reports.create_report(session, reporter, game="Harbour", name=name, text="Rude").id


def make_character(user: Any, world: Moderated) -> None:
    """Make the reported player the approved character of somebody."""
    with transaction() as session:
        keys = {"name": "Wren", "name_key": "wren", "state": "approved"}
        session.add(Character(user_id=user.id, game_id=world.game.id, **keys))


def decide(user: Any, report_id: int, decision: str, outcome: str = "No adverts here") -> None:
    with transaction() as session:
        decisions.decide_report(session, actor(session, user), report_id=report_id, decision=decision, outcome=outcome)


@pytest.mark.parametrize(
    ("decision", "state", "kind"),
    [
        ("mute", "upheld", "mute"),
        ("warn", "upheld", "warn"),
        ("upheld", "upheld", None),
        ("dismissed", "dismissed", None),
    ],
)
def test_a_decision_and_its_sanction_are_one_act(world: Moderated, decision: str, state: str, kind: str | None) -> None:
    decide(world.moderator, world.report, decision)
    with transaction() as session:
        assert session.get_one(Report, world.report).state == state
        imposed = [each for each in session.query(Sanction) if each.report_id == world.report]
        assert [each.kind for each in imposed] == ([kind] if kind else [])
        if kind == "mute":
            assert imposed[0].target == "Wren@Harbour" and imposed[0].reason == "No adverts here"
            assert imposed[0].until is not None and imposed[0].until - imposed[0].created_at == timedelta(hours=1)


def test_a_sanction_that_is_refused_leaves_the_report_open(world: Moderated, stored: Any) -> None:
    """A moderator cannot mute a character of another moderator. Nor is the choice guessed."""
    make_character(world.admin, world)
    with pytest.raises(Forbidden):
        decide(world.moderator, world.report, "mute")
    with pytest.raises(Invalid):
        decide(world.moderator, world.report, "ban")
    with transaction() as session:
        assert session.get_one(Report, world.report).state == "open"


def test_a_claimed_report_is_decided_by_its_holder(world: Moderated, stored: Any, monkeypatch: Any) -> None:
    """Until it is taken over, released, or half an hour has passed."""
    other = stored.user("second", role="moderator")
    with transaction() as session:
        claims.claim(session, actor(session, world.moderator), report_id=world.report)
    with transaction() as session, pytest.raises(Conflict, match="mod started to work on this report just now"):
        claims.claim(session, actor(session, other), report_id=world.report)
    with pytest.raises(Conflict, match="take it over first"):
        decide(other, world.report, "dismissed")
    with transaction() as session:
        claims.claim(session, actor(session, world.moderator), report_id=world.report)  # again
        claims.release(session, actor(session, other), report_id=world.report)
        assert session.get_one(Report, world.report).claimed_by == "mod"
        claims.claim(session, actor(session, other), report_id=world.report, takes_over=True)
        assert claims.find_holder(actor(session, world.moderator), session.get_one(Report, world.report), utc_now())
    later = utc_now() + CLAIM_TIME
    monkeypatch.setattr(decisions, "utc_now", lambda: later)
    decide(world.moderator, world.report, "dismissed")
    with transaction() as session, pytest.raises(Conflict, match="already been decided"):
        claims.claim(session, actor(session, other), report_id=world.report)


def test_nobody_claims_a_report_about_themselves(world: Moderated, stored: Any) -> None:
    make_character(world.moderator, world)
    with transaction() as session, pytest.raises(NotFound):
        claims.claim(session, actor(session, world.moderator), report_id=world.report)


def test_the_next_report_is_the_oldest_after_this_one_that_nobody_works_on(world: Moderated, stored: Any) -> None:
    other = stored.user("second", role="moderator")
    second, third = make_report(world, "Odo"), make_report(world, "Kit")

    def following(after: int) -> int | None:
        with transaction() as session:
            return reports.find_next(session, actor(session, world.moderator), after=after, now=utc_now())

    assert [following(each) for each in (world.report, second, third)] == [second, third, world.report]
    with transaction() as session:
        claims.claim(session, actor(session, other), report_id=second)
        claims.claim(session, actor(session, world.moderator), report_id=third)
    assert following(world.report) == third
    decide(world.moderator, third, "dismissed")
    assert following(world.report) is None


def test_what_waits_is_counted_in_one_statement(world: Moderated, stored: Any) -> None:
    stored.channel("proposed", is_hidden=True, proposed_by_id=world.owner.id)
    with transaction() as session:
        waiting = records.count_waiting(session, actor(session, world.moderator))
    assert waiting == records.Waiting(reports=1, appeals=1, channels=1, sanctions=1)


def test_notes_are_read_by_staff_and_deleted_by_their_author_or_an_admin(world: Moderated, stored: Any) -> None:
    other = stored.user("second", role="moderator")
    about = f"report:{world.report}"
    with transaction() as session:
        moderator, admin = actor(session, world.moderator), actor(session, world.admin)
        first = notes.add_note(session, moderator, about=about, text="  Seen\nbefore ")
        second = notes.add_note(session, moderator, about=about, text="Again")
        notes.add_note(session, moderator, about="user:1", text="Somebody else")
        assert [note.text for note in notes.list_notes(session, admin, [about])] == ["Again", "Seen\nbefore"]
        with pytest.raises(Forbidden):
            notes.list_notes(session, actor(session, world.player), [about])
        with pytest.raises(Forbidden, match="only its author or an admin"):
            notes.delete_note(session, actor(session, other), note_id=first.id)
        notes.delete_note(session, moderator, note_id=first.id)
        notes.delete_note(session, admin, note_id=second.id)
        assert notes.list_notes(session, admin, [about]) == []
        with pytest.raises(Invalid):
            notes.add_note(session, moderator, about=about, text=" ")
        with pytest.raises(NotFound):
            notes.delete_note(session, admin, note_id=first.id)
