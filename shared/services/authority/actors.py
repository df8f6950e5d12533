"""Who acts: a user of the site, a network application, a game, the operator, or a visitor.

Every service that acts takes an `Actor` as its second argument, without a default. There is no "nobody": a caller that
knows nobody passes VISITOR, and only the command line and the network's own jobs pass OPERATOR.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared import peer_keys
from shared.errors import Forbidden
from shared.models.application import Application
from shared.models.game import Game
from shared.models.user import User

MODERATE = "moderate"


class Role(StrEnum):
    """A role in the table of permissions. An actor may have several: an owner is a player too."""

    VISITOR = "visitor"
    PLAYER = "player"
    OWNER = "owner"
    MODERATOR = "moderator"
    ADMIN = "admin"
    GAME = "game"
    APPLICATION = "application"
    MODERATING_APPLICATION = "moderating application"
    OPERATOR = "operator"


_HIGHEST_FIRST = (
    Role.OPERATOR,
    Role.ADMIN,
    Role.MODERATOR,
    Role.APPLICATION,
    Role.GAME,
    Role.OWNER,
    Role.PLAYER,
    Role.VISITOR,
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever calls a service.

    Attributes:
        kind: `user`, `application`, `game`, `system` (the operator) or `visitor`.
        id: The id of the record of that kind; None for the operator and visitors.
        name: The username or short name, for records.
    """

    kind: str
    id: int | None
    name: str
    roles: frozenset[Role]

    @property
    def role(self) -> str:
        """The highest role, for records: `admin`, `moderator`, `application`, `operator`, `owner`, `player` …"""
        return next(role.value for role in _HIGHEST_FIRST if role in self.roles)

    @property
    def key(self) -> str:
        """The actor as one string: a peer's key, `user:3`, `system` or `visitor`."""
        if self.id is None:
            return self.kind
        if self.kind == "game":
            return peer_keys.of_game(self.id)
        return peer_keys.of_application(self.id) if self.kind == "application" else f"user:{self.id}"

    @property
    def is_above_moderators(self) -> bool:
        """True for admins and the operator, who may sanction moderators and admins."""
        return bool(self.roles & {Role.ADMIN, Role.OPERATOR})

    def is_user(self, user_id: int | None) -> bool:
        """Return True if the actor is the account with this id. None is nobody, and matches no actor."""
        return user_id is not None and self.kind == "user" and self.id == user_id

    def require_account(self) -> int:
        """Return the id of the actor's account. Raises Forbidden if the actor is not a user of the site."""
        if self.kind != "user" or self.id is None:
            raise Forbidden("only people with an account may do this")
        return self.id


VISITOR = Actor("visitor", None, "", frozenset([Role.VISITOR]))
"""Somebody who is not signed in. Can only look at what is public."""
OPERATOR = Actor("system", None, "operator", frozenset([Role.OPERATOR]))
"""The person at the command line, and the network itself."""


def of_user(session: Session, user_id: int | None) -> Actor:
    """Return the user with this id as an actor; VISITOR for None (not signed in) and for a deleted account."""
    user = session.get(User, user_id) if user_id is not None else None
    if user is None:
        return VISITOR
    roles = {Role.PLAYER}
    if session.scalar(select(Game.id).where(Game.owner_id == user.id).limit(1)) is not None:
        roles.add(Role.OWNER)
    if user.role in (Role.MODERATOR, Role.ADMIN):
        roles.add(Role(user.role))
    return Actor("user", user.id, user.username, frozenset(roles))


def of_application(session: Session, application_id: int) -> Actor:
    """Return the application with this id as an actor; VISITOR if it was deleted."""
    application = session.get(Application, application_id)
    if application is None:
        return VISITOR
    roles = {Role.APPLICATION, *([Role.MODERATING_APPLICATION] if MODERATE in application.scopes else [])}
    return Actor("application", application.id, application.short_name, frozenset(roles))


def of_game(session: Session, game_id: int) -> Actor:
    """Return the game with this id as an actor; VISITOR if it was deleted."""
    game = session.get(Game, game_id)
    if game is None:
        return VISITOR
    return Actor("game", game.id, game.short_name, frozenset([Role.GAME]))
