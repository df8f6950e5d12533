"""Create users, games, channels and applications for tests, through the services."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from shared.models import Application, Channel, Game, GameConnection, User
    from shared.models.credentials import Credentials
    from shared.services.authority.actors import Actor

PASSWORD = "correct horse battery"

_numbers = itertools.count(1)


def _letters(number: int) -> str:
    """Return a number in letters (1 → "b", 27 → "bb"), for names of channels, which may not have digits."""
    text = ""
    while number:
        number, letter = divmod(number, 26)
        text = chr(ord("a") + letter) + text
    return text


class Factory:
    """Create records with unique names. All arguments are optional. The password of every user is PASSWORD."""

    password = PASSWORD

    def __init__(self, open_session: Callable[[], AbstractContextManager[Session]]) -> None:
        self._open_session = open_session

    def user(self, username: str | None = None, *, role: str = "player", **fields: Any) -> User:
        from shared.services import users
        from shared.services.authority.actors import OPERATOR

        username = username or f"player{next(_numbers)}"
        fields = {"email": f"{username.lower()}@example.com", "password": PASSWORD, **fields}
        with self._open_session() as session:
            user = users.register_user(session, OPERATOR, username=username, **fields)
            user.role = role  # set directly, so that the audit trail of a test starts empty
            session.flush()
            return user

    def admin(self, username: str | None = None) -> User:
        return self.user(username, role="admin", is_verified=True)

    def game(self, short_name: str | None = None, *, owner: User | None = None, **fields: Any) -> Game:
        return self.game_with_credentials(short_name, owner=owner, **fields)[0]

    def game_with_credentials(
        self, short_name: str | None = None, *, owner: User | None = None, **fields: Any
    ) -> tuple[Game, Credentials]:
        from shared.models.game_details import GameDetails
        from shared.services import games
        from shared.services.authority.actors import OPERATOR

        short_name = short_name or f"Game{next(_numbers)}"
        owner = owner or self.user()
        with self._open_session() as session:
            details = GameDetails(**{"name": f"The {short_name}", "short_name": short_name, **fields})
            game, credentials = games.create_game(session, OPERATOR, owner_id=owner.id, details=details)
            session.flush()
            return game, credentials

    def connection(self, game: Game, **fields: Any) -> GameConnection:
        from shared.services import games
        from shared.services.authority.actors import OPERATOR

        fields = {"type": "telnet", "host": "mud.example.com", "port": 4000, **fields}
        with self._open_session() as session:
            connection = games.add_connection(session, OPERATOR, short_name=game.short_name, **fields)
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
        from shared.services.authority.actors import OPERATOR

        short_name = short_name or f"App{next(_numbers)}"
        with self._open_session() as session:
            application, credentials = applications.create_application(
                session, OPERATOR, **{"name": f"The {short_name}", "short_name": short_name, **fields}
            )
            session.flush()
            return application, credentials


def edit_game(session: Session, short_name: str, /, *, actor: Actor | None = None, **changes: Any) -> Game:
    """Change some details of a game (the fields of `GameDetails`), as the operator unless an actor is given."""
    from shared.services import games
    from shared.services.authority.actors import OPERATOR

    details = replace(games.get_game(session, short_name).details, **changes)
    return games.update_game(session, actor or OPERATOR, short_name=short_name, details=details)
