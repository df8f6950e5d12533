"""The "games" flag: games/status comes in; connect and disconnect notices go out (docs/protocol.md, §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shared.limits import GAMES_STATUS
from shared.protocol import encode_success
from shared.protocol.games import RequestGames
from worker.answers import ANSWERED

if TYPE_CHECKING:
    from worker.sockets.connection import Connection


def status(connection: Connection, request: RequestGames, ref: msgspec.Raw | None) -> object:
    """What is known of one game, or of all that are online. Raises UnknownGame, TooMany (for all games)."""
    statuses = connection.worker.statuses
    if request.game is not None:
        payloads = [statuses.game(request.game)]
    else:
        connection.worker.limits.spend_of_socket(connection, GAMES_STATUS)
        payloads = statuses.games(statuses.listed(asker=connection.peer_key))
    connection.send_all(encode_success(request.event, ref, payload) for payload in payloads)
    return ANSWERED
