"""The live state of a game for its owner: its sockets, their errors, and whether its ways to connect work.

The page polls it every two seconds (docs/decisions/0011-live-pages-by-polling.md).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import msgspec
import redis
from flask import current_app
from sqlalchemy.orm import Session

from app.online import list_sockets_of
from shared import diagnostics, peer_keys
from shared.bus import Bus
from shared.db import utc_now
from shared.diagnostics import MAX_REFUSALS, Diagnostics, Refusal
from shared.models import ConnectionCheck, Game
from shared.models.moderation import Sanction
from shared.peer_keys import PeerKey
from shared.presence import SocketPresence
from shared.protocol.codes import CLOSE_CODES
from shared.services import channels
from shared.services.account_sanctions import audit_form
from shared.services.connection_checks import limited_ways, meaning_of
from shared.services.moderation import sanctions

log = logging.getLogger(__name__)

SHOWN_ENTRIES = {"frames": 30, "refusals": MAX_REFUSALS, "disconnects": 10}
SHOWN_REFUSALS = 10
FRAME_CHARACTERS = 500

REFUSAL_TITLES = {
    "invalid-credentials": "Wrong secret",
    "missing-support": "Flag not declared",
    "rate-limited": "Rate limit exceeded",
    "not-json": "Not a JSON frame",
    "unknown-event": "Unknown event",
    "invalid": "Invalid frame",
    "unauthenticated": "Not authenticated",
    "not-subscribed": "Not subscribed",
    "channel-refused": "Channel refused",
    "banned": "Banned",
    "muted": "Muted",
}


@dataclass(frozen=True)
class Refused:
    """Refusals of one kind in a row, shown as one.

    Attributes:
        last: The newest of them.
        since: When the first of them was.
    """

    last: Refusal
    since: float
    count: int


@dataclass(frozen=True)
class State:
    """Everything that the page shows.

    Attributes:
        sockets: None while Redis is down.
        diagnostics: None while Redis is down.
        sanctions: Those in force against the game itself.
        limited: The ways to connect whose checks must wait, by id, and until when.
        mark: Changes whenever the page must change.
    """

    game: Game
    sockets: list[SocketPresence] | None
    diagnostics: Diagnostics | None
    channel_names: dict[int, str]
    sanctions: list[Sanction]
    limited: dict[str, datetime]
    mark: str

    @property
    def refused(self) -> list[Refused]:
        """The last refusals, newest first, with repeats as one."""
        return collapse(self.diagnostics.refusals)[:SHOWN_REFUSALS] if self.diagnostics else []

    @property
    def is_banned(self) -> bool:
        """Whether the game is banned from connecting."""
        return any(sanction.kind == "ban" and sanction.channel_id is None for sanction in self.sanctions)


def state_of(session: Session, game: Game) -> State:
    """Return the current state of a game."""
    peer = peer_keys.of_game(game.id)
    sockets = list_sockets_of(peer)
    diagnosed = None if sockets is None else _read_diagnostics(peer)
    names = channels.names_of(session, {channel_id for socket in sockets or () for channel_id in socket.channels})
    checks = [
        (way.public_form(), check and (check.outcome, check.checked_at, check.http_status, check.is_waiting))
        for way in game.connections
        for check in (way.check,)
    ]
    in_force = sanctions.list_against_game(session, game.id)
    sanction_forms = [audit_form(sanction) for sanction in in_force]
    limited = limited_ways(session, game, now=utc_now())
    minute = time.time() // 60  # so that "3 minutes ago" is updated
    parts = msgspec.json.encode(
        [game.short_name, sockets, diagnosed, sorted(names.items()), checks, sanction_forms, limited, minute]
    )
    return State(game, sockets, diagnosed, names, in_force, limited, hashlib.sha256(parts).hexdigest()[:32])


def collapse(refusals: Sequence[Refusal]) -> list[Refused]:
    """Return refusals with those of one kind in a row as one. Both are newest first."""
    return [
        Refused(same[0], same[-1].at, len(same))
        for _, group in groupby(refusals, key=lambda refusal: (refusal.code, refusal.error))
        if (same := list(group))
    ]


def context_of(state: State) -> dict[str, object]:
    """Return the values for the templates of the live parts."""
    return {
        "state": state,
        "game": state.game,
        "utc": lambda at: datetime.fromtimestamp(at, UTC),
        "meaning_of": meaning_of,
        "close_codes": CLOSE_CODES,
        "refusal_titles": REFUSAL_TITLES,
        "frame_characters": FRAME_CHARACTERS,
    }


def works_now(check: ConnectionCheck | None) -> bool | None:
    """Return whether the last check of a way to connect succeeded; None if that is unknown."""
    meaning = meaning_of(check)
    return None if meaning is None else meaning.is_ok


def _read_diagnostics(peer: PeerKey) -> Diagnostics | None:
    """Return a peer's diagnostics, newest first, limited to what the page shows. None if Redis is down."""
    bus: Bus = current_app.extensions["bus"]
    try:
        recorded = diagnostics.read(bus.redis, peer)
    except redis.RedisError as error:
        log.warning("redis is down, so an owner sees no diagnostics: %s", error)
        return None
    newest = {name: getattr(recorded, name)[: -count - 1 : -1] for name, count in SHOWN_ENTRIES.items()}
    return msgspec.structs.replace(recorded, **newest)
