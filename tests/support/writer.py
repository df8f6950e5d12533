"""A process that changes records at random, for tests of convergence. A separate module, so that it starts quickly."""

from __future__ import annotations

import random
import string
import time
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from shared import bus, db
from shared.db import transaction
from shared.errors import DomainError
from shared.models import Channel, Game, GameConnection, UserAgent
from shared.models.game_details import GameDetails
from shared.services import channels, game_clients, games
from shared.services.authority.actors import OPERATOR
from shared.services.game_clients import ClientSoftware
from tests.support.factory import edit_game

MIN_ACTIONS = 25  # of each writer, however slow the machine is


class Writer:
    """Creates, edits and deletes at random, through the services."""

    def __init__(self, database_url: str, redis_url: str, owner_id: int, seed: int) -> None:
        db.bind(db.make_engine(database_url))
        bus.publish_after_commit(bus.Bus(redis_url))
        self.random = random.Random(seed)
        self.owner_id = owner_id
        self.done: dict[str, int] = {}

    def run(self, until: float) -> None:
        """Act until this time. Count in `done` how often each action succeeded, and how often one was refused."""
        actions = [
            (self.create_game, 5),
            (self.edit_game, 6),
            (self.delete_game, 2),
            (self.add_connection, 4),
            (self.edit_connection, 3),
            (self.delete_connection, 2),
            (self.create_channel, 3),
            (self.edit_channel, 4),
            (self.delete_channel, 2),
            (self.rename_agent, 1),
            (self.rolled_back, 1),
        ]
        while time.monotonic() < until or sum(self.done.values()) < MIN_ACTIONS:
            action = self.random.choices([action for action, _ in actions], [weight for _, weight in actions])[0]
            names = [action.__name__]
            try:
                with transaction() as session:
                    action(session)
                    while self.random.random() < 0.2:  # some transactions change several records
                        action = self.random.choice(actions)[0]
                        names.append(action.__name__)
                        action(session)
            except (DomainError, Undone):
                names = ["refused"]
            for name in names:
                self.done[name] = self.done.get(name, 0) + 1
            time.sleep(self.random.random() * 0.01)

    def word(self, length: int) -> str:
        return "".join(self.random.choices(string.ascii_lowercase, k=length))

    def any(self, session: Any, model: Any) -> Any:
        ids = session.scalars(select(model.id)).all()
        if not ids:
            raise Undone
        record = session.get(model, self.random.choice(ids))
        if record is None:
            raise Undone
        return record

    def create_game(self, session: Any) -> None:
        # Short names, so that writers often choose the same.
        games.create_game(
            session,
            OPERATOR,
            owner_id=self.owner_id,
            details=GameDetails(name=f"Żółw {self.word(2)}", short_name=self.word(3)),
        )

    def edit_game(self, session: Any) -> None:
        change: dict[str, Any] = self.random.choice(
            [
                {"name": f"Game {self.word(2)}"},
                {"description": self.word(30) + " ☃ \"\\\n\t'"},
                {"description": ""},
                {"is_displayed": self.random.random() < 0.5},
                {"homepage_url": f"https://{self.word(5)}.example.com/"},
                {"short_name": self.word(3)},
            ]
        )
        game = self.any(session, Game)
        edit_game(session, game.short_name, **change)
        if self.random.random() < 0.3:
            client = ClientSoftware(f"Agent {self.random.randrange(3)}", "2.3.0")
            game_clients.remember_clients(session, {game.id: client})

    def delete_game(self, session: Any) -> None:
        games.delete_game(session, OPERATOR, short_name=self.any(session, Game).short_name)

    def add_connection(self, session: Any) -> None:
        game = self.any(session, Game)
        games.add_connection(
            session, OPERATOR, short_name=game.short_name, type="telnet", host=f"{self.word(4)}.example.com", port=23
        )

    def edit_connection(self, session: Any) -> None:
        games.update_connection(
            session,
            OPERATOR,
            connection_id=self.any(session, GameConnection).id,
            type="web",
            url=f"https://{self.word(4)}.example.com/",
        )

    def delete_connection(self, session: Any) -> None:
        games.delete_connection(session, OPERATOR, connection_id=self.any(session, GameConnection).id)

    def create_channel(self, session: Any) -> None:
        if self.random.random() < 0.5:
            channels.ensure_channel(session, name=self.word(3))
        else:
            channels.create_channel(session, OPERATOR, name=self.word(3), description=self.word(8))

    def edit_channel(self, session: Any) -> None:
        channels.update_channel(
            session,
            OPERATOR,
            name=self.any(session, Channel).name,
            new_name=self.word(3) if self.random.random() < 0.3 else None,
            description=self.word(8),
            is_hidden=self.random.random() < 0.5,
        )

    def delete_channel(self, session: Any) -> None:
        channels.delete_channel(session, OPERATOR, name=self.any(session, Channel).name)

    def rename_agent(self, session: Any) -> None:
        self.any(session, UserAgent).repository_url = f"https://{self.word(4)}.example.com/"

    def rolled_back(self, session: Any) -> None:
        self.create_game(session)
        session.flush()
        raise Undone


class Undone(Exception):
    """Rolls the transaction back."""


def write(database_url: str, redis_url: str, owner_id: int, seed: int, seconds: float, results: Any) -> None:
    """Run one writer in this process, and put its counts into the queue `results`."""
    writer = Writer(database_url, redis_url, owner_id, seed)
    writer.done["deadlocks"] = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until or sum(writer.done.values()) < MIN_ACTIONS:
        try:
            writer.run(until)
        except OperationalError as error:
            if "deadlock" not in str(error).lower():
                raise
            writer.done["deadlocks"] += 1  # PostgreSQL ends one of two that lock the same rows in different orders
    results.put(writer.done)
