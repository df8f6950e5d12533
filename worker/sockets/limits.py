"""Rate limits of sockets, games and players (docs/protocol.md, §9). No I/O.

The buckets of games and players are kept by peer, so they cover all sockets of this worker and survive a reconnect.
What other workers have admitted arrives as signals and is charged here too, so these limits cover the network without a
round trip. During a Redis outage they hold for each worker alone.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from shared import grapevine, peer_keys
from shared.errors import TooMany
from shared.limits import (
    APPLICATION_FACTOR,
    EVENTS,
    MESSAGES_OF_GAME,
    MESSAGES_OF_PLAYER,
    NEW_CHANNELS,
    SIGN_INS,
    SOCKETS_FACTOR,
    TELLS_OF_GAME,
    TELLS_OF_PLAYER,
    Limit,
)
from shared.peer_keys import PeerKey
from shared.protocol.codes import Code, sentence
from shared.protocol.types import player_key
from worker.sockets.buckets import Bucket, SocketLimits
from worker.sockets.connection import Connection

MAX_PEERS = 10_000
MAX_PLAYERS = 5_000  # for each peer, whose own limit allows fewer players to be active at a time
LINE_BYTES = 1024  # a line that is longer counts as several for its game
ABUSE_SECONDS = 10.0
ABUSE_FACTOR = 2.0  # times the refill rate; a client that sends faster for ABUSE_SECONDS is closed


FullAt = dict[str, float]
"""When buckets are full again, by time.monotonic() and the name of the limit."""


class SocketLimitsState(Struct, omit_defaults=True):
    """The buckets of one socket: see `SocketLimits`."""

    buckets: FullAt = {}
    over_since: float = 0.0
    over_count: int = 0


class PeerLimitsState(Struct, omit_defaults=True):
    """The buckets of one peer that are not full: see `PeerLimits`. Those of players have the limit and the player."""

    peer: PeerKey
    whole: FullAt = {}
    sockets: FullAt = {}
    players: list[tuple[str, str, float]] = []


class PeerLimits:
    """The buckets of one game or application, and of its players.

    Attributes:
        sockets: For the limits of a socket, the buckets of all its sockets together.
    """

    __slots__ = ("players", "sockets", "whole")

    def __init__(self) -> None:
        self.whole: dict[str, Bucket] = {}
        self.sockets: dict[str, Bucket] = {}
        self.players: OrderedDict[tuple[str, str], Bucket] = OrderedDict()


class RateLimits:
    """All limits of one worker. If they are turned off, everything is admitted."""

    def __init__(
        self, limits: Mapping[str, Limit], *, is_on: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._is_on = is_on
        self._clock = clock
        self._peers: OrderedDict[PeerKey, PeerLimits] = OrderedDict()
        self._abuse_rate = limits[EVENTS].per_second * ABUSE_FACTOR

    def export_state(self) -> list[PeerLimitsState]:
        """Return the buckets of all peers, for another process."""
        now = self._clock()
        return [
            PeerLimitsState(
                peer,
                _full_at(limits.whole, now),
                _full_at(limits.sockets, now),
                [(*key, bucket.full_at) for key, bucket in limits.players.items() if bucket.full_at > now],
            )
            for peer, limits in self._peers.items()
        ]

    def restore(self, states: Iterable[PeerLimitsState]) -> None:
        """Continue with the buckets of another process. Skips limits that do not exist here."""
        for state in states:
            factor = _factor(state.peer)
            limits = self._peer(state.peer)
            for name in state.whole.keys() & self._limits.keys():
                self._of_peer(state.peer, name).full_at = state.whole[name]
            for name in state.sockets.keys() & self._limits.keys():
                bucket = limits.sockets[name] = Bucket(self._limits[name], factor * SOCKETS_FACTOR)
                bucket.full_at = state.sockets[name]
            for name, player, full_at in state.players:
                if name in self._limits:
                    bucket = limits.players[name, player] = Bucket(self._limits[name], factor)
                    bucket.full_at = full_at

    def export_socket(self, connection: Connection) -> SocketLimitsState:
        """Return the buckets of one socket, for another process."""
        limits = connection.limits
        return SocketLimitsState(_full_at(limits.buckets, self._clock()), limits.over_since, limits.over_count)

    def restore_socket(self, connection: Connection, state: SocketLimitsState) -> None:
        """Continue with the buckets of one socket. Skips limits that do not exist here."""
        limits = connection.limits
        limits.over_since, limits.over_count = state.over_since, state.over_count
        for name in state.buckets.keys() & self._limits.keys():
            self._of_socket(connection, name)[0].full_at = state.buckets[name]

    def admit_event(self, connection: Connection) -> bool:
        """Charge any event to the limit of all events. Returns False if the socket, or its game, is over it."""
        if not self._is_on:
            return True
        limits = connection.limits
        now = self._clock()
        if limits.over_since:
            limits.over_count += 1
        buckets = self._of_socket(connection, EVENTS)
        if all(bucket.wait(now) == 0.0 for bucket in buckets):
            for bucket in buckets:
                bucket.debit(now)
            return True
        if not limits.over_since:
            limits.over_since, limits.over_count = now, 1
        return False

    def is_abusive(self, connection: Connection) -> bool:
        """Return whether a socket has been over the limit, and sending much too fast, for ABUSE_SECONDS."""
        limits = connection.limits
        seconds = self._clock() - limits.over_since
        if not limits.over_since or seconds < ABUSE_SECONDS:
            return False
        factor = APPLICATION_FACTOR if connection.is_application else 1
        is_abusive = limits.over_count / seconds > self._abuse_rate * factor
        limits.over_since, limits.over_count = 0.0, 0
        return is_abusive

    def wait_for_event(self, connection: Connection) -> TooMany:
        """Return the error for an event that was not admitted."""
        now = self._clock()
        return _too_many(max(bucket.wait(now) for bucket in self._of_socket(connection, EVENTS)))

    def spend_of_socket(self, connection: Connection, name: str) -> None:
        """Charge one event to one of the limits of a socket, and of its game's sockets. Raises TooMany."""
        if self._is_on:
            self._spend(self._of_socket(connection, name))

    def spend_message(self, connection: Connection, player: str, text: str = "") -> None:
        """Charge one line to the player's bucket and the game's. If either has too little, charge neither.

        So a player who floods does not use up the other players' share. A long line counts more often for the game,
        whose burst would otherwise be too much for the sockets of others.

        Raises:
            TooMany.
        """
        if self._is_on:
            peer = connection.peer_key
            assert peer is not None
            self._spend_text(self._message_buckets(peer, player), text)

    def spend_new_channel(self, peer: PeerKey) -> None:
        """Charge a channel that the peer creates by subscribing. Raises TooMany."""
        if self._is_on:
            self._spend([self._of_peer(peer, NEW_CHANNELS)])

    def spend_sign_in(self, peer: PeerKey) -> None:
        """Charge a player who signs in or out. Raises TooMany."""
        if self._is_on:
            self._spend([self._of_peer(peer, SIGN_INS)])

    def spend_tell(self, connection: Connection, player: str, text: str = "") -> None:
        """Charge one tell, like a line, to the player's bucket and the game's. Raises TooMany."""
        if self._is_on:
            peer = connection.peer_key
            assert peer is not None
            self._spend_text(self._tell_buckets(peer, player), text)

    def debit_message(self, peer: PeerKey, player: str, text: str = "") -> None:
        """Charge a line that another worker has admitted."""
        if self._is_on:
            self._debit_text(self._message_buckets(peer, player), text)

    def debit_sign_in(self, peer: PeerKey) -> None:
        """Charge a player who signed in or out through another worker."""
        if self._is_on:
            self._of_peer(peer, SIGN_INS).debit(self._clock())

    def debit_tell(self, peer: PeerKey, player: str) -> None:
        """Charge a tell that another worker has admitted."""
        if self._is_on:
            self._debit_text(self._tell_buckets(peer, player), "")

    def debit_new_channels(self, peer: PeerKey, count: int) -> None:
        """Charge channels that a peer has created through another worker."""
        if self._is_on:
            bucket, now = self._of_peer(peer, NEW_CHANNELS), self._clock()
            for _ in range(count):
                bucket.debit(now)

    def headroom(self, peer: PeerKey, connections: Mapping[str, SocketLimits]) -> list[dict[str, object]]:
        """Return what is left of each limit that a peer has used: the state of its emptiest bucket.

        connections: the limits of the peer's sockets, by any name for the socket.
        """
        now = self._clock()
        used: list[tuple[str, str, Bucket]] = [
            (name, whose, bucket) for whose, limits in connections.items() for name, bucket in limits.buckets.items()
        ]
        limits_of_peer = self._peers.get(peer)
        if limits_of_peer is not None:
            used += [(name, "", bucket) for name, bucket in limits_of_peer.whole.items()]
            used += [(name, player, bucket) for (name, player), bucket in limits_of_peer.players.items()]
        emptiest: dict[str, tuple[str, Bucket]] = {}
        for name, whose, bucket in used:
            if name not in emptiest or bucket.full_at > emptiest[name][1].full_at:
                emptiest[name] = whose, bucket
        factor = _factor(peer)
        return [
            {
                "limit": name,
                "of": whose,
                "left": round(bucket.tokens(now), 1),
                "burst": self._limits[name].burst * factor,
                "per_second": self._limits[name].per_second * factor,
            }
            for name, (whose, bucket) in sorted(emptiest.items())
        ]

    def _message_buckets(self, peer: PeerKey, player: str) -> tuple[Bucket, Bucket]:
        return self._of_player(peer, MESSAGES_OF_PLAYER, player), self._of_peer(peer, MESSAGES_OF_GAME)

    def _tell_buckets(self, peer: PeerKey, player: str) -> tuple[Bucket, Bucket]:
        return self._of_player(peer, TELLS_OF_PLAYER, player), self._of_peer(peer, TELLS_OF_GAME)

    def _spend_text(self, buckets: tuple[Bucket, Bucket], text: str) -> None:
        """Charge a text to a player's bucket once, and to the game's as often as it counts."""
        now, (player_bucket, game_bucket) = self._clock(), buckets
        wait = max(player_bucket.wait(now), game_bucket.wait(now, _line_cost(text)))
        if wait > 0:
            raise _too_many(wait)
        self._debit_text(buckets, text)

    def _debit_text(self, buckets: tuple[Bucket, Bucket], text: str) -> None:
        now, (player_bucket, game_bucket) = self._clock(), buckets
        player_bucket.debit(now)
        game_bucket.debit(now, _line_cost(text))

    def _spend(self, buckets: Sequence[Bucket]) -> None:
        now = self._clock()
        for bucket in buckets:
            wait = bucket.wait(now)
            if wait > 0:
                raise _too_many(wait)
        for bucket in buckets:
            bucket.debit(now)

    def _of_socket(self, connection: Connection, name: str) -> tuple[Bucket, ...]:
        """Return a socket's bucket and, once it has authenticated as a game or application, that of all its sockets."""
        factor = APPLICATION_FACTOR if connection.is_application else 1
        buckets = connection.limits.buckets
        bucket = buckets.get(name)
        if bucket is None:
            bucket = buckets[name] = Bucket(self._limits[name], factor)
        peer = connection.peer_key
        if peer is None or peer == grapevine.KEY:
            return (bucket,)
        together = self._peer(peer).sockets
        bucket_of_all = together.get(name)
        if bucket_of_all is None:
            bucket_of_all = together[name] = Bucket(self._limits[name], factor * SOCKETS_FACTOR)
        return bucket, bucket_of_all

    def _of_peer(self, peer: PeerKey, name: str) -> Bucket:
        whole = self._peer(peer).whole
        bucket = whole.get(name)
        if bucket is None:
            # All people who chat in the browser share this bucket, so it is larger than that of one game.
            factor = APPLICATION_FACTOR if peer == grapevine.KEY else _factor(peer)
            bucket = whole[name] = Bucket(self._limits[name], factor)
        return bucket

    def _of_player(self, peer: PeerKey, name: str, player: str) -> Bucket:
        players = self._peer(peer).players
        key = name, player_key(player)
        bucket = players.get(key)
        if bucket is None:
            bucket = players[key] = Bucket(self._limits[name], _factor(peer))
            if len(players) > MAX_PLAYERS:
                players.popitem(last=False)
        else:
            players.move_to_end(key)
        return bucket

    def _peer(self, peer: PeerKey) -> PeerLimits:
        limits = self._peers.get(peer)
        if limits is None:
            limits = self._peers[peer] = PeerLimits()
            if len(self._peers) > MAX_PEERS:
                self._peers.popitem(last=False)
        else:
            self._peers.move_to_end(peer)
        return limits


def _line_cost(text: str) -> int:
    """Return how many lines a line counts as: one for each LINE_BYTES that it has begun."""
    return 1 + (len(text.encode()) - 1) // LINE_BYTES if text else 1


def _full_at(buckets: Mapping[str, Bucket], now: float) -> FullAt:
    return {name: bucket.full_at for name, bucket in buckets.items() if bucket.full_at > now}


def _factor(peer: PeerKey) -> int:
    return APPLICATION_FACTOR if peer_keys.is_application(peer) else 1


def _too_many(wait: float) -> TooMany:
    return TooMany(sentence(Code.RATE_LIMITED), retry_after_ms=max(1, math.ceil(wait * 1000)))
