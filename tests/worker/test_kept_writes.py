"""What a worker has collected for the database is kept while the database is down, and written afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, OperationalError

from shared import db, peer_keys
from shared.models import Game, TellCount
from shared.services import read_marks
from shared.services.peers import Peer
from tests.support.in_process import PlainDatabase
from worker.chat.browsers import Browsers
from worker.moderation.tell_counts import TellCounts
from worker.sockets.client_notes import ClientNotes


class FailingDatabase(PlainDatabase):
    """A database whose writes raise `error` until it is None."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = OperationalError("INSERT", {}, Exception("the database is down"))

    def write(self, function: Callable[[Any], Any]) -> Any:
        if self.error is not None:
            raise self.error
        return super().write(function)


@pytest.fixture
def database(engine) -> FailingDatabase:
    return FailingDatabase()


def test_the_software_of_games_is_written_later(database, stored):
    game = stored.game("Tea")
    notes = ClientNotes(database)
    notes.note(Peer(peer_keys.of_game(game.id), game.id, "Tea", False, True, 1), "ExVenture", "2.3.0")
    notes.write()
    database.error = None
    notes.write()
    with db.reading() as session:
        stored_game = session.get(Game, game.id)
        assert stored_game is not None and stored_game.user_agent is not None
        assert stored_game.user_agent.name == "ExVenture"


def test_software_that_cannot_be_written_is_dropped(database, stored):
    """Trying it again forever would hold up that of all other games."""
    game = stored.game("Tea")
    notes = ClientNotes(database)
    notes.note(Peer(peer_keys.of_game(game.id), game.id, "Tea", False, True, 1), "ExVenture", "2.3.0")
    database.error = IntegrityError("INSERT", {}, Exception("a value is refused"))
    notes.write()
    database.error = None
    notes.write()
    assert database.writes == 0


def test_counts_of_tells_are_written_later(database, stored):
    game = stored.game("Tea")
    counts = TellCounts(database)
    for _ in range(2):
        counts.note(peer_keys.of_game(game.id))
        counts.write()
    database.error = None
    counts.note(peer_keys.of_game(game.id))
    counts.write()
    with db.reading() as session:
        assert [row.tells for row in session.scalars(select(TellCount))] == [3]


def test_read_marks_are_written_later(database, stored):
    user, channel = stored.user(), stored.channel()
    parts: list[Any] = [None] * 7
    browsers = Browsers(*parts, database, None, "http://127.0.0.1:4100")  # type: ignore[arg-type]
    browsers.note_read(user.id, channel.id, 9)
    browsers.write_read_marks()
    browsers.note_read(user.id, channel.id, 7)
    database.error = None
    browsers.write_read_marks()
    with db.reading() as session:
        assert read_marks.last_read(session, user_id=user.id, channel_id=channel.id) == 9
