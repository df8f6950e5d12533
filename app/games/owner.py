"""What an owner sees of a game now: its sockets, what went wrong with them, whether its ways to connect work.

The page asks for it every two seconds (docs/decisions/0011-live-pages-by-polling.md).
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import redis
from flask import current_app
from sqlalchemy.orm import Session

from app.online import sockets_of
from shared import diagnostics, peer_keys
from shared.bus import Bus
from shared.diagnostics import Diagnostics
from shared.models import ConnectionCheck, Game
from shared.models.moderation import Sanction
from shared.peer_keys import PeerKey
from shared.presence import SocketPresence
from shared.protocol.codes import CLOSE_CODES
from shared.services import channels
from shared.services.account_sanctions import audit_form
from shared.services.connection_checks import meaning_of
from shared.services.moderation import sanctions

log = logging.getLogger(__name__)

SHOWN = {"frames": 30, "refusals": 10, "disconnects": 10}
FRAME_CHARACTERS = 500

REFUSALS = {
    "invalid-credentials": "Authentication failed",
    "missing-support": "A flag is not declared",
    "rate-limited": "Too many at once",
    "not-json": "Not a frame",
    "unknown-event": "No such event",
    "invalid": "Something is wrong in a frame",
    "unauthenticated": "Not authenticated yet",
    "not-subscribed": "Not subscribed",
    "channel-refused": "A channel is refused",
    "banned": "Banned",
    "muted": "Muted",
}


@dataclass(frozen=True)
class State:
    """All of it. sockets and seen are None while Redis is away. sanctions: those in force of the game itself. mark:
    another one whenever the page must change."""

    game: Game
    sockets: list[SocketPresence] | None
    seen: Diagnostics | None
    channel_names: dict[int, str]
    sanctions: list[Sanction]
    mark: str

    @property
    def is_banned(self) -> bool:
        """True while the game may not connect at all."""
        return any(sanction.kind == "ban" and sanction.channel_id is None for sanction in self.sanctions)


def state_of(session: Session, game: Game) -> State:
    """What the page shows now."""
    sockets = sockets_of(peer_keys.of_game(game.id))
    seen = None if sockets is None else _seen(peer_keys.of_game(game.id))
    wanted = {channel_id for socket in sockets or () for channel_id in socket.channels}
    names = channels.names_of(session, wanted)
    checks = [
        (way.public_form(), check and (check.outcome, check.checked_at, check.http_status, check.is_waiting))
        for way in game.connections
        for check in (way.check,)
    ]
    against = sanctions.list_against_game(session, game.id)
    standing = [audit_form(sanction) for sanction in against]
    minute = time.time() // 60  # "3 minutes ago" has to go on
    parts = msgspec.json.encode([game.short_name, sockets, seen, sorted(names.items()), checks, standing, minute])
    return State(game, sockets, seen, names, against, hashlib.sha256(parts).hexdigest()[:32])


def context_of(state: State) -> dict[str, object]:
    """What the templates of the live parts need beside the state."""
    return {
        "state": state,
        "game": state.game,
        "utc": lambda at: datetime.fromtimestamp(at, UTC),
        "meaning_of": meaning_of,
        "close_codes": CLOSE_CODES,
        "refusal_titles": REFUSALS,
        "frame_characters": FRAME_CHARACTERS,
    }


def works_now(check: ConnectionCheck | None) -> bool | None:
    """Whether a way to connect worked when it was last tried, for visitors; None while nobody knows."""
    meaning = meaning_of(check)
    return None if meaning is None else meaning.is_ok


def _seen(peer: PeerKey) -> Diagnostics | None:
    """The newest first, as many as a page shows."""
    bus: Bus = current_app.extensions["bus"]
    try:
        found = diagnostics.read(bus.redis, peer)
    except redis.RedisError as error:
        log.warning("redis is away, an owner sees no diagnostics: %s", error)
        return None
    newest = {name: getattr(found, name)[: -count - 1 : -1] for name, count in SHOWN.items()}
    return msgspec.structs.replace(found, **newest)
