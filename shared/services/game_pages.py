"""What a game's page shows of its players: nobody who hides being online, and no hidden profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from shared.models.game import Game
from shared.protocol.types import player_key
from shared.services import characters

NAMES_SHOWN = 200


@dataclass(frozen=True, slots=True)
class ShownPlayer:
    """A player online in a game. username: whose character it is; None if nobody's, or if the profile is hidden."""

    name: str
    username: str | None


@dataclass(frozen=True, slots=True)
class Audience:
    """The players online in a game. total: how many; players: those who may be named."""

    total: int
    players: list[ShownPlayer]

    @property
    def unnamed(self) -> int:
        """Return how many players are not named."""
        return self.total - len(self.players)


def get_audience(session: Session, game: Game, names: Sequence[str]) -> Audience:
    """Return who is online in a game. names: its players, from presence.

    Names nobody if the owner wants that, and no character whose person hides being online.
    """
    if not game.show_players:
        return Audience(len(names), [])
    candidates = names[: 2 * NAMES_SHOWN]  # some of them may not be named
    claims = characters.list_claims(session, game.id, candidates)
    shown = []
    for name in candidates:
        claim = claims.get(player_key(name))
        if claim is None:
            shown.append(ShownPlayer(name, None))
        elif not claim.is_online_hidden:
            shown.append(ShownPlayer(name, None if claim.is_profile_hidden else claim.username))
    return Audience(len(names), shown[:NAMES_SHOWN])
