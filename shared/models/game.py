"""Games, and the ways to connect to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, inspect, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shared.db import Model, UtcDateTime, utc_now
from shared.models.connection_check import ConnectionCheck
from shared.models.credentials import HasCredentials
from shared.models.game_details import GameDetails
from shared.models.sign_in import HasSignIn
from shared.models.synced import Synced, SyncedPart
from shared.models.user import User
from shared.models.user_agent import UserAgent
from shared.protocol.sync import ConnectionRecord, GameRecord

CONNECTION_TYPES = ("web", "telnet", "secure telnet")


class Game(Synced, HasCredentials, HasSignIn, Model):
    """A registered text game.

    Attributes:
        short_name: its public key, matched without case.
        name: its display name.
        name_key, description_key: case-folded, since databases differ in what lower() does to letters beyond ASCII.
        show_players: whether the game's page lists who is online. Only the site uses it, so it is not synced.
    """

    __tablename__ = "games"
    __table_args__ = (
        Index("uq_games_short_name_lower", text("lower(short_name)"), unique=True),
        {"sqlite_autoincrement": True},
    )
    sync_kind = "games"

    id: Mapped[int] = mapped_column(primary_key=True)
    short_name: Mapped[str] = mapped_column(String(15))
    name: Mapped[str] = mapped_column(String(80))
    name_key: Mapped[str] = mapped_column(Text, unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    description_key: Mapped[str] = mapped_column(Text, default="")
    homepage_url: Mapped[str | None] = mapped_column(String(500))
    is_displayed: Mapped[bool] = mapped_column(default=True)
    allows_character_registration: Mapped[bool] = mapped_column(default=True)
    show_players: Mapped[bool] = mapped_column(default=True)
    protocol_version: Mapped[str | None] = mapped_column(String(20))
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    user_agent_id: Mapped[int | None] = mapped_column(ForeignKey("user_agents.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    owner: Mapped[User] = relationship()
    user_agent: Mapped[UserAgent | None] = relationship(lazy="selectin")
    connections: Mapped[list[GameConnection]] = relationship(
        back_populates="game", cascade="all, delete-orphan", lazy="selectin", order_by="GameConnection.id"
    )

    @property
    def details(self) -> GameDetails:
        """What the owner has said about the game."""
        return GameDetails(**{field.name: getattr(self, field.name) for field in fields(GameDetails)})

    def sync_payload(self) -> dict[str, Any]:
        """Return the record of a `sync/games` event (docs/protocol.md, §8)."""
        record = GameRecord(
            id=self.id,
            short_name=self.short_name,
            name=self.name,
            is_displayed=self.is_displayed,
            description=self.description,
            homepage_url=self.homepage_url,
            user_agent=self.user_agent.name if self.user_agent else None,
            user_agent_url=self.user_agent.repository_url if self.user_agent else None,
            connections=[
                ConnectionRecord(**way.public_form()) for way in sorted(self.connections, key=lambda way: way.id)
            ],
            allows_character_registration=self.allows_character_registration,
            redirect_uris=sorted(self.redirect_uris),
        )
        payload: dict[str, Any] = msgspec.to_builtins(record)
        return payload


class GameConnection(SyncedPart, Model):
    """A way to connect to a game: a web page (`url`), or telnet or secure telnet (`host` and `port`)."""

    __tablename__ = "game_connections"
    __table_args__ = (
        CheckConstraint("type IN ('web', 'telnet', 'secure telnet')", name="type"),
        CheckConstraint("(type = 'web') = (url IS NOT NULL)", name="web_has_url"),
        CheckConstraint("(type = 'web') = (host IS NULL)", name="telnet_has_host"),
        CheckConstraint("(type = 'web') = (port IS NULL)", name="telnet_has_port"),
        CheckConstraint("port BETWEEN 1 AND 65535", name="port"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=lambda: str(uuid.uuid4()))
    game_id: Mapped[int] = mapped_column(ForeignKey("games.id", ondelete="CASCADE"), index=True)
    type: Mapped[str] = mapped_column(String(20))
    url: Mapped[str | None] = mapped_column(String(500))
    host: Mapped[str | None] = mapped_column(String(253))
    port: Mapped[int | None]

    game: Mapped[Game] = relationship(back_populates="connections")
    check: Mapped[ConnectionCheck | None] = relationship(lazy="joined", viewonly=True)

    def public_form(self) -> dict[str, Any]:
        """Return the way to connect as the protocol lists it: with `url`, or with `host` and `port`."""
        where: dict[str, Any] = {"url": self.url} if self.type == "web" else {"host": self.host, "port": self.port}
        return {"id": self.id, "type": self.type, **where}

    def synced_owners(self) -> Iterable[tuple[str, int]]:
        """Return the game, and the game it belonged to before."""
        old = inspect(self).attrs.game_id.history.deleted or ()
        return [("games", game_id) for game_id in {self.game_id, *old} if game_id is not None]
