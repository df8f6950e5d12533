"""Make games appear online, as a worker would."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
import redis

from shared.presence import SOCKET_KEY, SocketPresence

if TYPE_CHECKING:
    from flask import Flask

    from shared.models import Game
    from tests.support.valkey import TestValkey

_numbers = itertools.count(1)


def be_online(app: Flask, valkey: TestValkey, game: Game, players: list[str]) -> None:
    """Add a socket with these players to a game, and make the site read Redis again."""
    socket = SocketPresence(
        id=f"socket{next(_numbers)}", worker="w", peer=f"game:{game.id}", game=game.short_name, players=players
    )
    with redis.Redis.from_url(valkey.url) as client:
        client.set(SOCKET_KEY + socket.id, msgspec.json.encode(socket))
    app.extensions.pop("online", None)
