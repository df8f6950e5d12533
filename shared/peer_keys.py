"""The keys of peers: `game:7`, `application:3`, and `grapevine` for the built-in peer (`shared/grapevine.py`).

A key is unique over all peers and stays when a peer is renamed. Redis, the database and the audit trail hold the same
text. Only this module makes keys of ids and ids of keys.
"""

from __future__ import annotations

from typing import NewType

PeerKey = NewType("PeerKey", str)

_GAME = "game:"
_APPLICATION = "application:"


def of_game(game_id: int) -> PeerKey:
    """Return the key of a game."""
    return PeerKey(f"{_GAME}{game_id}")


def of_application(application_id: int) -> PeerKey:
    """Return the key of an application."""
    return PeerKey(f"{_APPLICATION}{application_id}")


def is_application(key: str) -> bool:
    """Return whether the key is an application's."""
    return key.startswith(_APPLICATION)


def find_game_id(key: str) -> int | None:
    """Return the game's id; None if the key is not a game's."""
    return _find_id(_GAME, key)


def find_application_id(key: str) -> int | None:
    """Return the application's id; None if the key is not an application's."""
    return _find_id(_APPLICATION, key)


def _find_id(prefix: str, key: str) -> int | None:
    number = key.removeprefix(prefix) if key.startswith(prefix) else ""
    return int(number) if number.isascii() and number.isdecimal() else None
