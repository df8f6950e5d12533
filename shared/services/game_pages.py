"""What a game's page shows of the people in it: nobody who hides that they are online, and no hidden profile."""

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
    """Somebody online in a game. username: whose character it is, None if nobody's or if their profile is hidden."""

    name: str
    username: str | None


@dataclass(frozen=True, slots=True)
class Audience:
    """The players of a game now. total counts all of them; `players` are those who may be named, by name."""

    total: int
    players: list[ShownPlayer]

    @property
    def unnamed(self) -> int:
        """How many more there are than are named."""
        return self.total - len(self.players)


def get_audience(session: Session, game: Game, names: Sequence[str]) -> Audience:
    """Who is online in a game. names: its players as presence tells of them.

    An owner may have nobody named at all. A person may hide being online: then their character is not named here.
    """
    if not game.show_players:
        return Audience(len(names), [])
    claims = characters.list_claims(session, game.id, names)
    shown = []
    for name in names:
        claim = claims.get(player_key(name))
        if claim is None:
            shown.append(ShownPlayer(name, None))
        elif not claim.user.is_online_hidden:
            shown.append(ShownPlayer(name, None if claim.user.is_profile_hidden else claim.user.username))
    return Audience(len(names), shown[:NAMES_SHOWN])
