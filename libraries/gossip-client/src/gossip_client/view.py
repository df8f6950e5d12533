"""What the client knows about other games: which are online, and which of their players. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gossip_client.events import (
    Event,
    GameConnected,
    GameDisconnected,
    GameStatus,
    PlayerSignedIn,
    PlayerSignedOut,
    PlayersStatus,
)


class View:
    """The games and players that are online. Short names and players' names are compared without case.

    It is empty without a connection. It has games only if the client declares the flag `games`, and players only with
    `players`. A sign-in that a game mentions only in its heartbeat appears at the next refresh.
    """

    def __init__(self) -> None:
        self._games: dict[str, GameStatus] = {}
        self._players: dict[str, tuple[str, dict[str, str]]] = {}

    def games(self) -> list[GameStatus]:
        """Return the games that are online, sorted by name."""
        return sorted(list(self._games.values()), key=lambda game: game.game.lower())

    def game(self, name: str) -> GameStatus | None:
        """Return a game that is online, or None."""
        return self._games.get(name.lower())

    def players(self, game: str) -> list[str]:
        """Return who is online in a game, sorted."""
        _, players = self._players.get(game.lower(), (game, {}))
        return sorted(list(players.values()), key=str.lower)

    def everyone(self) -> dict[str, list[str]]:
        """Return who is online in each game."""
        return {game: sorted(players.values(), key=str.lower) for game, players in list(self._players.values())}

    def is_online(self, game: str, player: str | None = None) -> bool:
        """Return whether a game, or one of its players, is known to be online."""
        key = game.lower()
        if player is None:
            return key in self._games or key in self._players
        return key in self._players and player.lower() in self._players[key][1]

    def apply(self, event: Event) -> None:
        """Apply a notice."""
        match event:
            case PlayerSignedIn(game, name):
                self._players.setdefault(game.lower(), (game, {}))[1][name.lower()] = name
            case PlayerSignedOut(game, name):
                if entry := self._players.get(game.lower()):
                    entry[1].pop(name.lower(), None)
            case GameConnected(game):
                self._games.setdefault(game.lower(), GameStatus(game))
            case GameDisconnected(game):
                self._games.pop(game.lower(), None)
                self._players.pop(game.lower(), None)

    def set_games(self, statuses: Iterable[GameStatus]) -> None:
        """Replace all games."""
        self._games = {status.game.lower(): status for status in statuses}

    def set_game(self, status: GameStatus) -> None:
        """Update a game. Ignores one that is not known to be online."""
        if status.game.lower() in self._games:
            self._games[status.game.lower()] = status

    def set_players(self, statuses: Iterable[PlayersStatus]) -> None:
        """Replace the players of all games."""
        self._players = {}
        for status in statuses:
            self.set_players_of(status)

    def set_players_of(self, status: PlayersStatus) -> None:
        """Replace the players of one game."""
        self._players[status.game.lower()] = (status.game, {name.lower(): name for name in status.players})

    def clear(self) -> None:
        """Forget everything: the connection is gone."""
        self._games.clear()
        self._players.clear()
