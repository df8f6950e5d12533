"""The "tells" flag: tells/send comes in, tells/receive goes out (docs/protocol.md, §6).

A tell arrives at most once. It is never stored, and its text is never logged.
"""

from __future__ import annotations

from collections.abc import Iterable

import gevent
import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared import grapevine
from shared.db import utc_now
from shared.errors import GameOffline, NotSupported, PlayerOffline
from shared.presence import SocketPresence
from shared.protocol import encode_event
from shared.protocol.codes import RECEIVING_PLAYER_OFFLINE, SENDING_PLAYER_OFFLINE, Code, sentence
from shared.protocol.tells import ReceiveTell, SendTell
from shared.protocol.types import name_without_game, player_key
from shared.services import characters
from shared.services.moderation import ignores
from shared.signals import SystemTell, TellAccepted
from worker import system_player
from worker.handlers.channels import speaker_of
from worker.parts import Parts
from worker.sockets.connection import Connection

TELLS = "tells"  # the flag

_log = structlog.get_logger(__name__)


def send(parts: Parts, connection: Connection, tell: SendTell) -> None:
    """Send a tell to a player of another game.

    Raises:
        In this order: GameOffline, NotSupported, PlayerOffline (sender, then receiver), TooMany, Muted or Banned.
    """
    assert connection.peer is not None
    tell = msgspec.structs.replace(
        tell,
        from_name=name_without_game(tell.from_name, connection.peer.short_name),
        to_name=name_without_game(tell.to_name, tell.to_game),
    )
    receiver = parts.presence.find_peer(tell.to_game)
    if receiver is None:
        raise GameOffline(sentence(Code.GAME_OFFLINE))
    sockets = [socket for socket in parts.presence.by_peer[receiver].values() if TELLS in socket.supports]
    if not sockets:
        raise NotSupported(sentence(Code.NOT_SUPPORTED))
    is_to_system = receiver == grapevine.KEY and system_player.is_system(tell.to_name)
    if (
        not is_to_system
        and "players" in connection.supports
        and not parts.presence.has_player(connection.peer.key, tell.from_name)
    ):
        raise PlayerOffline(SENDING_PLAYER_OFFLINE)
    speaker = speaker_of(connection, tell.from_name)
    # Pretend that the receiver is offline, so that a blocked sender cannot tell.
    if not parts.presence.has_player(receiver, tell.to_name) or (
        not is_to_system and parts.moderation.listeners.is_unwanted((receiver, player_key(tell.to_name)), speaker)
    ):
        raise PlayerOffline(RECEIVING_PLAYER_OFFLINE)
    parts.limits.spend_tell(connection, tell.from_name, tell.message)
    if not is_to_system:  # everyone may talk to `system`, since nobody else reads it
        parts.moderation.check_tell(speaker)

    signal = TellAccepted(parts.worker_id, connection.peer.key, player_key(tell.from_name))
    if is_to_system:
        gevent.spawn(_answer, parts, connection, tell)  # after the success
    else:
        payload = ReceiveTell.of(connection.peer.short_name, tell, arrived_at=utc_now())
        frame = encode_event(payload.event, payload)
        remote_ids = []
        for socket in _choose_sockets(parts, receiver, sockets, tell.to_name):
            local = parts.presence.find_own(socket.id)
            if local is not None:
                local.send(frame)
            else:
                remote_ids.append(socket.id)
        if remote_ids:
            signal = TellAccepted(signal.worker, signal.peer, signal.player, remote_ids, frame.decode())
        parts.tell_counts.note(connection.peer.key)
    parts.signals.publish(signal)


def follow(parts: Parts, tell: TellAccepted) -> None:
    """Count a tell that another worker has accepted, and deliver it to the receiving sockets here."""
    if tell.worker == parts.worker_id:
        return
    parts.limits.debit_tell(tell.peer, tell.player)
    if tell.frame is not None:
        for socket_id in tell.to_sockets:
            connection = parts.presence.find_own(socket_id)
            if connection is not None:
                connection.send(tell.frame.encode())


def deliver_from_system(parts: Parts, tells: Iterable[SystemTell]) -> None:
    """Deliver tells of `system` to players who are online.

    Each worker receives these tells. The worker with the first of the player's sockets delivers.
    """
    for tell in tells:
        key = tell.player
        candidates = [
            (socket.id, name)
            for socket in parts.presence.by_peer.get(tell.peer, {}).values()
            if TELLS in socket.supports
            for name in socket.players
            if player_key(name) == key
        ]
        if not candidates:
            continue
        socket_id, name = min(candidates)
        local = parts.presence.find_own(socket_id)
        if local is not None:
            local.send(_encode_from_system(name, tell.text))


def _choose_sockets(parts: Parts, receiver: str, sockets: list[SocketPresence], player: str) -> list[SocketPresence]:
    """Choose the sockets that receive a tell.

    A game receives it on one socket: if possible one that lists the player, or else one of this worker. A person in a
    browser receives it on all of their pages.
    """
    key = player_key(player)
    if receiver == grapevine.KEY:
        return [socket for socket in sockets if key in map(player_key, socket.players)]

    def preference(socket: SocketPresence) -> tuple[bool, bool]:
        return key in map(player_key, socket.players), parts.presence.find_own(socket.id) is not None

    return [max(sockets, key=preference)]


def _answer(parts: Parts, connection: Connection, tell: SendTell) -> None:
    """Execute the command in a tell to `system`, and send the answer."""
    connection.send(_encode_from_system(tell.from_name, _answer_text(parts, connection, tell)))


def _encode_from_system(to_name: str, message: str) -> bytes:
    payload = ReceiveTell(
        from_game=grapevine.SHORT_NAME,
        from_name=grapevine.SYSTEM,
        to_name=to_name,
        sent_at=utc_now().replace(microsecond=0),
        message=message,
    )
    return encode_event(payload.event, payload)


def _answer_text(parts: Parts, connection: Connection, tell: SendTell) -> str:
    if characters.is_register_tell(tell.message):
        return _register(parts, connection, tell)
    if ignores.is_ignore_tell(tell.message):
        return _ignore(parts, connection, tell)
    return system_player.help_text(parts.settings.public_url)


def _ignore(parts: Parts, connection: Connection, tell: SendTell) -> str:
    assert connection.peer is not None
    peer = connection.peer.key
    try:
        return parts.database.write(
            lambda session: ignores.answer_ignore_tell(session, peer=peer, name=tell.from_name, text=tell.message)
        )
    except SQLAlchemyError as error:
        _log.error("an ignore could not be stored", peer=peer, error=type(error).__name__)
        return system_player.IGNORE_LATER


def _register(parts: Parts, connection: Connection, tell: SendTell) -> str:
    peer = connection.peer
    if peer is None or peer.is_application or peer.key == grapevine.KEY:
        return system_player.GAMES_ONLY
    try:
        return parts.database.write(
            lambda session: characters.answer_register_tell(
                session, game_id=peer.id, name=tell.from_name, text=tell.message
            )
        )
    except SQLAlchemyError as error:
        _log.error("a character could not be registered", peer=peer.key, error=type(error).__name__)
        return system_player.LATER
