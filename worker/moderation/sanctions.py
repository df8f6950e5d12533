"""Sanctions in force, indexed by whom they are about. Pure: no session, no socket."""

from __future__ import annotations

import ipaddress
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from shared.errors import Banned, DomainError, Muted
from shared.peer_keys import PeerKey
from shared.protocol.codes import Code, sanctioned
from shared.services.moderation.targets import find_address

MODERATORS, ADMINS = "moderators", "admins"
"""Who may lift a sanction, as clients are told. Admins, alone, what is about a moderator or an admin."""
ADDRESSES_AT_MOST = 20_000


class Speaker(NamedTuple):
    """Who says something. peer: the peer's key. game: its short name. name: the player's. key: the name as players are
    matched. address: of the socket. user_id: of the account, where it speaks from a browser."""

    peer: PeerKey
    game: str
    name: str
    key: str
    address: str
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class InForce:
    """One mute or ban. until: Unix time, infinite for good. channel_id: None is everywhere. user_id, player (peer key,
    player's key): whom it is about, where that is one."""

    id: int
    kind: str
    channel_id: int | None
    reason: str
    ends: datetime | None
    until: float
    user_id: int | None = None
    player: tuple[PeerKey, str] | None = None

    def error(self, now: float, *, lifted_by: str) -> DomainError:
        """The failure of what it forbids: why, until when, how long still, and who may lift it."""
        error, code = (Banned, Code.BANNED) if self.kind == "ban" else (Muted, Code.MUTED)
        seconds = None if self.ends is None else max(0, math.ceil(self.until - now))
        return error(sanctioned(code, self.ends, self.reason), seconds_left=seconds, lifted_by=lifted_by)

    @property
    def rank(self) -> tuple[bool, float]:
        """Of several the greatest is told: a ban before a mute, the longest first."""
        return self.kind == "ban", self.until


class Sanctions:
    """An index made once of rows (`sanctions.in_force_rows`): asking costs a few look-ups, however many there are."""

    def __init__(self, rows: Iterable[Any] = ()) -> None:
        self.players: dict[tuple[PeerKey, str], list[InForce]] = defaultdict(list)
        self.peers: dict[PeerKey, list[InForce]] = defaultdict(list)
        self.users: dict[int, list[InForce]] = defaultdict(list)
        self._networks: dict[tuple[int, int], dict[int, list[InForce]]] = {}
        self._by_address: dict[str, list[InForce]] = {}
        for row in rows:
            until = math.inf if row.until is None else row.until.timestamp()
            player = (row.peer, row.player_key) if row.target_kind == "player" else None
            found = InForce(row.id, row.kind, row.channel_id, row.reason, row.until, until, row.user_id, player)
            if player is not None:
                self.players[player].append(found)
            elif row.target_kind == "game":
                self.peers[row.peer].append(found)
            elif row.target_kind == "user":
                self.users[row.user_id].append(found)
            else:
                network = ipaddress.ip_network(row.address)
                of_length = self._networks.setdefault((network.version, network.prefixlen), {})
                of_length.setdefault(int(network.network_address), []).append(found)

    def __bool__(self) -> bool:
        return bool(self.players or self.peers or self.users or self._networks)

    @property
    def has_addresses(self) -> bool:
        """True if any is about an address."""
        return bool(self._networks)

    def of_address(self, address: str) -> list[InForce]:
        """Those of the networks that an address is in."""
        if not self._networks:
            return []
        found = self._by_address.get(address)
        if found is None:
            if len(self._by_address) >= ADDRESSES_AT_MOST:
                self._by_address.clear()
            found = self._by_address[address] = self._find_networks(address)
        return found

    def find(
        self, speaker: Speaker, channel_id: int | None, people: Mapping[tuple[PeerKey, str], int], now: float
    ) -> InForce | None:
        """What keeps somebody from speaking on a channel; or, without one, from a tell. None if nothing does."""
        player = speaker.peer, speaker.key
        found = [*self.players.get(player, ()), *self.peers.get(speaker.peer, ()), *self.of_address(speaker.address)]
        if self.users:
            user_id = people.get(player) if speaker.user_id is None else speaker.user_id
            if user_id is not None:
                found += self.users.get(user_id, ())
        return _worst(one for one in found if one.until > now and one.channel_id in (None, channel_id))

    def find_ban(self, peer: PeerKey | None, address: str, now: float) -> InForce | None:
        """What shuts a socket of a peer, or of an address, out altogether."""
        found = [*(self.peers.get(peer, ()) if peer is not None else ()), *self.of_address(address)]
        return _worst(one for one in found if one.until > now and one.kind == "ban" and one.channel_id is None)

    def banned_players(self, people: Mapping[tuple[PeerKey, str], int], now: float) -> frozenset[tuple[PeerKey, str]]:
        """Whom a ban keeps from speaking anywhere, by their name or by the person behind it."""

        def is_banned(found: Iterable[InForce]) -> bool:
            return any(one.until > now and one.kind == "ban" and one.channel_id is None for one in found)

        users = {user_id for user_id, found in self.users.items() if is_banned(found)}
        named = {player for player, found in self.players.items() if is_banned(found)}
        return frozenset(named | {player for player, user_id in people.items() if user_id in users})

    def _find_networks(self, text: str) -> list[InForce]:
        address = find_address(text)
        if address is None:
            return []
        found: list[InForce] = []
        for (version, length), networks in self._networks.items():
            if version == address.version:
                shift = address.max_prefixlen - length
                found += networks.get(int(address) >> shift << shift, ())
        return found


def _worst(found: Iterable[InForce]) -> InForce | None:
    return max(found, key=lambda one: one.rank, default=None)
