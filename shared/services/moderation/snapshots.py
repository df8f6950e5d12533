"""Read what workers enforce: the parts that have changed, from one state of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import grapevine, peer_keys
from shared.models.application import Application
from shared.models.character import Character
from shared.models.moderation import ChannelState, Filter, GameMute, Ignore, Sanction
from shared.models.user import User
from shared.peer_keys import PeerKey
from shared.protocol.types import player_key
from shared.services.authority import changes
from shared.services.authority.changes import Part
from shared.services.moderation import safeguards, sanctions
from shared.services.moderation.filter_rules import Rule
from shared.services.moderation.safeguards import Safeguards

_AT_ONCE = 500


@dataclass(slots=True)
class Snapshot:
    """What was read. Only the fields of `parts` are filled.

    Attributes:
        sanctions: Rows of `sanctions.in_force_rows`.
        channels: Rows (channel_id, is_paused, paused_until, slow_seconds, is_closed, pause_reason).
        mutes: Rows (game id, pattern).
        ignores: For each user, pairs (pattern, person's id), one of which is None.
        people: The user behind each player (peer key, player key). Only for users that ignore, are ignored or are
            sanctioned, and for moderators and admins.
        staff: The ids of moderators and admins.
        scopes: The scopes of each application that has any.
        safeguards: Raid protection, probation, and newcomers.
    """

    revision: int
    number: int
    parts: frozenset[Part]
    sanctions: list[Any] = field(default_factory=list)
    filters: list[Rule] = field(default_factory=list)
    channels: list[Any] = field(default_factory=list)
    mutes: list[tuple[int, str]] = field(default_factory=list)
    ignores: dict[int, list[tuple[str | None, int | None]]] = field(default_factory=dict)
    people: dict[tuple[PeerKey, str], int] = field(default_factory=dict)
    staff: frozenset[int] = frozenset()
    scopes: dict[int, list[str]] = field(default_factory=dict)
    safeguards: Safeguards = field(default_factory=Safeguards)


def read_snapshot(session: Session, parts: Collection[Part], *, now: datetime) -> Snapshot:
    """Read these parts, and those that depend on them, in a session that sees one state of the database."""
    needed = set(parts)
    if Part.SANCTIONS in needed:
        needed.add(Part.PEOPLE)
    revision, number = changes.revision(session)
    snapshot = Snapshot(revision, number, frozenset(needed))
    if Part.SANCTIONS in needed:
        snapshot.sanctions = list(session.execute(sanctions.in_force_rows(now)))
    if Part.FILTERS in needed:
        rows = session.execute(
            select(Filter.id, Filter.kind, Filter.text, Filter.count, Filter.seconds, Filter.action)
            .where(Filter.is_on)
            .order_by(Filter.id)
        )
        snapshot.filters = [Rule(*row) for row in rows]
    if Part.CHANNELS in needed:
        snapshot.channels = list(
            session.execute(
                select(
                    ChannelState.channel_id,
                    ChannelState.is_paused,
                    ChannelState.paused_until,
                    ChannelState.slow_seconds,
                    ChannelState.is_closed,
                    ChannelState.pause_reason,
                )
            )
        )
    if Part.MUTES in needed:
        snapshot.mutes = [
            (row.game_id, row.pattern) for row in session.execute(select(GameMute.game_id, GameMute.pattern))
        ]
    if Part.PEOPLE in needed:
        _read_people(session, snapshot, now)
    if Part.APPLICATIONS in needed:
        rows = session.execute(select(Application.id, Application.scopes))
        snapshot.scopes = {row.id: row.scopes for row in rows if row.scopes}
    if Part.SAFEGUARDS in needed:
        snapshot.safeguards = safeguards.read(session, now)
    return snapshot


def _read_people(session: Session, snapshot: Snapshot, now: datetime) -> None:
    ignores: dict[int, list[tuple[str | None, int | None]]] = defaultdict(list)
    for row in session.execute(select(Ignore.user_id, Ignore.pattern, Ignore.person_id)):
        ignores[row.user_id].append((row.pattern, row.person_id))
    snapshot.ignores = dict(ignores)
    persons = {person for entries in ignores.values() for _, person in entries if person is not None}
    sanctioned = session.execute(sanctions.in_force_rows(now).with_only_columns(Sanction.user_id))
    snapshot.staff = frozenset(session.scalars(select(User.id).where(User.role != "player")))
    user_ids = sorted(
        {*ignores, *persons, *snapshot.staff, *(row.user_id for row in sanctioned if row.user_id is not None)}
    )
    for start in range(0, len(user_ids), _AT_ONCE):
        ids = user_ids[start : start + _AT_ONCE]
        for user in session.execute(select(User.id, User.username).where(User.id.in_(ids))):
            snapshot.people[grapevine.KEY, player_key(user.username)] = user.id
        owned = select(Character.user_id, Character.game_id, Character.name_key).where(
            Character.user_id.in_(ids), Character.state == "approved"
        )
        for character in session.execute(owned):
            snapshot.people[peer_keys.of_game(character.game_id), character.name_key] = character.user_id
