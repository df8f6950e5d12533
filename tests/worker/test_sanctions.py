"""The index of sanctions: their targets, channels and ends, and which of several sanctions is reported."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from shared import peer_keys
from shared.errors import Banned, Muted
from worker.moderation.sanctions import ADMINS, MODERATORS, Sanctions, Speaker

NOW = 1_000_000.0
GAME, OTHER_GAME = peer_keys.of_game(1), peer_keys.of_game(2)
WREN = Speaker(GAME, "Ashfall", "Wren", "wren", "203.0.113.5")
PEOPLE = {(GAME, "wren"): 7}


def row(target_kind: str, kind: str = "ban", *, ends_in: float | None = 60.0, **fields: Any) -> Any:
    """Return a row as `sanctions.in_force_rows` selects it."""
    until = None if ends_in is None else datetime.fromtimestamp(NOW + ends_in, UTC)
    targets = {"peer": None, "player_key": None, "user_id": None, "address": None}
    return SimpleNamespace(
        **{"id": 1, "channel_id": None, "reason": "spam", **targets, **fields},
        kind=kind,
        target_kind=target_kind,
        until=until,
    )


def find(*rows: Any, speaker: Speaker = WREN, channel_id: int | None = 1, people: Any = PEOPLE) -> Any:
    return Sanctions(rows).find(speaker, channel_id, people, NOW)


@pytest.mark.parametrize(
    "target",
    [
        {"target_kind": "player", "peer": GAME, "player_key": "wren"},
        {"target_kind": "game", "peer": GAME},
        {"target_kind": "user", "user_id": 7},
        {"target_kind": "address", "address": "203.0.113.5/32"},
        {"target_kind": "address", "address": "203.0.113.0/24"},
    ],
)
def test_each_kind_of_target_is_matched(target):
    assert find(row(**target, id=3)).id == 3


@pytest.mark.parametrize(
    "target",
    [
        {"target_kind": "player", "peer": GAME, "player_key": "robin"},
        {"target_kind": "player", "peer": OTHER_GAME, "player_key": "wren"},
        {"target_kind": "game", "peer": OTHER_GAME},
        {"target_kind": "user", "user_id": 8},
        {"target_kind": "address", "address": "203.0.113.6/32"},
        {"target_kind": "address", "address": "203.0.112.0/24"},
        {"target_kind": "address", "address": "2001:db8::/32"},
    ],
)
def test_other_targets_are_not_matched(target):
    assert find(row(**target)) is None


def test_an_account_is_matched_through_its_character_or_its_browser():
    sanction = row("user", user_id=7)
    assert find(sanction, people={}) is None
    assert find(sanction, people=PEOPLE) is not None
    assert find(sanction, speaker=WREN._replace(user_id=7), people={}) is not None
    assert find(sanction, speaker=WREN._replace(user_id=8), people=PEOPLE) is None


def test_a_name_that_looks_alike_is_matched_unless_it_is_an_approved_character():
    sanction = row("player", peer=GAME, player_key="bill")
    lookalike = WREN._replace(name="BiII", key="biii")
    assert find(sanction, speaker=lookalike, people={}) is not None
    assert find(sanction, speaker=lookalike, people={(GAME, "biii"): 8}) is None
    assert find(sanction, speaker=lookalike._replace(user_id=8), people={}) is None
    assert find(sanction, speaker=lookalike._replace(peer=OTHER_GAME), people={}) is None


@pytest.mark.parametrize(("ends_in", "holds"), [(0.001, True), (0.0, False), (-1.0, False), (None, True)])
def test_a_sanction_holds_until_just_before_its_end(ends_in, holds):
    sanctions = Sanctions([row("game", ends_in=ends_in, peer=GAME)])
    assert (sanctions.find(WREN, 1, {}, NOW) is not None) is holds
    assert (sanctions.find_ban(GAME, "", NOW) is not None) is holds


def test_a_sanction_on_one_channel_affects_no_other_channel_and_no_tells():
    mute = row("game", "mute", peer=GAME, channel_id=1)
    assert find(mute, channel_id=1) is not None
    assert find(mute, channel_id=2) is None
    assert find(mute, channel_id=None) is None


def test_a_sanction_on_all_channels_affects_tells_too():
    assert find(row("game", "mute", peer=GAME), channel_id=None) is not None


def test_a_ban_is_reported_before_a_mute_and_then_the_one_that_ends_last():
    mute = row("game", "mute", peer=GAME, ends_in=None, id=1)
    short = row("game", peer=GAME, ends_in=10, id=2)
    long = row("player", peer=GAME, player_key="wren", ends_in=20, id=3)
    assert find(mute, short).id == 2
    assert find(mute, short, long).id == 3


def test_only_a_ban_on_all_channels_closes_sockets():
    assert Sanctions([row("game", "mute", peer=GAME)]).find_ban(GAME, "", NOW) is None
    assert Sanctions([row("game", peer=GAME, channel_id=1)]).find_ban(GAME, "", NOW) is None
    assert Sanctions([row("game", peer=GAME)]).find_ban(None, "", NOW) is None
    assert Sanctions([row("game", peer=GAME)]).find_ban(GAME, "", NOW) is not None


@pytest.mark.parametrize(
    ("network", "address", "is_inside"),
    [
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("203.0.113.128/25", "203.0.113.128", True),
        ("203.0.113.128/25", "203.0.113.127", False),
        ("203.0.113.0/24", "not an address", False),
        ("203.0.113.0/24", "", False),
        ("0.0.0.0/8", "::1", False),
    ],
)
def test_a_ban_of_a_network_covers_exactly_its_addresses(network, address, is_inside):
    sanctions = Sanctions([row("address", address=network)])
    assert sanctions.has_addresses
    for _ in range(2):  # the second answer comes from the cache
        assert (sanctions.find_ban(None, address, NOW) is not None) is is_inside


def test_banned_players_are_listed_by_name_and_by_account():
    sanctions = Sanctions(
        [
            row("player", peer=OTHER_GAME, player_key="robin"),
            row("user", user_id=7),
            row("player", "mute", peer=GAME, player_key="muted"),
            row("player", peer=GAME, player_key="elsewhere", channel_id=1),
            row("player", peer=GAME, player_key="over", ends_in=0),
        ]
    )
    assert sanctions.banned_players(PEOPLE, NOW) == {(OTHER_GAME, "robin"), (GAME, "wren")}


def test_the_error_has_the_reason_the_end_and_who_can_lift_it():
    ban = find(row("game", peer=GAME, ends_in=1.2)).error(NOW, lifted_by=ADMINS)
    assert isinstance(ban, Banned)
    assert ban.message == "banned until 1970-01-12T13:46:41Z: spam"
    assert ban.details == {"seconds_left": 2, "lifted_by": "admins"}

    mute = find(row("game", "mute", peer=GAME, ends_in=None)).error(NOW, lifted_by=MODERATORS)
    assert isinstance(mute, Muted)
    assert mute.message == "muted: spam"
    assert mute.details == {"seconds_left": None, "lifted_by": "moderators"}


def test_an_empty_index_is_false():
    assert not Sanctions()
    assert Sanctions([row("game", peer=GAME)])
    assert not Sanctions([row("game", peer=GAME)]).has_addresses
