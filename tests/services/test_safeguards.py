"""Raid protection and probation: who may set them, what they store, and which newcomers workers learn of."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from shared.db import utc_now
from shared.errors import Conflict, Forbidden, Invalid
from shared.models import AuditEntry, Character, Message
from shared.models.game_details import GameDetails
from shared.services import games, raids, users
from shared.services.authority import actors
from shared.services.moderation import safeguards


def sign_up(session):
    return users.sign_up(session, username="Newcomer", email="newcomer@example.com", password="a long password")


def register_game(session, owner):
    details = GameDetails(name="Newcomers", short_name="New")
    return games.create_game(session, actors.of_user(session, owner.id), owner_id=owner.id, details=details)


def test_raid_protection_is_announced_audited_and_ends_by_itself(make, session, moderator):
    make.channel("gossip")
    make.channel("secret", is_hidden=True)
    settings = safeguards.start_raid_protection(session, moderator, hours=1, reason="Fifty new accounts.")
    session.commit()
    assert settings.is_raid_at(utc_now()) and not settings.is_raid_at(utc_now() + timedelta(hours=1, seconds=1))
    lines = session.scalars(select(Message)).all()
    assert [line.name for line in lines] == ["system"] and lines[0].text == (
        "Raid protection is on for 1 hour. Only approved characters, and players of games and accounts older than a"
        " day, can speak. Reason: Fifty new accounts."
    )
    register = (lambda: sign_up(session), lambda: register_game(session, make.user()))
    for attempt in register:
        with pytest.raises(Conflict, match="registration is closed until"):
            attempt()
    make.game("Operated")  # by the operator, whom raid protection does not stop
    safeguards.end_raid_protection(session, moderator)
    session.commit()
    for attempt in register:
        attempt()
    assert session.scalars(select(AuditEntry.act).order_by(AuditEntry.number)).all() == ["raid/start", "raid/end"]
    with pytest.raises(Conflict):
        safeguards.end_raid_protection(session, moderator)


def test_a_raid_that_is_over_closes_nothing(session, moderator):
    settings = safeguards.start_raid_protection(session, moderator, hours=1, reason="r")
    settings.raid_until = utc_now() - timedelta(seconds=1)
    session.flush()
    raids.require_no_raid(session)
    assert safeguards.read(session, utc_now()) == safeguards.Safeguards()


@pytest.mark.parametrize("hours", [0, -1, 24 * 7 + 1])
def test_a_raid_has_a_sensible_length(session, moderator, hours):
    with pytest.raises(Invalid) as error:
        safeguards.start_raid_protection(session, moderator, hours=hours, reason="r")
    assert error.value.field == "hours"


def test_a_raid_needs_a_reason(session, moderator):
    with pytest.raises(Invalid) as error:
        safeguards.start_raid_protection(session, moderator, hours=1, reason=" ")
    assert error.value.field == "reason"


def test_players_set_nothing_and_moderators_no_probation(make, session, moderator):
    player = actors.of_user(session, make.user().id)
    for attempt in (
        lambda: safeguards.start_raid_protection(session, player, hours=1, reason="r"),
        lambda: safeguards.end_raid_protection(session, player),
        lambda: safeguards.set_probation(session, moderator, hours=1, slow_seconds=0, refuses_links=False),
    ):
        with pytest.raises(Forbidden):
            attempt()


@pytest.mark.parametrize(
    ("hours", "slow_seconds", "field"), [(-1, 0, "hours"), (721, 0, "hours"), (1, 3601, "slow_seconds")]
)
def test_probation_has_limits(session, admin, hours, slow_seconds, field):
    with pytest.raises(Invalid) as error:
        safeguards.set_probation(session, admin, hours=hours, slow_seconds=slow_seconds, refuses_links=False)
    assert error.value.field == field


def test_workers_learn_of_newcomers_while_a_safeguard_is_on(make, session, admin, moderator):
    now = utc_now()
    old, young = make.game("Old"), make.game("Young")
    known, unknown = make.user(), make.user()
    old.created_at = now - timedelta(hours=30)
    for user in (known, unknown):
        user.created_at = now - timedelta(hours=2)
    for user, name, state in ((known, "wren", "approved"), (unknown, "odo", "pending")):
        session.add(Character(user_id=user.id, game_id=young.id, name=name, name_key=name, state=state))
    session.flush()
    assert safeguards.read(session, now) == safeguards.Safeguards()
    safeguards.start_raid_protection(session, moderator, hours=1, reason="r")
    read = safeguards.read(session, utc_now())
    assert set(read.young_games) == {young.id} and read.newest_game == young.id
    assert {known.id, unknown.id} <= set(read.young_users) and read.newest_user >= unknown.id
    assert read.approved == {(young.id, "wren")}
    assert read.known_users == {known.id}
    safeguards.end_raid_protection(session, moderator)
    safeguards.set_probation(session, admin, hours=48, slow_seconds=9, refuses_links=True)
    read = safeguards.read(session, utc_now())
    assert set(read.young_games) == {old.id, young.id}
    assert (read.raid_until, read.slow_seconds, read.refuses_links) == (None, 9, True)
