"""An index of the sanctions in force, by target. Pure: no session, no socket."""

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
from shared.services.moderation.lookalikes import skeletons
from shared.services.moderation.targets import find_address

MODERATORS, ADMINS = "moderators", "admins"
"""Who may lift a sanction, as clients see it. Only admins may lift those against a moderator or an admin."""
MAX_ADDRESSES = 20_000


class Speaker(NamedTuple):
    """A player who speaks from a socket.

    Attributes:
        game: The peer's short name.
        name: The player's name.
        key: The same as a player key.
        address: The socket's.
        user_id: The account, if the socket is a browser's.
    """

    peer: PeerKey
    game: str
    name: str
    key: str
    address: str
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class ActiveSanction:
    """One mute or ban.

    Attributes:
        channel_id: The channel on which it holds. None if it holds everywhere.
        until: When it ends, in Unix time. Infinite if it is permanent.
        user_id: The account that it is about, if it is about an account.
        player: The peer key and the player key, if it is about a player.
    """

    id: int
    kind: str
    channel_id: int | None
    reason: str
    ends: datetime | None
    until: float
    user_id: int | None = None
    player: tuple[PeerKey, str] | None = None

    def error(self, now: float, *, lifted_by: str) -> DomainError:
        """Return the error for something that it forbids, with its reason, its end and who may lift it."""
        error, code = (Banned, Code.BANNED) if self.kind == "ban" else (Muted, Code.MUTED)
        seconds = None if self.ends is None else max(0, math.ceil(self.until - now))
        return error(sanctioned(code, self.ends, self.reason), seconds_left=seconds, lifted_by=lifted_by)

    @property
    def rank(self) -> tuple[bool, float]:
        """The sort key for the sanction to report: the greatest is a ban rather than a mute, then the longest."""
        return self.kind == "ban", self.until

    def is_full_ban(self, now: float) -> bool:
        """Return whether this is a ban on all channels that has not ended."""
        return self.until > now and self.kind == "ban" and self.channel_id is None


class Sanctions:
    """An immutable index. A query takes a few look-ups, however many sanctions there are."""

    def __init__(self, rows: Iterable[Any] = ()) -> None:
        """Index the rows of `sanctions.in_force_rows`."""
        self.players: dict[tuple[PeerKey, str], list[ActiveSanction]] = defaultdict(list)
        self._lookalikes: dict[tuple[PeerKey, str], list[ActiveSanction]] = defaultdict(list)
        self.peers: dict[PeerKey, list[ActiveSanction]] = defaultdict(list)
        self.users: dict[int, list[ActiveSanction]] = defaultdict(list)
        self._networks: dict[tuple[int, int], dict[int, list[ActiveSanction]]] = {}
        self._by_address: dict[str, list[ActiveSanction]] = {}
        for row in rows:
            until = math.inf if row.until is None else row.until.timestamp()
            player = (row.peer, row.player_key) if row.target_kind == "player" else None
            sanction = ActiveSanction(
                row.id, row.kind, row.channel_id, row.reason, row.until, until, row.user_id, player
            )
            if player is not None:
                self.players[player].append(sanction)
                for skeleton in skeletons(row.player_key):
                    self._lookalikes[row.peer, skeleton].append(sanction)
            elif row.target_kind == "game":
                self.peers[row.peer].append(sanction)
            elif row.target_kind == "user":
                self.users[row.user_id].append(sanction)
            else:
                network = ipaddress.ip_network(row.address)
                networks = self._networks.setdefault((network.version, network.prefixlen), {})
                networks.setdefault(int(network.network_address), []).append(sanction)

    def __bool__(self) -> bool:
        return bool(self.players or self.peers or self.users or self._networks)

    @property
    def has_addresses(self) -> bool:
        """Whether any sanction is about an address."""
        return bool(self._networks)

    def of_address(self, address: str) -> list[ActiveSanction]:
        """Return the sanctions against an address and against the networks that contain it."""
        if not self._networks:
            return []
        sanctions = self._by_address.get(address)
        if sanctions is None:
            if len(self._by_address) >= MAX_ADDRESSES:
                self._by_address.clear()
            sanctions = self._by_address[address] = self._list_by_network(address)
        return sanctions

    def find(
        self, speaker: Speaker, channel_id: int | None, people: Mapping[tuple[PeerKey, str], int], now: float
    ) -> ActiveSanction | None:
        """Return the sanction that keeps a speaker from speaking, or None.

        Args:
            channel_id: The channel, or None for a tell.
            people: The account of each player that is a character, by peer key and player key.
            now: Unix time.
        """
        sanctions = [
            *self._of_player(speaker, people),
            *self.peers.get(speaker.peer, ()),
            *self.of_address(speaker.address),
        ]
        if self.users:
            user_id = people.get((speaker.peer, speaker.key)) if speaker.user_id is None else speaker.user_id
            if user_id is not None:
                sanctions += self.users.get(user_id, ())
        return _find_worst(
            sanction for sanction in sanctions if sanction.until > now and sanction.channel_id in (None, channel_id)
        )

    def find_ban(self, peer: PeerKey | None, address: str, now: float) -> ActiveSanction | None:
        """Return the ban that forbids a peer, or an address, to have sockets. Returns None if there is none."""
        sanctions = [*(self.peers.get(peer, ()) if peer is not None else ()), *self.of_address(address)]
        return _find_worst(sanction for sanction in sanctions if sanction.is_full_ban(now))

    def banned_players(self, people: Mapping[tuple[PeerKey, str], int], now: float) -> frozenset[tuple[PeerKey, str]]:
        """Return the players that are banned on all channels, by their own name or as characters of a banned account.

        Args:
            people: The account of each player that is a character.
            now: Unix time.
        """

        def is_banned(sanctions: Iterable[ActiveSanction]) -> bool:
            return any(sanction.is_full_ban(now) for sanction in sanctions)

        users = {user_id for user_id, sanctions in self.users.items() if is_banned(sanctions)}
        players = {player for player, sanctions in self.players.items() if is_banned(sanctions)}
        return frozenset(players | {player for player, user_id in people.items() if user_id in users})

    def _of_player(self, speaker: Speaker, people: Mapping[tuple[PeerKey, str], int]) -> Iterable[ActiveSanction]:
        """Return the sanctions against a player, and those against players whose names look like theirs.

        Approved characters and accounts are known by more than their name: for them only their own name counts.
        """
        player = speaker.peer, speaker.key
        if not self.players or speaker.user_id is not None or player in people:
            return self.players.get(player, ())
        return [
            sanction
            for skeleton in skeletons(speaker.name)
            for sanction in self._lookalikes.get((speaker.peer, skeleton), ())
        ]

    def _list_by_network(self, text: str) -> list[ActiveSanction]:
        address = find_address(text)
        if address is None:
            return []
        sanctions: list[ActiveSanction] = []
        for (version, length), networks in self._networks.items():
            if version == address.version:
                shift = address.max_prefixlen - length
                sanctions += networks.get(int(address) >> shift << shift, ())
        return sanctions


def _find_worst(sanctions: Iterable[ActiveSanction]) -> ActiveSanction | None:
    return max(sanctions, key=lambda sanction: sanction.rank, default=None)
