"""The models of a replica. Relate your own models to these and query them in your own sessions; never write to them.

The models have their own metadata, and `backbone.migrate` creates their tables. Tell your migration tool to leave these
tables alone (see the README). A foreign key of yours names the column, not a string: `ForeignKey(Game.id)`.
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
    """Mixin of every synced model. The model's other columns have the names of the record's fields.

    Attributes:
        id: The network's id of the record. Ids never change and are never reused.
        extra: Fields without a column, and values that their column cannot hold.
        deleted_at: When the replica applied the delete, with deletes="tombstones"; None for a live record. UTC.
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
    """A game of the network.

    Attributes:
        game: The short name.
        connections: The ways for players to connect, each `{"id", "type": "web", "url"}` or
            `{"id", "type": "telnet" | "secure telnet", "host", "port"}`.
    """

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
    """How far the replica has got.

    Attributes:
        cursor: The number of the last applied version; None while there is no complete state.
        kinds: The kinds that the replica has synced.
        counts: The number of records of the last complete state, by kind.
        changed_at: When the row was last written. UTC.
    """

    __tablename__ = "backbone_state"
    __table_args__ = TABLE_OPTIONS

    network: Mapped[str] = mapped_column(Name, primary_key=True)
    cursor: Mapped[int | None] = mapped_column(BigInteger)
    kinds: Mapped[list[str] | None] = mapped_column(Json())
    counts: Mapped[dict[str, int] | None] = mapped_column(Json())
    changed_at: Mapped[datetime | None] = mapped_column(Moment)
