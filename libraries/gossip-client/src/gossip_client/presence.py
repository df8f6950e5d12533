"""Keeps the view of who is online up to date. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gossip_client import requests
from gossip_client.config import Config
from gossip_client.events import Event, GameConnected, GameStatus, PlayersStatus
from gossip_client.requests import Request
from gossip_client.session import Session
from gossip_client.view import View

AskInBackground = Callable[[Request[Any], float, Callable[[Any], None]], None]


class Presence:
    """Applies notices to the view, and asks the server for what notices do not tell.

    Games list their players in heartbeats, which causes no notice, so the view is read again every `refresh_seconds`.
    """

    def __init__(self, config: Config, session: Session, view: View, ask_in_background: AskInBackground) -> None:
        self._config = config
        self._session = session
        self._view = view
        self._ask_in_background = ask_in_background
        self._refresh_at: float | None = None

    def apply(self, event: Event, now: float) -> None:
        """Apply a notice to the view. Ask for the details of a game that has just connected."""
        if not self._config.keeps_view:
            return
        self._view.apply(event)
        if isinstance(event, GameConnected):
            if "games" in self._session.flags:
                self._ask_in_background(requests.games_status(event.game), now, self._set_known_games)
            if "players" in self._session.flags:
                self._ask_in_background(requests.players_status(event.game), now, self._add_players)

    def refresh(self, now: float) -> None:
        """Ask for all games and players."""
        self._refresh_at = None
        if not self._config.keeps_view:
            return
        flags = self._session.flags
        if "games" in flags:
            self._ask_in_background(requests.games_status(), now, self._view.set_games)
        if "players" in flags:
            self._ask_in_background(requests.players_status(), now, self._view.set_players)
        if len(flags) > 1:
            self._refresh_at = now + self._config.refresh_seconds

    def clear(self) -> None:
        """Empty the view: there is no connection."""
        self._refresh_at = None
        self._view.clear()

    def tick(self, now: float) -> None:
        """Refresh the view if that is due."""
        if self._refresh_at is not None and now >= self._refresh_at:
            self.refresh(now)

    def wakes_at(self) -> float | None:
        """Return when the next refresh is due, or None."""
        return self._refresh_at

    def _set_known_games(self, statuses: Iterable[GameStatus]) -> None:
        for status in statuses:
            self._view.set_game(status)

    def _add_players(self, statuses: Iterable[PlayersStatus]) -> None:
        for status in statuses:
            self._view.set_players_of(status)
