"""What both fronts share: settings, handlers, and the support flags that follow from them."""

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

EVENTS_KEPT = 10_000  # while nobody reads them; the oldest go first
EVENTS_AHEAD = 1_000  # read ahead of a slow handler or reader; more waits in the network
CLOSE_SECONDS = 3.0  # that a handler has to end when the client is closed
MAX_BYTES = 16 * 1024 * 1024  # of one message of the server


class BaseClient:
    """The part without I/O."""

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
        """Nothing is connected yet. Times are in seconds.

        url: the network's socket, `wss://host/socket`.
        client_id, client_secret: as the site shows them on the game's page.
        channels: names of the channels to hear, from the first moment on.
        players: a plain function that returns the names of who is online here; asked at every heartbeat (15 s).
        supports: flags to declare besides those that follow from the handlers: `players`, `tells`, `games`.
        user_agent: the name and version of the game's software, shown on the site: "ExampleMUD 2.1".
        game: one's own short name, if known: its own lines are then certain to be left out of what was missed.
        sync: for applications: a function that returns the value of `sync` in each authentication.
        keeps_view: whether to keep `view`. fills_gaps: whether to read from the history what was missed while away.
        queue_limit, queue_seconds: how many sends wait for the connection, and for how long.
        answer_seconds: how long an answer is waited for.
        quiet_seconds: servers before 2.4.0 do not mark the end of a list; it has ended when nothing came for so long.
        silence_seconds: a server that says nothing for so long is gone.
        backoff: how long to wait before connecting again.

        Raises ConnectFailed for a URL that is none, TypeError for what is of the wrong kind.
        """
        for option, text in (("url", url), ("client_id", client_id), ("client_secret", client_secret)):
            if not isinstance(text, str):
                raise TypeError(f"{option} is a text, not of the type {type(text).__name__}")
        check_url(url)
        for option, value in (("channels", channels), ("supports", supports)):
            if isinstance(value, str):
                raise TypeError(f"{option} is a list of names, not a text: {option}=[{value!r}]")
        if players is not None and (not callable(players) or inspect.iscoroutinefunction(players)):
            raise TypeError("players is a plain function that returns the names: players=lambda: [...]")
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

    def on(self, *kinds: type[Event]) -> Callable[[H], H]:
        """Decorator: call this function with every event of these classes; `Event` is all of them.

        Handlers of events with a flag (see `Event.flag`) come before `connect`: RuntimeError later.
        """
        for kind in kinds:
            is_settled = self._core is not None and self._core.state is not State.CLOSED
            if is_settled and kind.flag and kind.flag not in self.supports:
                raise RuntimeError(f"a handler of {kind.__name__} must be there before the client connects")

        def register(handler: H) -> H:
            for kind in kinds:
                self._handlers.setdefault(kind, []).append(handler)
            return handler

        return register

    @property
    def supports(self) -> frozenset[str]:
        """The flags to declare: `channels`, those of the handlers, `players` if this game says who is online."""
        flags = {"channels", *self._supports, *(kind.flag for kind in self._handlers if kind.flag)}
        if self._players is not None:
            flags.add("players")
        return frozenset(flags)

    @property
    def core(self) -> Core:
        """The state machine below; made at the first use, from the handlers that are there then."""
        if self._core is None:
            config = replace(
                self._config,
                supports=self.supports,
                players=self._players_of_core(),
                backoff=replace(self._config.backoff),  # it counts: another client may have been given the same one
            )
            self._core = Core(config, view=self._view)
        return self._core

    def _players_of_core(self) -> Callable[[], Iterable[str] | None] | None:
        return self._players

    @property
    def view(self) -> View:
        """Which games are online, and who in them. Always the same object: it may be kept."""
        return self._view

    @property
    def is_connected(self) -> bool:
        """Whether the server has let this client in, and the connection stands."""
        return self._core is not None and self._core.is_ready

    @property
    def server_version(self) -> str | None:
        """The protocol version of the server, once known."""
        return None if self._core is None else self._core.server_version

    def _start_afresh(self) -> None:
        """A client that was closed may connect again."""
        if self._core is not None and self._core.state is State.CLOSED:
            self._core = None

    @staticmethod
    def _keep(stream: deque[Event], told: Iterable[Event], *, is_read: bool) -> None:
        stream.extend(told)
        while not is_read and len(stream) > EVENTS_KEPT:
            stream.popleft()

    def _handlers_of(self, event: Event) -> list[Handler]:
        return [handler for kind, found in self._handlers.items() if isinstance(event, kind) for handler in found]
