"""Whose channel lines the site hides from a person: the players they ignore.

Workers do the same for lines as they arrive (`worker/moderation/listeners.py`).
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.orm import Session

from shared import grapevine
from shared.models.message import Message
from shared.protocol.types import player_key
from shared.services import characters
from shared.services.authority.actors import Actor
from shared.services.moderation import ignores
from shared.services.moderation.patterns import PatternSet, subject

_SYSTEM = (grapevine.KEY, grapevine.SYSTEM)


class IgnoredSpeakers:
    """The players that one person ignores. False if there are none.

    Args:
        patterns: Patterns of `name@game`.
        players: Players of ignored people, as (peer key, player's key).
        never: Players who are never ignored, whatever the patterns match.
    """

    def __init__(
        self,
        patterns: Collection[str] = (),
        players: Collection[tuple[str, str]] = (),
        never: Collection[tuple[str, str]] = (),
    ) -> None:
        self._patterns = PatternSet((True, pattern) for pattern in patterns)
        self._players = frozenset(players)
        self._never = frozenset(never)

    def __bool__(self) -> bool:
        return bool(self._patterns or self._players)

    def covers(self, line: Message) -> bool:
        """Return whether to hide this line."""
        if not self:
            return False
        speaker = (line.peer, player_key(line.name))
        if speaker in self._never:
            return False
        return speaker in self._players or bool(self._patterns.matches(subject(line.name, line.game)))


NOBODY = IgnoredSpeakers()


def ignored_by(session: Session, actor: Actor) -> IgnoredSpeakers:
    """Return whom the actor ignores; NOBODY for actors without an account. Never `system` or the actor themself."""
    if actor.kind != "user" or actor.id is None:
        return NOBODY
    entries = ignores.list_ignores(session, actor.id)
    if not entries:
        return NOBODY
    people = [entry.person_id for entry in entries if entry.person_id is not None]
    return IgnoredSpeakers(
        [entry.pattern for entry in entries if entry.pattern is not None],
        [player for person_id in people for player in characters.players_of(session, person_id)],
        [_SYSTEM, *characters.players_of(session, actor.id)],
    )
