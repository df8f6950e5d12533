"""Targets of sanctions and reports: parse what moderators type into what workers compare."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared import grapevine, peer_keys, validation
from shared.errors import Invalid, NotFound
from shared.models.character import Character
from shared.models.game import Game
from shared.models.user import User
from shared.peer_keys import PeerKey
from shared.protocol.text import clean_line
from shared.protocol.types import MAX_NAME, name_without_game, player_key
from shared.services import peers, users
from shared.services.authority import audit
from shared.services.moderation.patterns import parse_pattern

_ZONE = re.compile("%[^/]*")
_WIDEST = {4: 8, 6: 20}  # a shorter prefix would ban whole regions
_WIDEST_FOR_MODERATORS = {4: 24, 6: 48}  # a provider gives one customer no more


@dataclass(frozen=True, slots=True)
class Target:
    """A player, a game, a site user or a network of addresses. The fields are columns of `Sanction`."""

    kind: str
    name: str
    peer: PeerKey | None = None
    player_key: str | None = None
    user_id: int | None = None
    address: str | None = None

    @property
    def id(self) -> str:
        """Return the target for programs: `game:7/bob`, `game:7`, `user:3`, `192.0.2.0/24`."""
        if self.kind == "player":
            return f"{self.peer}/{self.player_key}"
        if self.kind == "user":
            return f"user:{self.user_id}"
        return self.peer or self.address or ""

    @property
    def for_audit(self) -> audit.Target:
        """Return the target for the audit trail."""
        return audit.Target(self.kind, self.id, self.name)


def parse(session: Session, kind: str, text: str) -> Target:
    """Return the target that a text names: `Bob@Game`, `Game`, a username, or an address or CIDR network.

    Raises NotFound, Invalid (field `target`).
    """
    text = validation.line(text, field="target", longest=100, what="the target")
    if kind == "player":
        name, _, game = text.rpartition("@")
        return player(session, name=name, game=game)
    if kind == "game":
        peer = peers.find_peer(session, text)
        if peer is None:
            raise NotFound(f"there is no game {text}", field="target")
        return Target("game", peer.short_name, peer=peer.key)
    if kind == "user":
        user = users.find_user_by_username(session, text)
        if user is None:
            raise NotFound(f"there is no user {text}", field="target")
        return Target("user", user.username, user_id=user.id)
    if kind == "address":
        network = parse_network(text)
        return Target("address", network, address=network)
    raise Invalid("choose a player, a game, a user or an address", field="target_kind")


def player(session: Session, *, name: str, game: str) -> Target:
    """Return a player of a game, or the user with this name if the game is `Grapevine`. They need not be online.

    Raises NotFound, Invalid (field `target`).
    """
    name = name_without_game(clean_line(name), game)
    if not 1 <= len(name) <= MAX_NAME or not game.strip():
        raise Invalid("write the player as name@game", field="target")
    key = player_key(name)
    short_name = "".join(game.split())
    if grapevine.is_grapevine(short_name):
        user = users.find_user_by_username(session, name)
        if key == grapevine.SYSTEM or user is None:
            raise NotFound(f"there is no player {name}@{grapevine.SHORT_NAME}", field="target")
        return Target("player", f"{user.username}@{grapevine.SHORT_NAME}", peer=grapevine.KEY, player_key=key)
    peer = peers.find_peer(session, short_name)
    if peer is None:
        raise NotFound(f"there is no game {short_name}", field="target")
    return Target("player", f"{name}@{peer.short_name}", peer=peer.key, player_key=key)


def pattern(session: Session, text: str) -> str:
    """Return a pattern of `name@game` as it is stored, after checking that the game exists. See `parse_pattern`.

    Raises NotFound, Invalid (field `pattern`).
    """
    kept = parse_pattern(text)
    game = kept.rpartition("@")[2]
    if "*" not in game and game != grapevine.KEY and peers.find_peer(session, game) is None:
        typed = "".join(clean_line(text).rpartition("@")[2].split())
        raise NotFound(
            f"there is no game {typed}: after the @ comes the short name of a game of the network, or * for any",
            field="pattern",
        )
    return kept


def shown_pattern(session: Session, kept: str) -> str:
    """Return a stored pattern with the game's own spelling: `bob@harbour` is shown as `bob@Harbour`."""
    name, _, game = kept.rpartition("@")
    peer = None if "*" in game else peers.find_peer(session, game)
    if game == grapevine.KEY:
        return f"{name}@{grapevine.SHORT_NAME}"
    return kept if peer is None else f"{name}@{peer.short_name}"


def find_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address as sanctions compare it: without a zone, mapped IPv4 as IPv4. None if it is not an address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address


def networks_of(text: str) -> list[str]:
    """Return every network that contains an address, as sanctions spell them; empty if it is not an address."""
    address = find_address(text)
    if address is None:
        return []
    lengths = range(_WIDEST[address.version], address.max_prefixlen + 1)
    return [str(ipaddress.ip_network((address, length), strict=False)) for length in lengths]


def parse_network(text: str) -> str:
    """Return an address or CIDR network in canonical form; a single address becomes a network of one.

    Raises Invalid (field `target`).
    """
    try:
        network = ipaddress.ip_network(_ZONE.sub("", text.strip()), strict=False)
    except ValueError:
        raise Invalid("write an address like 192.0.2.7 or a network like 192.0.2.0/24", field="target") from None
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            network = ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    if network.prefixlen < _WIDEST[network.version]:
        raise Invalid(f"this network is too wide: at most /{_WIDEST[network.version]}", field="target")
    return str(network)


def is_wide_network(target: Target) -> bool:
    """Return whether a target is a network that only admins may sanction, since many people share it."""
    if target.address is None:
        return False
    network = ipaddress.ip_network(target.address)
    return network.prefixlen < _WIDEST_FOR_MODERATORS[network.version]


def person_of(session: Session, peer: str | None, key: str | None) -> User | None:
    """Return the user behind a player: by username on Grapevine, else by approved character. None if unknown."""
    if peer is None or key is None:
        return None
    if peer == grapevine.KEY:
        return session.scalar(select(User).where(func.lower(User.username) == key))
    game_id = peer_keys.find_game_id(peer)
    if game_id is None:
        return None
    return session.scalar(
        select(User)
        .join(Character, Character.user_id == User.id)
        .where(Character.game_id == game_id, Character.name_key == key, Character.state == "approved")
    )


def games_of(session: Session, user_id: int | None) -> list[PeerKey]:
    """Return the peer keys of the games that a user owns."""
    return [peer_keys.of_game(game_id) for game_id in session.scalars(select(Game.id).where(Game.owner_id == user_id))]
