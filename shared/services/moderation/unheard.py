"""Whose channel lines are not shown to a person: those of whom they ignore. The workers do the same for lines as they
come (`worker/moderation/view.py`)."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.orm import Session

from shared import grapevine
from shared.models.message import Message
from shared.protocol.types import player_key
from shared.services.moderation import ignores, targets
from shared.services.moderation.patterns import PatternSet, subject

_SYSTEM = (grapevine.KEY, grapevine.SYSTEM)


class Unheard:
    """Those whom one person ignores.

    patterns: of `name@game`. players: (peer key, player's key) of ignored persons. heard: those who are heard
    whatever the patterns say.
    """

    def __init__(
        self,
        patterns: Collection[str] = (),
        players: Collection[tuple[str, str]] = (),
        heard: Collection[tuple[str, str]] = (),
    ) -> None:
        self._patterns = PatternSet((True, pattern) for pattern in patterns)
        self._players = frozenset(players)
        self._heard = frozenset(heard)

    def __bool__(self) -> bool:
        return bool(self._patterns or self._players)

    def covers(self, line: Message) -> bool:
        """True if this line is not to be shown."""
        if not self:
            return False
        who = (line.peer, player_key(line.name))
        if who in self._heard:
            return False
        return who in self._players or bool(self._patterns.matches(subject(line.name, line.game)))


NOBODY = Unheard()


def by(session: Session, user_id: int | None) -> Unheard:
    """Whom a person does not hear; nobody for a stranger. One always hears the network, and oneself."""
    found = [] if user_id is None else ignores.list_ignores(session, user_id)
    if user_id is None or not found:
        return NOBODY
    return Unheard(
        [entry.pattern for entry in found if entry.pattern is not None],
        [who for entry in found if entry.person_id is not None for who in targets.players_of(session, entry.person_id)],
        [_SYSTEM, *targets.players_of(session, user_id)],
    )
