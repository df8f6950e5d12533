"""Announces players who sign in or out to this worker's sockets and to the other workers.

Source: docs/protocol.md, §5. A notice arrives at most once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from shared.peer_keys import PeerKey
from shared.protocol import encode_event
from shared.protocol.players import PlayerSignedIn, PlayerSignedOut
from shared.protocol.types import player_key
from shared.services.peers import Peer
from shared.signals import PlayerSigned
from worker.diagnostics.recorder import Diagnostics
from worker.network.presence import Presence
from worker.signals import Signals
from worker.sockets.limits import RateLimits
from worker.sockets.registry import Sockets
from worker.wire.broadcasts import Frames
from worker.wire.fanout import Fanout
from worker.wire.frames import frame_text

PLAYERS = "players"  # the flag, and the fan-out topic of sockets that declared it


class PlayerNotices:
    """Announces players of games as online or offline."""

    def __init__(
        self,
        worker_id: str,
        sockets: Sockets,
        presence: Presence,
        fanout: Fanout,
        signals: Signals,
        diagnostics: Diagnostics,
        limits: RateLimits,
    ) -> None:
        self._worker_id = worker_id
        self._sockets = sockets
        self._presence = presence
        self._fanout = fanout
        self._diagnostics = diagnostics
        self._limits = limits
        signals.on(PlayerSigned, self.follow)

    def announce(self, op: Literal["in", "out"], peer: Peer, name: str, *, is_shown: bool) -> None:
        """Sign a player in or out, at every worker.

        Args:
            is_shown: Whether other games' sockets receive a notice.
        """
        signal = PlayerSigned(self._worker_id, op, peer.key, peer.short_name, name, is_shown)
        frames = self._apply(signal)
        self._presence.publish_after(signal)
        if frames is not None:
            self._diagnostics.record_broadcast(PLAYERS, frames, peer.key)

    def follow(self, signal: PlayerSigned) -> None:
        """Apply a signal from another worker."""
        if signal.worker != self._worker_id:
            self._limits.debit_sign_in(signal.peer)
            self._apply(signal)

    def announce_banned(self, players: Iterable[tuple[PeerKey, str]]) -> None:
        """Announce to this worker's sockets that newly banned players have left, although their game still lists them.

        Each worker does this for its own sockets when its view of the sanctions changes.

        Args:
            players: Pairs of a peer key and a player key.
        """
        for peer, key in players:
            sockets = self._presence.by_peer.get(peer, {}).values()
            names = [name for socket in sockets for name in socket.players if player_key(name) == key]
            if names and any(socket.is_displayed or socket.is_application for socket in sockets):
                self._broadcast(peer, PlayerSignedOut(game=next(iter(sockets)).game, name=names[0]))

    def _apply(self, signal: PlayerSigned) -> Frames | None:
        if signal.op == "out":
            for connection in self._sockets.by_peer.get(signal.peer, ()):
                if connection.players.pop(player_key(signal.name), None) is not None:
                    self._presence.update(connection)
        if not signal.is_announced:
            return None
        notice = (PlayerSignedIn if signal.op == "in" else PlayerSignedOut)(game=signal.game, name=signal.name)
        return self._broadcast(signal.peer, notice)

    def _broadcast(self, peer: PeerKey, notice: PlayerSignedIn | PlayerSignedOut) -> Frames:
        frames = Frames.same(frame_text(encode_event(notice.event, notice)))
        self._fanout.broadcast(PLAYERS, frames, except_listener=peer)
        return frames
