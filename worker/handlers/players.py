"""The "players" flag: sign-in, sign-out and status come in; notices of other games' players go out.

Source: docs/protocol.md, §5. The notices are in `worker/network/player_notices.py`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.errors import Invalid
from shared.limits import PLAYERS_STATUS
from shared.protocol import encode_answer
from shared.protocol.players import RequestPlayers, SignIn, SignOut
from shared.protocol.types import name_without_game, player_key
from worker.answers import ANSWERED
from worker.handlers.channels import speaker_of
from worker.parts import Parts
from worker.sockets.connection import Connection


def sign_in(parts: Parts, connection: Connection, request: SignIn) -> None:
    """Add a player to the socket's list, and announce them unless they were online already.

    Raises:
        Invalid: The game lists as many players as it may.
        TooMany: The game's players come and go too fast.
    """
    assert connection.peer is not None
    name = name_without_game(request.name, connection.peer.short_name)
    key = player_key(name)
    if key in connection.players:
        return
    if not parts.presence.has_room_for_player(connection.peer.key, name):
        raise Invalid("invalid payload: too many players are signed in", field="name")
    parts.limits.spend_sign_in(connection.peer.key)
    was_online = parts.presence.has_player(connection.peer.key, name)
    connection.players[key] = name
    parts.presence.update(connection)
    if not was_online:
        _announce(parts, connection, "in", name)


def sign_out(parts: Parts, connection: Connection, request: SignOut) -> None:
    """Remove a player from all of the game's sockets, and announce it. Does nothing if they were not online.

    Raises:
        TooMany: the game's players come and go too fast.
    """
    assert connection.peer is not None
    name = name_without_game(request.name, connection.peer.short_name)
    if parts.presence.has_player(connection.peer.key, name):
        parts.limits.spend_sign_in(connection.peer.key)
        _announce(parts, connection, "out", name)


def status(parts: Parts, connection: Connection, request: RequestPlayers, ref: msgspec.Raw | None) -> object:
    """Send who is online in one game, or in each game that is online.

    Raises:
        UnknownGame: no game has this name.
        TooMany: the socket has asked for all games too often.
    """
    statuses = parts.statuses
    if request.game is not None:
        payloads = [statuses.players_of(request.game)]
    else:
        parts.limits.spend_of_socket(connection, PLAYERS_STATUS)
        payloads = statuses.players(statuses.list_displayed(asker=connection.peer_key))
    connection.send_all(encode_answer(request.event, ref, payload) for payload in payloads)
    return ANSWERED


def _announce(parts: Parts, connection: Connection, op: Literal["in", "out"], name: str) -> None:
    peer = connection.peer
    assert peer is not None
    is_listed = peer.is_displayed or peer.is_application
    is_shown = is_listed and not parts.moderation.is_banned(speaker_of(connection, name))
    parts.player_notices.announce(op, peer, name, is_shown=is_shown)
