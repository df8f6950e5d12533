"""What a worker has collected is written later if the database is unavailable. See `write_or_keep`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from shared import db, peer_keys
from shared.models import Game, TellCount
from shared.services import read_marks
from shared.services.peers import Peer
from tests.support.in_process import PlainDatabase
from worker.chat.browsers import Browsers
from worker.moderation.tell_counts import TellCounts
from worker.sockets.client_notes import ClientNotes


class DiskFull(Exception):
    sqlstate = "53100"


class FailingDatabase(PlainDatabase):
    """A database whose writes raise `error` until it is None."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    def write(self, function: Callable[[Any], Any]) -> Any:
        if self.error is not None:
            raise self.error
        return super().write(function)


@pytest.fixture
def database(engine) -> FailingDatabase:
    return FailingDatabase()


UNAVAILABLE = [
    OperationalError("INSERT", {}, Exception("the database is down")),
    InternalError("INSERT", {}, Exception("the connection was lost"), connection_invalidated=True),
    DBAPIError("INSERT", {}, DiskFull("the disk is full")),
    NoConnection("all connections are in use"),
]
REFUSED = IntegrityError("INSERT", {}, Exception("a value is refused"))
"""Trying it again forever would hold up everything else."""


def note_software(database: FailingDatabase, stored: Any) -> tuple[Callable[[], None], Callable[[Any], bool]]:
    game = stored.game("Tea")
    notes = ClientNotes(database)
    notes.note(Peer(peer_keys.of_game(game.id), game.id, "Tea", False, True, 1), "ExVenture", "2.3.0")

    def is_written(session: Any) -> bool:
        stored_game = session.get(Game, game.id)
        return stored_game.user_agent is not None and stored_game.user_agent.name == "ExVenture"

    return notes.write, is_written


def count_tells(database: FailingDatabase, stored: Any) -> tuple[Callable[[], None], Callable[[Any], bool]]:
    game = stored.game("Tea")
    counts = TellCounts(database)

    def write() -> None:
        counts.note(peer_keys.of_game(game.id))
        counts.write()

    return write, lambda session: [row.tells for row in session.scalars(select(TellCount))] == [2]


def mark_read(database: FailingDatabase, stored: Any) -> tuple[Callable[[], None], Callable[[Any], bool]]:
    user, channel = stored.user(), stored.channel()
    parts: list[Any] = [None] * 7
    browsers = Browsers(*parts, database, None, "http://127.0.0.1:4100")  # type: ignore[arg-type]
    browsers.note_read(user.id, channel.id, 9)

    def write() -> None:
        browsers.write_read_marks()
        browsers.note_read(user.id, channel.id, 7)

    return write, lambda session: read_marks.last_read(session, user_id=user.id, channel_id=channel.id) == 9


COLLECTED = pytest.mark.parametrize("collect", [note_software, count_tells, mark_read])


@COLLECTED
@pytest.mark.parametrize("error", UNAVAILABLE, ids=lambda error: type(error).__name__)
def test_what_an_unavailable_database_does_not_take_is_written_later(database, stored, collect, error):
    write, is_written = collect(database, stored)
    database.error = error
    write()
    database.error = None
    write()
    with db.reading() as session:
        assert is_written(session)


@COLLECTED
def test_what_the_database_refuses_is_dropped(database, stored, collect):
    write, is_written = collect(database, stored)
    database.error = REFUSED
    write()
    database.error = None
    write()
    with db.reading() as session:
        assert not is_written(session)
