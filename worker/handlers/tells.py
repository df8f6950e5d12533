"""The "tells" flag: tells/send comes in, tells/receive goes out (docs/protocol.md, §6).

A tell is carried at most once and never stored; its text is in no log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent
import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db import utc_now
from shared.errors import GameOffline, NotSupported, PlayerOffline
from shared.presence import SocketPresence
from shared.protocol import encode_event
from shared.protocol.codes import RECEIVING_PLAYER_OFFLINE, SENDING_PLAYER_OFFLINE, Code, sentence
from shared.protocol.tells import ReceiveTell, SendTell
from shared.protocol.types import player_key
from shared.services import characters
from shared.services.moderation import ignores
from worker import grapevine
from worker.handlers.channels import speaker_of

if TYPE_CHECKING:
    from worker.sockets.connection import Connection
    from worker.worker import Worker

TELLS = "tells"

_log = structlog.get_logger(__name__)


class TellSignal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The signal of topic `tells`: one player's tell was let through (for the limits), and who has to deliver it.

    peer, player: who sent it. to_sockets: who gets it, at other workers. frame: its JSON; None if it is delivered
    already.
    """

    worker: str
    peer: str
    player: str
    to_sockets: list[str] = []
    frame: str | None = None


def send(connection: Connection, tell: SendTell) -> None:
    """Pass a tell on to the game that it names.

    Raises, in this order: GameOffline, NotSupported, PlayerOffline (sending, then receiving), TooMany, Muted or Banned.
    """
    worker = connection.worker
    assert connection.peer is not None
    receiver = worker.presence.find_peer(tell.to_game)
    if receiver is None:
        raise GameOffline(sentence(Code.GAME_OFFLINE))
    takers = [socket for socket in worker.presence.by_peer[receiver].values() if TELLS in socket.supports]
    if not takers:
        raise NotSupported(sentence(Code.NOT_SUPPORTED))
    is_to_system = receiver == grapevine.KEY and grapevine.is_system(tell.to_name)
    if (
        not is_to_system
        and "players" in connection.supports
        and not worker.presence.has_player(connection.peer.key, tell.from_name)
    ):
        raise PlayerOffline(SENDING_PLAYER_OFFLINE)
    speaker = speaker_of(connection, tell.from_name)
    # Who is not wanted hears what a player who is away would give.
    if not worker.presence.has_player(receiver, tell.to_name) or (
        not is_to_system and worker.moderation.is_unwanted((receiver, player_key(tell.to_name)), speaker)
    ):
        raise PlayerOffline(RECEIVING_PLAYER_OFFLINE)
    worker.limits.spend_tell(connection, tell.from_name)
    if not is_to_system:  # with `system` anyone may speak: it answers, and nobody else hears it
        worker.moderation.check_tell(speaker)

    signal = TellSignal(worker.id, connection.peer.key, player_key(tell.from_name))
    if is_to_system:
        gevent.spawn(_answer, connection, tell)  # after the success
    else:
        payload = ReceiveTell.of(connection.peer.short_name, tell, arrived_at=utc_now())
        frame = encode_event(payload.event, payload)
        elsewhere = []
        for taker in _choose(worker, receiver, takers, tell.to_name):
            own = worker.presence.find_own(taker.id)
            if own is not None:
                own.send(frame)
            else:
                elsewhere.append(taker.id)
        if elsewhere:
            signal = TellSignal(signal.worker, signal.peer, signal.player, elsewhere, frame.decode())
        worker.tell_counts.note(connection.peer.key)
    worker.signals.publish(TELLS, signal)


def hear(worker: Worker, signal: Any) -> None:
    """Another worker let a tell through; maybe one for a socket here."""
    heard = msgspec.convert(signal, TellSignal)
    if heard.worker == worker.id:
        return
    worker.limits.debit_tell(heard.peer, heard.player)
    if heard.frame is not None:
        for socket_id in heard.to_sockets:
            connection = worker.presence.find_own(socket_id)
            if connection is not None:
                connection.send(heard.frame.encode())


def _choose(worker: Worker, receiver: str, takers: list[SocketPresence], player: str) -> list[SocketPresence]:
    """One of a game's sockets: where the player is, if that is known, and of this worker if possible.

    Of Grapevine's, every page that the person has open.
    """
    key = player_key(player)
    if receiver == grapevine.KEY:
        return [socket for socket in takers if key in map(player_key, socket.players)]
    one = max(
        takers,
        key=lambda socket: (key in map(player_key, socket.players), worker.presence.find_own(socket.id) is not None),
    )
    return [one]


def _answer(connection: Connection, tell: SendTell) -> None:
    """Let `system` answer; a tell that registers a character does so first."""
    payload = ReceiveTell(
        from_game=grapevine.SHORT_NAME,
        from_name=grapevine.SYSTEM,
        to_name=tell.from_name,
        sent_at=utc_now().replace(microsecond=0),
        message=_answer_to(connection, tell),
    )
    connection.send(encode_event(payload.event, payload))


def deliver_from_system(worker: Worker, tells: list[dict[str, str]]) -> None:
    """Hand on what `system` has to say to players who are online. Every worker is asked; the one that has the first of
    the sockets with the player does it."""
    for tell in tells:
        key = tell["player"]
        takers = [
            (socket.id, name)
            for socket in worker.presence.by_peer.get(tell["peer"], {}).values()
            if TELLS in socket.supports
            for name in socket.players
            if player_key(name) == key
        ]
        if not takers:
            continue
        socket_id, name = min(takers)
        own = worker.presence.find_own(socket_id)
        if own is not None:
            payload = ReceiveTell(
                from_game=grapevine.SHORT_NAME,
                from_name=grapevine.SYSTEM,
                to_name=name,
                sent_at=utc_now().replace(microsecond=0),
                message=tell["text"],
            )
            own.send(encode_event(payload.event, payload))


def _answer_to(connection: Connection, tell: SendTell) -> str:
    if characters.is_register_tell(tell.message):
        return _register(connection, tell)
    if ignores.is_ignore_tell(tell.message):
        return _ignore(connection, tell)
    return grapevine.help_text(connection.worker.settings.public_url)


def _ignore(connection: Connection, tell: SendTell) -> str:
    assert connection.peer is not None
    peer = connection.peer.key
    try:
        return connection.worker.database.write(
            lambda session: ignores.answer_ignore_tell(session, peer=peer, name=tell.from_name, text=tell.message)
        )
    except SQLAlchemyError as error:
        _log.error("an ignore could not be noted", peer=peer, error=type(error).__name__)
        return grapevine.IGNORE_LATER


def _register(connection: Connection, tell: SendTell) -> str:
    peer = connection.peer
    if peer is None or peer.is_application or peer.key == grapevine.KEY:
        return grapevine.GAMES_ONLY
    try:
        return connection.worker.database.write(
            lambda session: characters.answer_register_tell(
                session, game_id=peer.id, name=tell.from_name, text=tell.message
            )
        )
    except SQLAlchemyError as error:
        _log.error("a character could not be registered", peer=peer.key, error=type(error).__name__)
        return grapevine.LATER
