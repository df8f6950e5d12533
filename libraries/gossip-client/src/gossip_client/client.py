"""What both clients share: settings, handlers, and the support flags that follow from the handlers."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from gossip_client.backoff import Backoff
from gossip_client.core import Config, Core, State
from gossip_client.events import Event
from gossip_client.explain import check_url
from gossip_client.view import View

Handler = Callable[[Any], Any]
H = TypeVar("H", bound=Handler)

EVENTS_KEPT = 10_000  # while nobody reads them; the oldest are dropped first
EVENTS_AHEAD = 1_000  # events read ahead of a slow handler or reader; the rest waits in the network
CLOSE_SECONDS = 3.0  # how long a running handler may take when the client is closed
MAX_BYTES = 16 * 1024 * 1024  # of one message of the server
CONNECT_OPTIONS: dict[str, Any] = {"ping_interval": None, "max_size": MAX_BYTES, "compression": None}


class BaseClient:
    """The part of a client that does no I/O."""

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        *,
        channels: Collection[str] = (),
        players: Callable[[], Iterable[str]] | None = None,
        supports: Collection[str] = (),
        user_agent: str | None = None,
        game: str | None = None,
        sync: Callable[[], Mapping[str, Any] | bool | None] | None = None,
        keeps_view: bool = True,
        fills_gaps: bool = True,
        queue_limit: int = 100,
        queue_seconds: float = 120.0,
        answer_seconds: float = 15.0,
        quiet_seconds: float = 1.0,
        silence_seconds: float = 60.0,
        backoff: Backoff | None = None,
    ) -> None:
        """Make a client that is not connected yet. All times are in seconds.

        Args:
            url: The network's socket, `wss://host/socket`.
            client_id: The id that the site shows on the game's page.
            client_secret: The secret that the site shows beside it.
            channels: Channels to subscribe to when the client connects.
            players: A plain function that returns the names of the players who are online here. Called at each
                heartbeat (every 15 s).
            supports: Support flags to declare in addition to those of the handlers: `players`, `tells`, `games`.
            user_agent: The name and version of the game's software, shown on the site: "ExampleMUD 2.1".
            game: This game's short name. If it is set, the history never repeats this game's own lines.
            sync: For applications: a function that returns the value of `sync` in each authentication.
            keeps_view: Whether to keep `view` up to date.
            fills_gaps: Whether to read from the history what was missed without a connection.
            queue_limit: How many sends may wait for the connection.
            queue_seconds: How long a send may wait for the connection.
            answer_seconds: How long to wait for an answer.
            quiet_seconds: Servers before 2.4.0 do not mark the end of a list; it has ended after this much silence.
            silence_seconds: How long a server may be silent before the client considers it gone.
            backoff: How long to wait before connecting again.

        Raises:
            ConnectFailed: The URL is not one of a WebSocket.
            TypeError: An argument has the wrong type.
        """
        for option, text in (("url", url), ("client_id", client_id), ("client_secret", client_secret)):
            if not isinstance(text, str):
                raise TypeError(f"{option} must be a string, not {type(text).__name__}")
        check_url(url)
        for option, value in (("channels", channels), ("supports", supports)):
            if isinstance(value, str):
                raise TypeError(f"{option} must be a list of names, not a string: {option}=[{value!r}]")
        if players is not None and (not callable(players) or inspect.iscoroutinefunction(players)):
            raise TypeError("players must be a plain function that returns the names: players=lambda: [...]")
        self.url = url
        self._handlers: dict[type[Event], list[Handler]] = {}
        self._supports = frozenset(supports)
        self._players = players
        self._core: Core | None = None
        self._view = View()
        self._config = Config(
            client_id=client_id,
            client_secret=client_secret,
            channels=tuple(channels),
            players=players,
            user_agent=user_agent,
            game=game,
            sync=sync,
            keeps_view=keeps_view,
            fills_gaps=fills_gaps,
            queue_limit=queue_limit,
            queue_seconds=queue_seconds,
            answer_seconds=answer_seconds,
            quiet_seconds=quiet_seconds,
            silence_seconds=silence_seconds,
            backoff=backoff or Backoff(),
        )
        self._set_up()

    def _set_up(self) -> None:
        """Set the attributes of a client that is not connected."""

    def on(self, *kinds: type[Event]) -> Callable[[H], H]:
        """Decorate a function to be called with every event of these classes; `Event` means all of them.

        Raises:
            RuntimeError: The client is connected already and has not declared the event's flag (see `Event.flag`).
        """
        for kind in kinds:
            is_open = self._core is not None and self._core.state is not State.CLOSED
            if is_open and kind.flag and kind.flag not in self.supports:
                raise RuntimeError(f"register a handler of {kind.__name__} before the client connects")

        def register(handler: H) -> H:
            for kind in kinds:
                self._handlers.setdefault(kind, []).append(handler)
            return handler

        return register

    @property
    def supports(self) -> frozenset[str]:
        """The flags to declare: `channels`, those of the handlers, and `players` if the client has that function."""
        flags = {"channels", *self._supports, *(kind.flag for kind in self._handlers if kind.flag)}
        if self._players is not None:
            flags.add("players")
        return frozenset(flags)

    @property
    def core(self) -> Core:
        """The state machine below this client. The first access makes it, with the handlers registered so far."""
        if self._core is None:
            self._core = self._make_core()
        return self._core

    @property
    def view(self) -> View:
        """Which games and players are online. It is always the same object, so it may be kept."""
        return self._view

    @property
    def is_connected(self) -> bool:
        """Whether the server has accepted this client, and the connection is open."""
        return self._core is not None and self._core.is_ready

    @property
    def server_version(self) -> str | None:
        """The protocol version of the server; None before the first connection."""
        return None if self._core is None else self._core.server_version

    def _make_core(self) -> Core:
        config = replace(
            self._config,
            supports=self.supports,
            players=self._players_for_core(),
            sync=self._sync_for_core(),
            backoff=replace(self._config.backoff),  # it counts, and several clients may have been given the same one
        )
        return Core(config, view=self._view)

    def _renew_core(self) -> Core:
        """Return the core for a new connection: a closed one is replaced."""
        if self._core is None or self._core.state is State.CLOSED:
            self._core = self._make_core()
        return self._core

    def _players_for_core(self) -> Callable[[], Iterable[str] | None] | None:
        return self._players

    def _sync_for_core(self) -> Callable[[], Mapping[str, Any] | bool | None] | None:
        return self._config.sync

    @staticmethod
    def _keep_events(stream: deque[Event], events: Iterable[Event], *, is_read: bool) -> None:
        stream.extend(events)
        while not is_read and len(stream) > EVENTS_KEPT:
            stream.popleft()

    def _handlers_of(self, event: Event) -> list[Handler]:
        return [handler for kind, handlers in self._handlers.items() if isinstance(event, kind) for handler in handlers]
