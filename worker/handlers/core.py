"""The core: authenticate and heartbeat (docs/protocol.md, §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
import msgspec
import structlog
from msgspec import UNSET
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import AlreadyAuthenticated, DomainError, MissingSupport
from shared.models.synced import KINDS
from shared.protocol import encode_success
from shared.protocol.codes import MISSING_SUPPORTS, MUST_SUPPORT_CHANNELS, Code, sentence
from shared.protocol.core import Authenticate, AuthenticateSuccess, Heartbeat
from shared.protocol.types import at_least, player_key
from shared.services import games, peers, versions
from shared.services.peers import Peer, WrongSecret
from worker.answers import ANSWERED
from worker.handlers import channels

if TYPE_CHECKING:
    from worker.sockets.connection import Connection
    from worker.worker import Worker

VERSION_WITH_HISTORY = "2.4.0"

_log = structlog.get_logger(__name__)


def authenticate(connection: Connection, request: Authenticate, ref: msgspec.Raw | None) -> object:
    """Let a peer in. Answers by itself: the first heartbeat, and an application's sync, follow the answer at once.

    Raises AlreadyAuthenticated, InvalidCredentials, MissingSupport and Banned.
    """
    if connection.peer is not None:
        raise AlreadyAuthenticated(sentence(Code.ALREADY_AUTHENTICATED))
    worker = connection.worker
    connection.claimed_id = request.client_id
    as_of = worker.news_of_peers
    try:
        peer = _read_peer(worker, request)
    except WrongSecret as error:
        connection.claimed = error.peer
        raise
    connection.claimed = peer.key
    if not request.supports:
        raise MissingSupport(MISSING_SUPPORTS)
    if "channels" not in request.supports:
        raise MissingSupport(MUST_SUPPORT_CHANNELS)
    found, refused = channels.find_or_create(worker, peer, request.channels)
    counts = _read_counts(worker, peer, request)
    while worker.news_of_peers != as_of:
        # Something about a peer changed while this waited, and nobody told a socket that was not in yet.
        as_of = worker.news_of_peers
        peer = _read_peer(worker, request)
    # Nothing waits from here until the socket is in, so a ban that comes later finds it.
    worker.moderation.check_socket(peer.key, connection.transport.address)

    connection.supports = request.flags
    connection.version = request.version
    connection.variant = int(at_least(request.version, VERSION_WITH_HISTORY))
    connection.user_agent = request.user_agent or None
    _set_players(connection, request.players)
    if request.debug:
        connection.debug()
    success = AuthenticateSuccess(
        ignored=request.ignored or UNSET, refused_channels=refused or UNSET, counts=UNSET if counts is None else counts
    )
    connection.send(encode_success(success.event, ref, success))
    worker.admit(connection, peer)
    for channel in found:
        channels.join(connection, channel)
    if peer.is_application and request.is_sync_wanted:
        worker.replicas.request(connection, request.sync_since, None)
    agent, version = connection.user_agent, request.version[:20]
    if not peer.is_application and (agent or peer.user_agent, version) != (peer.user_agent, peer.protocol_version):
        gevent.spawn(_remember_client, worker, peer, agent, version)
    return ANSWERED


def _read_peer(worker: Worker, request: Authenticate) -> Peer:
    return worker.database.read(
        lambda session: peers.authenticate_peer(
            session, client_id=request.client_id, client_secret=request.client_secret
        )
    )


def _read_counts(worker: Worker, peer: Peer, request: Authenticate) -> dict[str, int] | None:
    """How many records an application is about to be sent, for it to show how far it is; None for everyone else."""
    is_new = at_least(request.version, VERSION_WITH_HISTORY)
    if not (is_new and peer.is_application and request.is_sync_wanted and request.sync_since is None):
        return None
    known = worker.database.read(versions.counts)
    return {kind: known.get(kind, 0) for kind in KINDS}


def _remember_client(worker: Worker, peer: Peer, user_agent: str | None, version: str) -> None:
    """Note what a game runs. It has its answer already, so whatever goes wrong here is no failure of its request."""
    try:
        worker.database.write(
            lambda session: games.remember_client(
                session, game_id=peer.id, user_agent=user_agent, protocol_version=version
            )
        )
    except (DomainError, SQLAlchemyError) as error:
        _log.error("a game's user agent could not be noted", peer=peer.key, error=str(error))


def heartbeat(connection: Connection, beat: Heartbeat) -> None:
    """The answer to a heartbeat: the socket lives, and its list of players is this one."""
    connection.missed_heartbeats = 0
    if _set_players(connection, beat.players):
        connection.worker.presence.update(connection)


def _set_players(connection: Connection, names: list[str] | None) -> bool:
    """Replace the socket's list; None leaves it. True if it is another one now."""
    if names is None:
        return False
    players = {player_key(name): name for name in names}
    if players == connection.players:
        return False
    connection.players = players
    return True
