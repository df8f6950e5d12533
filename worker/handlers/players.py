"""The "players" flag: who is online comes in and is asked for, notices of other games' players go out.

Source: docs/protocol.md, §5.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from shared.errors import Invalid
from shared.limits import PLAYERS_STATUS
from shared.protocol import encode_answer, encode_event
from shared.protocol.players import PlayerSignedIn, PlayerSignedOut, RequestPlayers, SignIn, SignOut
from shared.protocol.types import player_key
from worker.answers import ANSWERED
from worker.moderation.sanctions import Speaker
from worker.wire.fanout import Frames
from worker.wire.frames import frame_text

if TYPE_CHECKING:
    from worker.sockets.connection import Connection
    from worker.worker import Worker

PLAYERS = "players"  # the fan-out topic of sockets with the flag, and the signals' topic
PLAYERS_AT_MOST = 10_000  # of one socket; each change is told whole


class PlayerSignal(msgspec.Struct, frozen=True):
    """The signal of topic `players`. is_told: sockets of other games hear of it; a game with display off is silent, as
    is a banned player."""

    worker: str
    op: Literal["in", "out"]
    peer: str
    game: str
    name: str
    is_told: bool


def sign_in(connection: Connection, request: SignIn) -> None:
    """A player came online. A success without a notice if they were. Raises Invalid if far too many are."""
    presence = connection.worker.presence
    key = player_key(request.name)
    if key in connection.players:
        return
    if len(connection.players) >= PLAYERS_AT_MOST:
        raise Invalid("invalid payload: too many players are signed in", field="name")
    is_new = not presence.has_player(connection.peer_key or "", request.name)
    connection.players[key] = request.name
    presence.update(connection)
    if is_new:
        _tell(connection, "in", request.name)


def sign_out(connection: Connection, request: SignOut) -> None:
    """A player left, on all of the game's sockets. A success without a notice if they were not there."""
    if connection.worker.presence.has_player(connection.peer_key or "", request.name):
        _tell(connection, "out", request.name)


def status(connection: Connection, request: RequestPlayers, ref: msgspec.Raw | None) -> object:
    """Who is online in one game, or in all that are online. Raises UnknownGame, TooMany (for all games)."""
    statuses = connection.worker.statuses
    if request.game is not None:
        payloads = [statuses.players_of(request.game)]
    else:
        connection.worker.limits.spend_of_socket(connection, PLAYERS_STATUS)
        payloads = statuses.players(statuses.listed(asker=connection.peer_key))
    connection.send_all(encode_answer(request.event, ref, payload) for payload in payloads)
    return ANSWERED


def hear(worker: Worker, signal: Any) -> None:
    """Another worker's socket signed a player in or out."""
    heard = msgspec.convert(signal, PlayerSignal)
    if heard.worker != worker.id:
        _carry_out(worker, heard)


def tell_banned(worker: Worker, banned: Iterable[tuple[str, str]]) -> None:
    """Tell this worker's sockets that players (peer key, player's key) who are online and banned from now on have left.

    Each worker does it for its own sockets: it is their sanctions' view that changed. The game still lists them.
    """
    for peer, key in banned:
        sockets = worker.presence.by_peer.get(peer, {}).values()
        names = [name for socket in sockets for name in socket.players if player_key(name) == key]
        if names and any(socket.is_displayed or socket.is_application for socket in sockets):
            _broadcast(worker, peer, PlayerSignedOut(game=next(iter(sockets)).game, name=names[0]))


def _tell(connection: Connection, op: Literal["in", "out"], name: str) -> None:
    peer = connection.peer
    assert peer is not None
    is_told = (peer.is_displayed or peer.is_application) and not connection.worker.moderation.is_banned(
        Speaker(peer.key, peer.short_name, name, player_key(name), connection.transport.address)
    )
    signal = PlayerSignal(connection.worker.id, op, peer.key, peer.short_name, name, is_told)
    frames = _carry_out(connection.worker, signal)
    connection.worker.presence.publish_after(PLAYERS, signal)
    if frames is not None:
        connection.worker.diagnostics.broadcast(PLAYERS, frames, peer.key)


def _carry_out(worker: Worker, signal: PlayerSignal) -> Frames | None:
    """Sign the player out of this worker's sockets of the game, and tell those of other games."""
    if signal.op == "out":
        for connection in list(worker.by_peer.get(signal.peer, ())):
            if connection.players.pop(player_key(signal.name), None) is not None:
                worker.presence.update(connection)
    if not signal.is_told:
        return None
    notice = (PlayerSignedIn if signal.op == "in" else PlayerSignedOut)(game=signal.game, name=signal.name)
    return _broadcast(worker, signal.peer, notice)


def _broadcast(worker: Worker, peer: str, notice: PlayerSignedIn | PlayerSignedOut) -> Frames:
    frames = Frames.same(frame_text(encode_event(notice.event, notice)))
    worker.fanout.broadcast(PLAYERS, frames, except_peer=peer)
    return frames
