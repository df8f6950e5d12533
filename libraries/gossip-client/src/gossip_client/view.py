"""What this client knows of the others: which games are online, and who in them. Pure."""

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
    """Games by their short names, without regard to case. Empty while there is no connection, and of flags not
    declared; sign-ins that a game only tells in its heartbeats show up at the next refresh."""

    def __init__(self) -> None:
        self._games: dict[str, GameStatus] = {}
        self._players: dict[str, tuple[str, dict[str, str]]] = {}

    def games(self) -> list[GameStatus]:
        """The games that are online, by name."""
        return sorted(list(self._games.values()), key=lambda game: game.game.lower())

    def game(self, name: str) -> GameStatus | None:
        """A game that is online."""
        return self._games.get(name.lower())

    def players(self, game: str) -> list[str]:
        """Who is online in a game."""
        known = self._players.get(game.lower())
        return sorted(list(known[1].values()), key=str.lower) if known else []

    def everyone(self) -> dict[str, list[str]]:
        """Who is online, by game."""
        return {known[0]: sorted(known[1].values(), key=str.lower) for known in list(self._players.values())}

    def is_online(self, game: str, player: str | None = None) -> bool:
        """Whether a game, or a player of it, is known to be online."""
        key = game.lower()
        if player is None:
            return key in self._games or key in self._players
        return key in self._players and player.lower() in self._players[key][1]

    def apply(self, event: Event) -> None:
        """Take in a notice."""
        match event:
            case PlayerSignedIn(game, name):
                self._players.setdefault(game.lower(), (game, {}))[1][name.lower()] = name
            case PlayerSignedOut(game, name):
                if known := self._players.get(game.lower()):
                    known[1].pop(name.lower(), None)
            case GameConnected(game):
                self._games.setdefault(game.lower(), GameStatus(game))
            case GameDisconnected(game):
                self._games.pop(game.lower(), None)
                self._players.pop(game.lower(), None)

    def set_games(self, statuses: Iterable[GameStatus]) -> None:
        """All that are online."""
        self._games = {status.game.lower(): status for status in statuses}

    def set_game(self, status: GameStatus) -> None:
        """One that is online; one that is not known to be is left out."""
        if status.game.lower() in self._games:
            self._games[status.game.lower()] = status

    def set_players(self, statuses: Iterable[PlayersStatus]) -> None:
        """Everyone who is online."""
        self._players = {}
        for status in statuses:
            self.set_players_of(status)

    def set_players_of(self, status: PlayersStatus) -> None:
        """Everyone in one game."""
        self._players[status.game.lower()] = (status.game, {name.lower(): name for name in status.players})

    def clear(self) -> None:
        """The connection is gone."""
        self._games.clear()
        self._players.clear()
