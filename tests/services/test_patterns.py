"""Patterns of `name@game`, and the mutes of owners that use them."""

from __future__ import annotations

import time

import pytest

from shared.errors import Conflict, Invalid, NotFound
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.services.moderation import (
    game_mutes,
    ignores,
)
from shared.services.moderation.patterns import PatternSet, parse_pattern, subject

pytestmark = pytest.mark.usefixtures("any_database")


def test_a_pattern_must_name_an_existing_game(make, session):
    """Otherwise a typo would go unnoticed. Patterns are shown with the game's own spelling."""
    user, owner = make.user(), make.user()
    reader = actors.of_user(session, user.id)
    make.game("MoonHarbour")
    make.game("Tea", owner=owner)
    with pytest.raises(NotFound, match="there is no game Nope: ") as caught:
        ignores.add_ignore(session, reader, pattern="Bob@Nope")
    assert caught.value.field == "pattern"
    with pytest.raises(NotFound, match="there is no game Nope: "):
        game_mutes.add_mute(session, actors.of_user(session, owner.id), short_name="Tea", pattern="*@Nope")
    for pattern in ("Bob@moonharbour", "*@Nope*", "wren@grapevine"):
        ignores.add_ignore(session, reader, pattern=pattern)
    entries = ignores.list_ignores(session, user.id)
    shown = [ignores.name_of(session, entry) for entry in entries]
    assert shown == ["bob@MoonHarbour", "*@nope*", "wren@Grapevine"]


@pytest.mark.parametrize(
    ("pattern", "player", "fits"),
    [
        ("*@Game", ("Anyone", "game"), True),
        ("*@Game", ("Anyone", "Game2"), False),
        ("spam*@*", ("SPAMMER", "Oak"), True),
        ("spam*@*", ("nospam", "Oak"), False),
        ("Bob@Oak", ("bob", "OAK"), True),
        ("*a*b*@*", ("xaxxb", "Oak"), True),
        ("a.c@Oak", ("abc", "Oak"), False),
        ("a@b@Oak", ("a@b", "Oak"), True),
        ("*@b@Oak", ("a@b", "Oak"), True),
        ("ab*ba@Oak", ("aba", "Oak"), False),
        ("ab*ba@Oak", ("abba", "Oak"), True),
        ("a*bc*c@Oak", ("abc", "Oak"), False),
        ("a*bc*c@Oak", ("abbcc", "Oak"), True),
        ("*@*k", ("Bob", "Oak"), True),
        ("*@O*k*", ("Bob", "Ok"), True),
        ("*@O*k", ("Bob", "Oaks"), False),
    ],
)
def test_which_players_a_pattern_matches(pattern, player, fits):
    assert bool(PatternSet([("k", parse_pattern(pattern))]).matches(subject(*player))) is fits


@pytest.mark.parametrize("pattern", ["Bob", "@Game", "Bob@", "Bob@no game!", "x" * 100 + "@Game", "*a*b*c*@*", ""])
def test_invalid_patterns_are_refused(pattern):
    with pytest.raises(Invalid) as caught:
        parse_pattern(pattern)
    assert caught.value.field == "pattern"


def test_many_hostile_patterns_stay_fast():
    """3,000 mutes and a hostile name. One regular expression of all took half a second per name."""
    mutes = PatternSet((number, parse_pattern(f"*ab*ba*b{number}@*")) for number in range(3_000))
    began = time.process_time()
    for number in range(10):
        assert mutes.matches(subject("ab" * 28 + f"x{number}", "Oak")) == frozenset()
    assert time.process_time() - began < 0.5
    assert mutes.matches(subject("xxabybazb2999", "Oak")) == {2999}


def test_owners_mute_only_for_their_own_games(make, session):
    owner, other = make.user(), make.user()
    make.game("Tea", owner=owner)
    make.game("Oak", owner=other)
    stranger = actors.of_user(session, other.id)
    with pytest.raises(NotFound):
        game_mutes.add_mute(session, stranger, short_name="Tea", pattern="*@Oak")
    mute = game_mutes.add_mute(session, actors.of_user(session, owner.id), short_name="tea", pattern="Spam**@Oak")
    assert mute.pattern == "spam*@oak"
    with pytest.raises(Conflict):
        game_mutes.add_mute(session, OPERATOR, short_name="Tea", pattern="spam*@OAK")
    with pytest.raises(NotFound):
        game_mutes.delete_mute(session, stranger, mute_id=mute.id)
