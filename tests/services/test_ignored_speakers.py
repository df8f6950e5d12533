"""Hiding the channel lines of ignored players on the site."""

from __future__ import annotations

import pytest

from shared.db import utc_now
from shared.models import Character
from shared.models.message import Message
from shared.services.authority import actors
from shared.services.moderation import ignored_speakers, ignores

pytestmark = pytest.mark.usefixtures("any_database")


def line(name, game="Harbour", peer="game:1"):
    return Message(id=1, channel_id=1, peer=peer, game=game, name=name, text="hello", worker="w", sent_at=utc_now())


@pytest.fixture
def ignore(make, session):
    """`ignore(pattern)` makes the person `ignore.user` ignore it."""
    user = make.user("wren")
    make.game("Harbour")

    def add(pattern, **how):
        ignores.add_ignore(session, actors.of_user(session, user.id), pattern=pattern, **how)
        session.flush()
        return ignored_speakers.ignored_by(session, actors.of_user(session, user.id))

    add.user = user
    return add


def test_visitors_and_people_without_entries_ignore_nobody(session, ignore):
    for user_id in (None, ignore.user.id):
        assert not ignored_speakers.ignored_by(session, actors.of_user(session, user_id)).covers(line("Pest"))


def test_patterns(ignore):
    ignored = ignore("Pest*@Harbour")
    assert ignored.covers(line("PESTILENCE")) and ignored.covers(line("pest", game="harbour"))
    assert not ignored.covers(line("Pest", game="Tea")) and not ignored.covers(line("Best"))


def test_a_person_with_all_their_characters(make, session, ignore):
    rude, other = make.user("rude"), make.user("other")
    game = make.game()
    for user, name, state in ((rude, "imp", "approved"), (rude, "claim", "pending"), (other, "nice", "approved")):
        session.add(Character(user_id=user.id, game_id=game.id, name=name, name_key=name, state=state))
    session.flush()
    ignored = ignore("rude", is_person=True)
    peer = f"game:{game.id}"
    assert ignored.covers(line("Imp", peer=peer)) and ignored.covers(line("Rude", game="Grapevine", peer="grapevine"))
    for name in ("claim", "nice", "rude"):
        assert not ignored.covers(line(name, peer=peer))
    assert not ignored.covers(line("imp", peer="application:1"))


def test_system_lines_and_own_lines_are_always_shown(ignore):
    ignored = ignore("*@Grapevine")
    assert ignored.covers(line("starling", game="Grapevine", peer="grapevine"))
    for name in ("system", "Wren"):
        assert not ignored.covers(line(name, game="Grapevine", peer="grapevine"))
