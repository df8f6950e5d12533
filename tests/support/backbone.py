"""Records, events and host models for the tests of gossip-backbone."""

from __future__ import annotations

from typing import Any

from backbone import Game, Record
from backbone.migrations import reading
from backbone.records import digest
from backbone.rows import iterate_records
from backbone.store import Store
from gossip_client import SyncComplete
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Fields = dict[str, Any]


class Base(DeclarativeBase):
    """Base of a host's models."""


class Review(Base):
    """A model that refers to a game."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(primary_key=True)
    game_id: Mapped[int] = mapped_column(ForeignKey(Game.id))
    game: Mapped[Game] = relationship(Game)


class Event(Record, Base):
    """The model of a registered kind."""

    __tablename__ = "network_events"

    title: Mapped[str | None] = mapped_column(String(100))


def fair_model(**columns: Any) -> Any:
    """Return a new model of a registered kind, `fairs`, with these columns."""
    base = type("Base", (DeclarativeBase,), {})
    return type("Fair", (Record, base), {"__tablename__": "fairs", **columns})


def channel(number: int, name: str = "gossip", **fields: Any) -> Fields:
    """Return a channel's record."""
    return {"id": number, "name": name, "description": None, "hidden": False, **fields}


def game(number: int, short_name: str = "Alpha", **fields: Any) -> Fields:
    """Return a game's record."""
    ways = [{"id": "b", "type": "web", "url": "https://x"}, {"id": "a", "type": "telnet", "host": "x", "port": 4000}]
    return {
        "id": number,
        "game": short_name,
        "display_name": f"The {short_name}",
        "display": True,
        "description": None,
        "homepage_url": None,
        "user_agent": None,
        "user_agent_url": None,
        "connections": ways,
        "allow_character_registration": True,
        "redirect_uris": [],
        **fields,
    }


def complete(cursor: int, channels: Any = (), games: Any = (), **fields: Any) -> SyncComplete:
    """Return the `sync/complete` of a network that has these records."""
    kinds = {"channels": channels, "games": games}
    totals = {name: digest(sorted(records, key=lambda record: record["id"])) for name, records in kinds.items()}
    counts = {name: count for name, (count, _) in totals.items()}
    return SyncComplete(cursor, counts, {name: value for name, (_, value) in totals.items()}, **fields)


def everything(store: Store) -> dict[str, list[Fields]]:
    """Return all live records of a replica by kind."""
    with reading(store.engine) as connection:
        return {kind.name: list(iterate_records(connection, kind)) for kind in store.kinds.values()}
