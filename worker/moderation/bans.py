"""Enforces new bans on open sockets and on players who are online."""

from __future__ import annotations

from collections.abc import Iterable

from shared import grapevine
from shared.peer_keys import PeerKey
from worker.moderation.view import Moderation
from worker.network.player_notices import PlayerNotices
from worker.sockets.registry import Sockets

CLOSE_BANNED = 4003


class Bans:
    """Closes the sockets of banned games and addresses, and takes banned players offline."""

    def __init__(self, sockets: Sockets, moderation: Moderation, player_notices: PlayerNotices) -> None:
        self._sockets = sockets
        self._moderation = moderation
        self._player_notices = player_notices
        self._banned_players: frozenset[tuple[PeerKey, str]] = frozenset()

    @property
    def banned_players(self) -> frozenset[tuple[PeerKey, str]]:
        """The players whose departure was announced, by peer key and player key."""
        return self._banned_players

    def restore(self, banned_players: Iterable[tuple[PeerKey, str]]) -> None:
        """Continue with what another process has announced to the same sockets."""
        self._banned_players = frozenset(banned_players)

    def enforce(self) -> None:
        """Apply the sanctions of the moderation view. Call this after each change of them."""
        self._close_sockets()
        before, self._banned_players = self._banned_players, self._moderation.banned_players()
        # Grapevine's players are people in a browser: `Browsers` takes them offline.
        added = [player for player in self._banned_players - before if player[0] != grapevine.KEY]
        self._player_notices.announce_banned(added)

    def _close_sockets(self) -> None:
        sanctions, by_peer = self._moderation.sanctions, self._sockets.by_peer
        affected = {connection for key in sanctions.peers for connection in by_peer.get(key, ())}
        for connection in list(self._sockets.all) if sanctions.has_addresses else affected:
            if connection.is_newcomer:
                continue  # checked when it authenticates: moderators and admins may chat from a banned address
            ban = self._moderation.find_ban(
                connection.peer_key, connection.transport.address, user_id=connection.user_id
            )
            if ban is not None:
                connection.close(CLOSE_BANNED, ban.message)
