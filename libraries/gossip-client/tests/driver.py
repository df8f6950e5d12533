"""Drives a core in tests: the test moves the clock and plays the server."""

from __future__ import annotations

import json
import random
from typing import Any

from gossip_client import Backoff, requests
from gossip_client.core import Config, Core

QUICK = Backoff(first=0.1, longest=0.2)


class Driver:
    """A core, with a clock that the test moves and a server that the test plays. `received` has all events so far."""

    def __init__(self, **config: Any) -> None:
        config = {"client_id": "id", "client_secret": "secret", "keeps_view": False, **config}
        self.core = Core(Config(**config), rng=random.Random(1))
        self.now = 100.0
        self.received: list[Any] = []

    def open(self, version: str | None = "2.4.0", **payload: Any) -> dict[str, Any]:
        """Connect and accept the client. Return the `authenticate` that it sent."""
        self.core.opened(self.now)
        (frame,) = self.sent()
        if version is not None:
            payload["version"] = version
        self.server_sends("authenticate", payload, status="success")
        return frame

    def server_sends(self, event: str, payload: Any = None, *, ref: Any = None, **more: Any) -> None:
        frame = {"event": event, "ref": ref, "payload": payload, **more}
        self.core.received(json.dumps({key: value for key, value in frame.items() if value is not None}), self.now)
        self.received += self.core.events()

    def sent(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the frames sent since the last call: all, or those of one event."""
        frames = [json.loads(text) for text in self.core.frames()]
        return frames if event is None else [frame for frame in frames if frame["event"] == event]

    def ask(self, request: requests.Request[Any]) -> requests.Request[Any]:
        self.core.ask(request, self.now)
        self.received += self.core.events()
        return request

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.core.tick(self.now)
        self.received += self.core.events()

    def lose(self, reason: str = "lost", code: int | None = None) -> float:
        """Lose the connection. Return the wait before the next attempt."""
        self.core.closed(self.now, reason, code=code)
        self.received += self.core.events()
        assert self.core.reconnect_at is not None
        return self.core.reconnect_at - self.now

    def events(self, kind: type) -> list[Any]:
        return [event for event in self.received if isinstance(event, kind)]


def history_line(number: int, *, game: str = "Other", message: str | None = None, **more: Any) -> dict[str, Any]:
    text = f"line {number}" if message is None else message
    return {"id": number, "sent_at": "2026-11-23T06:15:44Z", "game": game, "name": "Ann", "message": text, **more}


def broadcast(number: int, **more: Any) -> dict[str, Any]:
    return history_line(number, channel="gossip", **more)


def speak(server: Any, count: int, first: int = 0) -> None:
    """Let another game say numbered lines on the channel `gossip`."""
    for number in range(first, first + count):
        server.tell("channels/broadcast", {"channel": "gossip", "game": "A", "name": "b", "message": str(number)})
