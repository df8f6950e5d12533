"""The answers to `*/status`, from the presence view and the directory (docs/protocol.md, §5 and §7).

Each game's payload is encoded once and kept until something about the game changes. Clients request all games after
every `games/connect`, so when all games reconnect at once, each payload is needed thousands of times.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared import grapevine, peer_keys
from shared.errors import UnknownGame
from shared.peer_keys import PeerKey
from shared.presence import SocketPresence
from shared.protocol.codes import Code, sentence
from shared.protocol.core import SUPPORT_FLAGS
from shared.protocol.games import GameStatus, WayToConnect
from shared.protocol.players import PlayerStatus
from shared.protocol.sync import GameRecord
from shared.protocol.types import game_key
from shared.services import peers, software
from shared.services.peers import Peer
from worker.database import Database
from worker.network.directory import Directory, load_games
from worker.network.feed import Feed
from worker.network.presence import Presence
from worker.network.rosters import cut_names

_encode = msgspec.json.Encoder().encode


class Statuses:
    """Payloads of answers, as JSON, by peer key."""

    def __init__(
        self, presence: Presence, directory: Directory, database: Database, feed: Feed, *, homepage_url: str
    ) -> None:
        """Start without payloads.

        Args:
            homepage_url: The site's URL, shown as the homepage of Grapevine.
        """
        self._presence = presence
        self._directory = directory
        self._database = database
        self._feed = feed
        self._homepage_url = homepage_url
        self._players: dict[PeerKey, msgspec.Raw] = {}
        self._games: dict[PeerKey, msgspec.Raw] = {}
        self._shown: dict[PeerKey, str] = {}
        self._displayed: list[PeerKey] | None = None

    def changed(self, peer: PeerKey) -> None:
        """Forget a peer's payloads. Called after its sockets or its record have changed."""
        self._players.pop(peer, None)
        self._games.pop(peer, None)
        sockets = self._presence.by_peer.get(peer, {}).values()
        shown = next((socket.game for socket in sockets if socket.is_displayed and not socket.is_application), None)
        if shown != self._shown.get(peer):
            if shown is None:
                del self._shown[peer]
            else:
                self._shown[peer] = shown
            self._displayed = None

    def channels_changed(self) -> None:
        """Forget what names channels. Called after a channel was hidden, made public, or deleted."""
        self._games.clear()

    def list_displayed(self, *, asker: PeerKey | None) -> list[PeerKey]:
        """Return the keys of the displayed peers that are online, except the asker, sorted by name."""
        if self._displayed is None:
            self._displayed = sorted(self._shown, key=lambda peer: self._shown[peer].lower())
        return [peer for peer in self._displayed if peer != asker]

    def players(self, keys: Sequence[PeerKey]) -> list[msgspec.Raw]:
        """Return the payloads of `players/status` of these peers. Skips peers that are offline."""
        payloads = []
        for key in keys:
            payload = self._players.get(key)
            if payload is None:
                sockets = self._presence.by_peer.get(key)
                if not sockets:
                    continue
                payload = _encode_raw(PlayerStatus(game=_first(sockets).game, players=self._listed_players(key)))
                self._players[key] = payload
            payloads.append(payload)
        return payloads

    def players_of(self, name: str) -> msgspec.Raw:
        """Return the payload of `players/status` of the game with this name. Raises UnknownGame."""
        online = self._presence.find_peer(name)
        if online is not None:
            return self.players([online])[0]
        return _encode_raw(PlayerStatus(game=self._get_peer(name).short_name, players=[]))

    def games(self, keys: Sequence[PeerKey]) -> list[msgspec.Raw]:
        """Return the payloads of `games/status` of these games. Skips games that have gone offline. May wait."""
        self._load([key for key in keys if key not in self._games])
        return [payload for key in keys if (payload := self._game(key)) is not None]

    def game(self, name: str) -> msgspec.Raw:
        """Return the payload of `games/status` of the game with this name, even if it is offline. May wait.

        Raises:
            UnknownGame: There is no such game.
        """
        key = self._presence.find_peer(name)
        if key == grapevine.KEY:
            return self.games([key])[0]
        peer = self._get_peer(name)
        if peer.is_application:
            return _encode_raw(self._status(peer.key, peer.short_name, peer.name, None))
        self._load([peer.key])
        record = self._directory.games.get(peer.id)
        if record is None:
            raise UnknownGame(sentence(Code.UNKNOWN_GAME))
        return _encode_raw(self._status(peer.key, record.short_name, record.name, record))

    def _get_peer(self, name: str) -> Peer:
        peer = self._database.read(lambda session: peers.find_peer(session, game_key(name)))
        if peer is None:
            raise UnknownGame(sentence(Code.UNKNOWN_GAME))
        return peer

    def _game(self, key: PeerKey) -> msgspec.Raw | None:
        payload = self._games.get(key)
        if payload is None:
            if key == grapevine.KEY:
                status = self._status(key, grapevine.SHORT_NAME, grapevine.NAME, None)
            else:
                record = self._directory.games.get(peer_keys.find_game_id(key) or 0)
                if record is None or key not in self._presence.by_peer:
                    return None
                status = self._status(key, record.short_name, record.name, record)
            payload = self._games[key] = _encode_raw(status)
        return payload

    def _status(self, key: PeerKey, game: str, display_name: str, record: GameRecord | None) -> GameStatus:
        sockets = list(self._presence.by_peer.get(key, {}).values())
        user_agent, user_agent_url = (record.user_agent, record.user_agent_url) if record else (None, None)
        declared = [socket for socket in sockets if socket.user_agent and not software.is_tool(socket.user_agent)]
        if declared:
            # The record contains a new user agent only a moment later, but clients ask right after `games/connect`.
            newest = max(declared, key=lambda socket: socket.since).user_agent
            if newest != user_agent:
                user_agent, user_agent_url = newest, None
        return GameStatus.of(
            game=game,
            display_name=display_name,
            description=record.description if record else grapevine.DESCRIPTION if key == grapevine.KEY else None,
            homepage_url=record.homepage_url if record else self._homepage_url if key == grapevine.KEY else None,
            user_agent=user_agent,
            user_agent_url=user_agent_url,
            connections=[
                WayToConnect(type=way.type, url=way.url, host=way.host, port=way.port)
                for way in (record.connections if record else [])
            ],
            supports=self._supports(sockets) if sockets else None,
            channels=self._public_channels(sockets) if sockets else None,
            players_online_count=self._presence.count_players(key) if sockets else None,
        )

    def _listed_players(self, key: PeerKey) -> list[str]:
        """Return the players of a game, as many as fit into one answer."""
        return cut_names(self._presence.players_of(key), self._presence.player_limit)

    def _supports(self, sockets: Sequence[SocketPresence]) -> list[str]:
        declared = {flag for socket in sockets for flag in socket.supports}
        return [flag for flag in SUPPORT_FLAGS if flag in declared]

    def _public_channels(self, sockets: Sequence[SocketPresence]) -> list[str]:
        ids = {channel_id for socket in sockets for channel_id in socket.channels}
        channels = [self._directory.channels.get(channel_id) for channel_id in ids]
        return sorted(channel.name for channel in channels if channel is not None and not channel.hidden)

    def _load(self, keys: Sequence[PeerKey]) -> None:
        """Add the records of games to the directory. Reads again if the feed has applied something newer meanwhile."""
        ids = [game_id for key in keys if (game_id := peer_keys.find_game_id(key)) is not None]
        while missing := [game_id for game_id in ids if game_id not in self._directory.games]:
            cursor, records = self._database.read(lambda session, missing=missing: load_games(session, missing))  # type: ignore[misc]
            if self._feed.position > cursor:
                continue
            self._directory.games.update((record.id, record) for record in records)
            return


def _first(sockets: dict[str, SocketPresence]) -> SocketPresence:
    return next(iter(sockets.values()))


def _encode_raw(payload: GameStatus | PlayerStatus) -> msgspec.Raw:
    return msgspec.Raw(_encode(payload))
