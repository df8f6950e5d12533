"""The "games" flag: games/status comes in; connect and disconnect notices go out (docs/protocol.md, §7)."""

from __future__ import annotations

import msgspec

from shared.limits import GAMES_STATUS
from shared.protocol import encode_success
from shared.protocol.games import RequestGames
from worker.answers import ANSWERED
from worker.parts import Parts
from worker.sockets.connection import Connection


def status(parts: Parts, connection: Connection, request: RequestGames, ref: msgspec.Raw | None) -> object:
    """Send the status of one game, or of all games that are online.

    Raises:
        UnknownGame: no game has this name.
        TooMany: the socket has asked for all games too often.
    """
    statuses = parts.statuses
    if request.game is not None:
        payloads = [statuses.game(request.game)]
    else:
        parts.limits.spend_of_socket(connection, GAMES_STATUS)
        payloads = statuses.games(statuses.list_displayed(asker=connection.peer_key))
    connection.send_all(encode_success(request.event, ref, payload) for payload in payloads)
    return ANSWERED
