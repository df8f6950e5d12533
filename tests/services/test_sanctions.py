"""Sanctions: who may impose them, on whom, and when they are in force."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from shared.db import utc_now
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.models import Sanction
from shared.protocol.types import player_key
from shared.services import accounts, characters
from shared.services.authority import actors, audit, changes
from shared.services.authority.changes import Part
from shared.services.moderation import (
    sanctions,
    snapshots,
)
from shared.services.moderation.patterns import PatternSet, parse_pattern, subject
from tests.support.moderating import mute

pytestmark = pytest.mark.usefixtures("any_database")


def test_deleting_the_account_does_not_end_its_sanctions(make, session, moderator):
    """They hold for the names of its approved characters until their end. Sanctions that are over are not copied."""
    user, game = make.user("wren"), make.game("Tea")
    for name in ("Bob", "Claim"):
        character = characters.register_character(session, game_id=game.id, name=name, key=user.registration_key)
        session.flush()
        if name == "Bob":
            characters.approve_character(session, actors.of_user(session, user.id), character_id=character.id)
    lifted, held = (mute(session, moderator, "wren", target_kind="user") for _ in range(2))
    sanctions.lift(session, moderator, sanction_id=lifted.id, reason="enough")
    accounts.delete_account(session, actors.of_user(session, user.id), password=make.password)
    session.commit()
    [kept] = session.scalars(select(Sanction).where(Sanction.target_kind == "player"))
    assert (kept.target, kept.peer, kept.player_key) == ("Bob@Tea", f"game:{game.id}", "bob")
    assert (kept.kind, kept.reason, kept.until, kept.actor_name) == ("mute", "flooding", held.until, moderator.name)
    assert kept.state == "in force"
    last = audit.entries_since(session, 0)[-1]
    assert (last.act, last.actor_role, last.target_id) == ("sanction", "operator", f"game:{game.id}/bob")


def test_moderators_cannot_sanction_each_other(make, session, moderator, admin):
    other = make.user(role="moderator")
    application = actors.of_application(session, make.application(scopes=["moderate"]).id)
    for target, kind in ((other.username, "user"), (f"{other.username}@Grapevine", "player"), (admin.name, "user")):
        for actor in (moderator, application):
            with pytest.raises(Forbidden):
                mute(session, actor, target, target_kind=kind)
    sanction = mute(session, admin, other.username, target_kind="user")
    with pytest.raises(Forbidden):
        sanctions.lift(session, moderator, sanction_id=sanction.id, reason="r")
    with pytest.raises(Forbidden, match="yourself"):
        mute(session, admin, admin.name, target_kind="user")


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"kind": "shame"}, Invalid, "kind"),
        ({"target": "Bob"}, Invalid, "target"),
        ({"target": "Bob@Nowhere"}, NotFound, "target"),
        ({"target": "system@Grapevine"}, NotFound, "target"),
        ({"target": ""}, Invalid, "target"),
        ({"target": "nobody", "target_kind": "user"}, NotFound, "target"),
        ({"target": "0.0.0.0/0", "target_kind": "address"}, Invalid, "target"),
        ({"target": "somewhere", "target_kind": "address"}, Invalid, "target"),
        ({"target": "Tea", "target_kind": "planet"}, Invalid, "target_kind"),
        ({"reason": " "}, Invalid, "reason"),
        ({"reason": "x" * 501}, Invalid, "reason"),
        ({"seconds": 0}, Invalid, "seconds"),
        ({"seconds": 10**12}, Invalid, "seconds"),
        ({"channel": "nowhere"}, NotFound, "channel"),
    ],
)
def test_an_invalid_sanction_names_its_field(make, session, moderator, fields, error, field):
    make.game("Tea")
    with pytest.raises(error) as caught:
        mute(session, moderator, **{"target": "Bob@Tea", **fields})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("2001:DB8::1/64", "2001:db8::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("fe80::1%eth0", "fe80::1/128"),
    ],
)
def test_addresses_are_normalized(session, moderator, text, kept):
    assert mute(session, moderator, text, target_kind="address").address == kept


@pytest.mark.parametrize(
    ("network", "is_wide"),
    [
        ("192.0.2.0/24", False),
        ("192.0.2.0/23", True),
        ("127.9.0.0/16", True),
        ("::ffff:127.9.0.0/112", True),
        ("2001:db8:1::/48", False),
        ("2001:db8::/47", True),
    ],
)
def test_only_admins_sanction_wide_networks(make, session, moderator, admin, network, is_wide):
    """And only they end or restore such a sanction."""
    application = actors.of_application(session, make.application(scopes=["moderate"]).id)
    kept = mute(session, admin, network, target_kind="address")
    assert (sanctions.for_admins_alone(session, [kept]) == {kept.id}) is is_wide
    for attempt in (
        lambda: mute(session, moderator, network, target_kind="address"),
        lambda: mute(session, application, network, target_kind="address"),
        lambda: sanctions.lift(session, moderator, sanction_id=kept.id, reason="r"),
        lambda: sanctions.restore(session, moderator, sanction_id=kept.id, reason="r"),
    ):
        if is_wide:
            with pytest.raises(Forbidden):
                attempt()
        else:
            attempt()


@pytest.mark.parametrize("typed", ["Jos\u00e9@Tea", "Jose\u0301@Tea", "JOS\u00c9@tea"])
@pytest.mark.parametrize("spoken", ["Jos\u00e9", "jose\u0301"])
def test_a_name_matches_in_both_unicode_forms(make, session, moderator, typed, spoken):
    """Forms normalize to composed letters; a game may send decomposed ones."""
    make.game("Tea")
    assert mute(session, moderator, typed).player_key == player_key(spoken)
    assert PatternSet([("k", parse_pattern(typed))]).matches(subject(spoken, "Tea"))


def test_states_of_a_sanction(make, session, moderator):
    make.game("Tea")
    sanction = mute(session, moderator, " bob @ tea ")
    assert (sanction.state, sanction.target) == ("in force", "bob@Tea")
    assert sanction.state_at(utc_now() + timedelta(seconds=601)) == "over"
    sanctions.lift(session, moderator, sanction_id=sanction.id, reason="r")
    assert sanction.state == "lifted"
    with pytest.raises(Conflict):
        sanctions.lift(session, moderator, sanction_id=sanction.id, reason="r")
    sanctions.restore(session, moderator, sanction_id=sanction.id, reason="r")
    assert sanction.state == "in force"
    sanctions.undo(session, moderator, sanction_id=sanction.id, reason="r")
    assert sanction.state == "undone"
    session.commit()
    assert [entry.act for entry in audit.entries_since(session, 0)] == ["sanction", "lift", "restore", "undo"]


def test_a_change_marks_the_parts_that_workers_must_read(make, session, moderator):
    make.game("Tea")
    session.commit()
    before = changes.revision(session)[0]
    mute(session, moderator, "Bob@Tea", seconds=None)
    session.commit()
    snapshot = snapshots.read_snapshot(session, [Part.SANCTIONS], now=utc_now())
    assert snapshot.revision == before + 1 and [row.player_key for row in snapshot.sanctions] == ["bob"]
