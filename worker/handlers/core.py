"""The core: authenticate and heartbeat (docs/protocol.md, §3)."""

from __future__ import annotations

from sys import intern

import msgspec
from msgspec import UNSET

from shared.errors import AlreadyAuthenticated, MissingSupport
from shared.models.synced import KINDS
from shared.protocol import encode_success
from shared.protocol.codes import MISSING_SUPPORTS, MUST_SUPPORT_CHANNELS, Code, sentence
from shared.protocol.core import Authenticate, AuthenticateSuccess, Heartbeat
from shared.protocol.types import at_least, name_without_game
from shared.services import software, versions
from shared.services.peer_credentials import WrongSecret
from shared.services.peers import Peer
from worker.answers import ANSWERED
from worker.handlers import channels
from worker.parts import Parts
from worker.sockets.connection import Connection

VERSION_WITH_HISTORY = "2.4.0"


def authenticate(parts: Parts, connection: Connection, request: Authenticate, ref: msgspec.Raw | None) -> object:
    """Sign a game or an application in.

    Sends the answer itself, since the first heartbeat, and an application's sync, must follow it at once.

    Raises:
        AlreadyAuthenticated, InvalidCredentials, Banned.
        TooManySockets: the peer has as many sockets open as it may.
        MissingSupport: `supports` lacks the flag "channels".
    """
    if connection.peer is not None:
        raise AlreadyAuthenticated(sentence(Code.ALREADY_AUTHENTICATED))
    connection.claimed_id = request.client_id
    try:
        login = parts.authenticator.login(request.client_id, request.client_secret)
    except WrongSecret as error:
        connection.claimed = error.peer
        raise
    with login:
        connection.claimed = login.peer.key
        if not request.supports:
            raise MissingSupport(MISSING_SUPPORTS)
        if "channels" not in request.supports:
            raise MissingSupport(MUST_SUPPORT_CHANNELS)
        records, refused = channels.find_or_create(parts, login.peer, request.channels)
        counts = _read_counts(parts, login.peer, request)
        peer = login.confirm()
        # Nothing waits from here until the socket is online, so a ban after this check closes it.
        parts.moderation.check_socket(peer.key, connection.transport.address)
        parts.peers.require_room(peer)

        connection.supports = request.flags
        connection.version = intern(request.version)
        connection.variant = int(at_least(request.version, VERSION_WITH_HISTORY))
        connection.user_agent = intern(request.user_agent) if request.user_agent else None
        _set_players(parts, connection, peer, request.players)
        if request.debug:
            connection.debug()
        success = AuthenticateSuccess(
            ignored=request.ignored or UNSET,
            refused_channels=refused or UNSET,
            counts=UNSET if counts is None else counts,
        )
        connection.send(encode_success(success.event, ref, success))
        parts.peers.admit(connection, peer, [channel.id for channel in records])
    if peer.is_application and request.is_sync_wanted:
        parts.replicas.request(connection, request.sync_since, None)
    is_tool = software.is_tool(connection.user_agent or "")
    parts.client_notes.note(peer, None if is_tool else connection.user_agent, request.version[:20])
    return ANSWERED


def _read_counts(parts: Parts, peer: Peer, request: Authenticate) -> dict[str, int] | None:
    """Return how many records of each kind an application will receive. None unless it requests the whole state."""
    is_new = at_least(request.version, VERSION_WITH_HISTORY)
    if not (is_new and peer.is_application and request.is_sync_wanted and request.sync_since is None):
        return None
    counts = parts.database.read(versions.counts)
    return {kind: counts.get(kind, 0) for kind in KINDS}


def heartbeat(parts: Parts, connection: Connection, beat: Heartbeat) -> None:
    """Handle the answer to a heartbeat. It may replace the socket's list of players."""
    connection.missed_heartbeats = 0
    assert connection.peer is not None
    if _set_players(parts, connection, connection.peer, beat.players):
        parts.presence.update(connection)


def _set_players(parts: Parts, connection: Connection, peer: Peer, names: list[str] | None) -> bool:
    """Replace the socket's list of players with as many as the game may list, unless `names` is None.

    Returns:
        Whether the list has changed.
    """
    if names is None:
        return False
    names = [name_without_game(name, peer.short_name) for name in names]
    players = parts.presence.select_players(peer.key, names, replaced=connection.players)
    if players == connection.players:
        return False
    connection.players = players
    return True
