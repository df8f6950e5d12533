"""Users, games, channels and applications for tests, made by the services as everything else makes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from shared.models import Application, Channel, Game, GameConnection, User
    from shared.models.credentials import Credentials

PASSWORD = "correct horse battery"

_numbers = itertools.count(1)


def _letters(number: int) -> str:
    """1 → "b", 27 → "bb": a name for channels, which know no digits."""
    text = ""
    while number:
        number, letter = divmod(number, 26)
        text = chr(ord("a") + letter) + text
    return text


class Factory:
    """Every argument may be left out; names are unique then. The password of every user is PASSWORD."""

    password = PASSWORD

    def __init__(self, open_session: Callable[[], AbstractContextManager[Session]]) -> None:
        self._open_session = open_session

    def user(self, username: str | None = None, *, role: str = "player", **fields: Any) -> User:
        from shared.services import users

        username = username or f"player{next(_numbers)}"
        fields = {"email": f"{username.lower()}@example.com", "password": PASSWORD, **fields}
        with self._open_session() as session:
            user = users.register_user(session, username=username, **fields)
            user.role = role  # not as an act: the audit trail of a test begins empty
            session.flush()
            return user

    def admin(self, username: str | None = None) -> User:
        return self.user(username, role="admin", is_verified=True)

    def game(self, short_name: str | None = None, *, owner: User | None = None, **fields: Any) -> Game:
        return self.game_with_credentials(short_name, owner=owner, **fields)[0]

    def game_with_credentials(
        self, short_name: str | None = None, *, owner: User | None = None, **fields: Any
    ) -> tuple[Game, Credentials]:
        from shared.services import games

        short_name = short_name or f"Game{next(_numbers)}"
        owner = owner or self.user()
        with self._open_session() as session:
            made = games.create_game(
                session, owner_id=owner.id, **{"name": f"The {short_name}", "short_name": short_name, **fields}
            )
            session.flush()
            return made

    def connection(self, game: Game, **fields: Any) -> GameConnection:
        from shared.services import games

        fields = {"type": "telnet", "host": "mud.example.com", "port": 4000, **fields}
        with self._open_session() as session:
            connection = games.add_connection(session, actor_id=game.owner_id, short_name=game.short_name, **fields)
            session.flush()
            return connection

    def channel(self, name: str | None = None, **fields: Any) -> Channel:
        from shared.models import Channel

        with self._open_session() as session:
            channel = Channel(name=name or f"chan-{_letters(next(_numbers))}", **{"is_hidden": False, **fields})
            session.add(channel)
            session.flush()
            return channel

    def application(self, short_name: str | None = None, **fields: Any) -> Application:
        return self.application_with_credentials(short_name, **fields)[0]

    def application_with_credentials(
        self, short_name: str | None = None, **fields: Any
    ) -> tuple[Application, Credentials]:
        from shared.services import applications

        short_name = short_name or f"App{next(_numbers)}"
        with self._open_session() as session:
            made = applications.create_application(
                session, **{"name": f"The {short_name}", "short_name": short_name, **fields}
            )
            session.flush()
            return made
