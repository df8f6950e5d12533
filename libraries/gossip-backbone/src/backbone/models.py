"""The tables of a replica. Relate your own models to these, and query them in your own sessions; do not change them.

They have a metadata of their own: `backbone.migrate` makes them, and a migration tool of yours is told to leave them
alone (see the README).
A foreign key of yours names the column, not a text: `ForeignKey(Game.id)`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backbone.columns import TABLE_OPTIONS, Id, Json, LongText, Moment, Name


class Base(DeclarativeBase):
    """Base of this library's models."""


class Record:
    """Mixin of every synced model: its `id` and what is kept of a record besides its known fields.

    The other columns of a model are named as the fields of the record. extra: fields of later versions, and values that
    a column cannot hold. deleted_at: when a deleted record was seen to be gone, with deletes="tombstones"; else None.
    """

    __table_args__: Any = TABLE_OPTIONS

    id: Mapped[int] = mapped_column(Id, primary_key=True, autoincrement=False)
    extra: Mapped[dict[str, Any] | None] = mapped_column(Json())
    deleted_at: Mapped[datetime | None] = mapped_column(Moment)


class Channel(Record, Base):
    """A channel of the network."""

    __tablename__ = "backbone_channels"

    name: Mapped[str | None] = mapped_column(Name, index=True)
    description: Mapped[str | None] = mapped_column(LongText)
    hidden: Mapped[bool | None] = mapped_column(Boolean)


class Game(Record, Base):
    """A game of the network. game: its short name. connections: ways for players to connect, as the network sends them:
    `{"id", "type": "web", "url"}` or `{"id", "type": "telnet" | "secure telnet", "host", "port"}`."""

    __tablename__ = "backbone_games"

    game: Mapped[str | None] = mapped_column(Name, index=True)
    display_name: Mapped[str | None] = mapped_column(LongText)
    display: Mapped[bool | None] = mapped_column(Boolean)
    description: Mapped[str | None] = mapped_column(LongText)
    homepage_url: Mapped[str | None] = mapped_column(LongText)
    user_agent: Mapped[str | None] = mapped_column(LongText)
    user_agent_url: Mapped[str | None] = mapped_column(LongText)
    connections: Mapped[list[dict[str, Any]] | None] = mapped_column(Json())
    allow_character_registration: Mapped[bool | None] = mapped_column(Boolean)
    redirect_uris: Mapped[list[str] | None] = mapped_column(Json())


class State(Base):
    """How far the replica is. cursor: everything up to there is applied; None before the first whole state is.

    kinds: those that were part of the sync so far. counts: of the last complete state, by kind.
    """

    __tablename__ = "backbone_state"
    __table_args__ = TABLE_OPTIONS

    network: Mapped[str] = mapped_column(Name, primary_key=True)
    cursor: Mapped[int | None] = mapped_column(BigInteger)
    kinds: Mapped[list[str] | None] = mapped_column(Json())
    counts: Mapped[dict[str, int] | None] = mapped_column(Json())
    changed_at: Mapped[datetime | None] = mapped_column(Moment)
