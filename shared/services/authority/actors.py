"""Who acts: a user of the site, a network application, a game, the operator, or nobody known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.models.application import Application
from shared.models.game import Game
from shared.models.user import User

MODERATE = "moderate"


class Role(StrEnum):
    """What somebody is, for the table of permissions. One may be several: an owner is a player too."""

    VISITOR = "visitor"
    PLAYER = "player"
    OWNER = "owner"
    MODERATOR = "moderator"
    ADMIN = "admin"
    GAME = "game"
    APPLICATION = "application"
    MODERATING_APPLICATION = "moderating application"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Actor:
    """kind: user, application, game or system. id: the record's; None for visitors and the operator."""

    kind: str
    id: int | None
    name: str
    roles: frozenset[Role]

    @property
    def role(self) -> str:
        """As what they act, for records: `admin`, `moderator`, `application`, `operator`, `owner`, `player` …"""
        for role in (Role.OPERATOR, Role.ADMIN, Role.MODERATOR, Role.APPLICATION, Role.GAME, Role.OWNER, Role.PLAYER):
            if role in self.roles:
                return role.value
        return Role.VISITOR.value

    @property
    def key(self) -> str:
        """Who it is, in one text: `user:3`, `application:2`, `game:7`, `system`."""
        return self.kind if self.id is None else f"{self.kind}:{self.id}"

    @property
    def is_above_moderators(self) -> bool:
        """True for admins and the operator, who may sanction moderators and admins."""
        return bool(self.roles & {Role.ADMIN, Role.OPERATOR})


VISITOR = Actor("visitor", None, "", frozenset([Role.VISITOR]))
OPERATOR = Actor("system", None, "operator", frozenset([Role.OPERATOR]))
"""Whoever is at the command line, and the network itself."""


def of_user(session: Session, user_id: int | None) -> Actor:
    """The user of this id as an actor; VISITOR for None and for an account that is gone."""
    user = session.get(User, user_id) if user_id is not None else None
    if user is None:
        return VISITOR
    roles = {Role.PLAYER}
    if session.scalar(select(Game.id).where(Game.owner_id == user.id).limit(1)) is not None:
        roles.add(Role.OWNER)
    if user.role in (Role.MODERATOR, Role.ADMIN):
        roles.add(Role(user.role))
    return Actor("user", user.id, user.username, frozenset(roles))


def of_admin(session: Session, user_id: int | None) -> Actor:
    """The user of this id; OPERATOR for None, as services that admins are let into are told."""
    return OPERATOR if user_id is None else of_user(session, user_id)


def of_application(session: Session, application_id: int) -> Actor:
    """The application of this id as an actor; VISITOR if it is gone."""
    application = session.get(Application, application_id)
    if application is None:
        return VISITOR
    roles = {Role.APPLICATION, *([Role.MODERATING_APPLICATION] if MODERATE in application.scopes else [])}
    return Actor("application", application.id, application.short_name, frozenset(roles))


def of_game(session: Session, game_id: int) -> Actor:
    """The game of this id as an actor; VISITOR if it is gone."""
    game = session.get(Game, game_id)
    if game is None:
        return VISITOR
    return Actor("game", game.id, game.short_name, frozenset([Role.GAME]))
