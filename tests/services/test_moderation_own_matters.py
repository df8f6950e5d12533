"""Nobody decides on what is their own, or on what only somebody above them may; and the reported do not learn by whom."""

from __future__ import annotations

import pytest

from shared.errors import Forbidden
from shared.services import characters
from shared.services.moderation import actors, sanctions

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.fixture
def moderator(make, session):
    return actors.of_user(session, make.user(role="moderator").id)


@pytest.fixture
def admin(make, session):
    return actors.of_user(session, make.admin().id)


def mute(session, actor, target, **fields):
    fields = {"kind": "mute", "target_kind": "player", "seconds": 600, "reason": "flooding", **fields}
    return sanctions.sanction(session, actor, target=target, **fields)


def claim(session, game, user, name):
    """Register and approve a character."""
    claimed = characters.register_character(session, game_id=game.id, name=name, key=user.registration_key)
    session.flush()
    return characters.approve_character(session, actor_id=user.id, character_id=claimed.id)


# Ending a sanction


def test_a_moderator_does_not_end_what_is_against_a_game_of_theirs(make, session, admin):
    owner = make.user(role="moderator")
    make.game("Tea", owner=owner)
    made = mute(session, admin, "Tea", target_kind="game")
    for end in (sanctions.lift, sanctions.undo):
        with pytest.raises(Forbidden):
            end(session, actors.of_user(session, owner.id), sanction_id=made.id, reason="it is mine")
    colleague = actors.of_user(session, make.user(role="moderator").id)
    sanctions.lift(session, colleague, sanction_id=made.id, reason="promised")


def test_an_application_does_not_end_its_own_sanction(make, session, admin):
    application = make.application("Bridge", scopes=["moderate"])
    itself = actors.of_application(session, application.id)
    for target, kind in (("Bridge", "game"), ("Bot@Bridge", "player")):
        made = mute(session, admin, target, target_kind=kind)
        with pytest.raises(Forbidden):
            sanctions.lift(session, itself, sanction_id=made.id, reason="let me")
    with pytest.raises(Forbidden, match="themselves"):
        mute(session, itself, "Bridge", target_kind="game")
