"""How many open reports, ignores and mutes one person or game may have, and who may remove a mute."""

from __future__ import annotations

import pytest

from shared.errors import Conflict, NotFound
from shared.services.authority import actors
from shared.services.moderation import game_mutes, ignores, reports


def test_a_person_may_have_a_limited_number_of_open_reports(make, session, moderator, monkeypatch):
    """Decided ones do not count."""
    monkeypatch.setattr(reports, "MAX_OPEN_REPORTS", 2)
    make.game("Tea")
    reporter = actors.of_user(session, make.user().id)

    def report(name):
        return reports.create_report(session, reporter, game="Tea", name=name, text="rude")

    first, _ = report("Ann"), report("Bob")
    with pytest.raises(Conflict, match="waiting"):
        report("Cy")
    reports.resolve_report(session, moderator, report_id=first.id, state="dismissed", outcome="no")
    report("Cy")


def test_a_person_may_ignore_a_limited_number(make, session, monkeypatch):
    monkeypatch.setattr(ignores, "IGNORES_PER_USER", 2)
    make.game("Tea")
    actor = actors.of_user(session, make.user().id)
    for name in ("Ann", "Bob"):
        ignores.add_ignore(session, actor, pattern=f"{name}@Tea")
    with pytest.raises(Conflict, match="stop ignoring one first"):
        ignores.add_ignore(session, actor, pattern="Cy@Tea")


def test_a_game_may_have_a_limited_number_of_mutes(make, session, monkeypatch):
    monkeypatch.setattr(game_mutes, "MUTES_PER_GAME", 2)
    owner = make.user()
    make.game("Tea", owner=owner)
    actor = actors.of_user(session, owner.id)
    for name in ("Ann", "Bob"):
        game_mutes.add_mute(session, actor, short_name="Tea", pattern=f"{name}@*")
    with pytest.raises(Conflict, match="at most 2 mutes"):
        game_mutes.add_mute(session, actor, short_name="Tea", pattern="Cy@*")


def test_only_the_owner_removes_a_mute(make, session):
    owner, stranger = make.user(), make.user()
    game = make.game("Tea", owner=owner)
    make.game("Other", owner=stranger)
    mute = game_mutes.add_mute(session, actors.of_user(session, owner.id), short_name="Tea", pattern="Ann@*")
    session.flush()
    for mute_id in (mute.id, mute.id + 1000):
        with pytest.raises(NotFound):
            game_mutes.delete_mute(session, actors.of_user(session, stranger.id), mute_id=mute_id)
    assert [kept.pattern for kept in game_mutes.list_mutes(session, game.id)] == [mute.pattern]
