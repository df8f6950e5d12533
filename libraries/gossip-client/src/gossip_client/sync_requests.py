"""The requests of the client for threads, as methods. `aio_requests` has the same ones for asyncio."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from gossip_client import requests
from gossip_client.events import GameStatus, HistoryPage, PlayersStatus, SyncComplete
from gossip_client.requests import Request

T = TypeVar("T")


class SyncRequests:
    """What a client can ask. Each method returns the answer.

    All of them raise RequestFailed if the server refuses, and RequestTimedOut if it does not answer within
    `answer_seconds`. Without a connection, `send` and `tell` wait for one and raise Dropped if they cannot wait any
    longer; `subscribe` and `unsubscribe` take effect at the next connection; all others raise NotConnected.
    """

    def _do(self, request: Request[T]) -> T:
        """Send a request and wait for its result."""
        raise NotImplementedError

    def subscribe(self, channel: str) -> None:
        """Subscribe to a channel, now and after every reconnect.

        Without a connection it returns at once. A later refusal is reported in `Connected.refused_channels`, or as
        ErrorReported.

        Raises:
            RequestFailed: The server refused the channel (`channel-refused`).
        """
        self._do(requests.subscribe(channel))

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe from a channel."""
        self._do(requests.unsubscribe(channel))

    def send(self, channel: str, name: str, message: str) -> None:
        """Send a player's message to a channel. Returns when the server has accepted it.

        Args:
            channel: The channel's name. The client must be subscribed to it.
            name: The player's name.
            message: 1 to 4,000 characters of plain text.

        Raises:
            RequestFailed: The server refused it (`muted`, `rate-limited`, `not-subscribed` …).
            Dropped: It could not wait for the connection any longer, or the connection was lost before the answer.
        """
        self._do(requests.send(channel, name, message))

    def sign_in(self, name: str) -> None:
        """Announce that a player has come online. Heartbeats say it too if the client has `players`."""
        self._do(requests.sign_in(name))

    def sign_out(self, name: str) -> None:
        """Announce that a player has left."""
        self._do(requests.sign_out(name))

    def tell(
        self, from_name: str, to_game: str, to_name: str, message: str, *, sent_at: datetime | None = None
    ) -> None:
        """Send a tell to a player of another game.

        Args:
            from_name: The player here who sends it.
            to_game: The other game's short name, in any case.
            to_name: The player there.
            message: Plain text.
            sent_at: Now by default. A time without a zone is in this machine's zone.

        Raises:
            RequestFailed: The server refused it (`player-offline`, `game-offline`, `not-supported` …).
            Dropped: It could not wait for the connection any longer, or the connection was lost before the answer.
        """
        self._do(requests.tell(from_name, to_game, to_name, message, sent_at))

    def players_status(self, game: str | None = None) -> list[PlayersStatus]:
        """Return who is online, in all games or in one. A game that is offline has no players.

        Raises:
            RequestFailed: There is no such game (`unknown-game`).
        """
        return self._do(requests.players_status(game))

    def games_status(self, game: str | None = None) -> list[GameStatus]:
        """Return the games that are online; or one game, online or not.

        Raises:
            RequestFailed: There is no such game (`unknown-game`).
        """
        return self._do(requests.games_status(game))

    def history(
        self, channel: str, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> HistoryPage:
        """Return messages of a subscribed channel, oldest first. Needs a server of 2.4.0 or later.

        Args:
            channel: The channel's name.
            before: Return the newest messages before this id.
            after: Return the oldest messages after this id.
            limit: The greatest number of messages; at most 100.

        Raises:
            RequestFailed: The client is not subscribed to it (`not-subscribed`), or the server has no history.
            RequestTimedOut: There was no answer, as from some older servers.
        """
        return self._do(requests.history(channel, before=before, after=after, limit=limit))

    def sync(self, since: int | None = None) -> SyncComplete:
        """For applications: ask for the changes after a cursor, or for the whole state (None).

        The records arrive as SyncRecords before this returns.

        Raises:
            RequestFailed: The client is not an application (`not-an-application`).
        """
        return self._do(requests.sync(since))

    def request(self, event: str, payload: dict[str, Any] | None = None) -> Any:
        """Send any other request that has one answer. Return the answer's payload, or None if it has none."""
        return self._do(requests.any_request(event, payload))
