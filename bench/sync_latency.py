"""Measure the time from the commit of an edit until an application receives its sync event.

    python -m bench.sync_latency [--edits 500] [--database postgresql://…]

Prints one JSON object with milliseconds. `service`: edits through the service, as the command line makes them, from
the commit on. `post`: edits by POST to the real site, as a browser makes them, from the sending of the request on;
`post_answer` is the time until the site's answer. `bare`: a bare Redis round trip, from PUBLISH until a subscriber
in this process receives the message: the least that an event can take. The kinds take turns, so that load on the
machine affects all of them alike.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from contextlib import suppress
from queue import Queue

import redis
import websocket
from sqlalchemy import event
from sqlalchemy.orm import Session

from bench.browsing import post, sign_in, token_of
from bench.machine import quantile
from bench.stack import Stack
from shared import db
from shared.bus import Bus, publish_after_commit
from shared.settings import Settings
from tests.support.factory import edit_game
from tests.support.servers import RunningSite

SECONDS = 10.0


class Application:
    """An application's client that notes when each sync event arrives."""

    def __init__(self, url: str, credentials: dict[str, str]) -> None:
        self.events: Queue[tuple[float, str]] = Queue()
        self._socket = websocket.create_connection(url, enable_multithread=True, skip_utf8_validation=True)
        keys = {name: credentials[name] for name in ("client_id", "client_secret")}
        self._send("authenticate", **keys, supports=["channels"])
        while '"sync/complete"' not in str(self._socket.recv()):
            pass
        threading.Thread(target=self._read, daemon=True).start()

    def _send(self, name: str, **payload: object) -> None:
        self._socket.send(json.dumps({"event": name, "payload": payload}))

    def _read(self) -> None:
        while True:
            try:
                frame = str(self._socket.recv())
            except websocket.WebSocketConnectionClosedException:
                return  # the worker is stopped
            now = time.perf_counter()
            if '"sync/games"' in frame:
                self.events.put((now, frame))
            elif frame == '{"event":"heartbeat"}':
                self._send("heartbeat")

    def wait_for(self, description: str) -> float:
        """Return the time when the event with this description arrived."""
        while True:
            now, frame = self.events.get(timeout=SECONDS)
            if description in frame:
                return now


class Echo:
    """A bare Redis subscriber."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)
        self._received: Queue[float] = Queue()
        self._pubsub = self.client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe("bare")
        while self._pubsub.get_message(timeout=1) is not None:
            pass
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(redis.ConnectionError):  # the server stops before this thread
            for _ in self._pubsub.listen():
                self._received.put(time.perf_counter())

    def round_trip(self) -> float:
        """Publish a message. Return the seconds until it is received."""
        start = time.perf_counter()
        self.client.publish("bare", b"x")
        return self._received.get(timeout=SECONDS) - start


def measure(stack: Stack, edits: int) -> dict[str, list[float]]:
    """Return the seconds of each edit, by kind."""
    application = Application(stack.worker().url, stack.flask("application", "create", "Bench", "bench")[0])
    stack.games(1)
    application.events.get(timeout=SECONDS)
    settings = Settings.from_environment(stack.environment)
    db.bind(db.make_engine(settings.database_url))
    publish_after_commit(Bus(settings.redis_url))
    committed: list[float] = []
    event.listen(Session, "after_commit", lambda session: committed.append(time.perf_counter()), insert=True)

    site = RunningSite(stack.settings)
    site.wait_until_ready()
    try:
        browser = sign_in(site)
        form = f"{site.url}/manage/games/g0/edit"
        token = token_of(browser, form)
        echo = Echo(settings.redis_url)
        times: dict[str, list[float]] = {"bare": [], "service": [], "post": [], "post_answer": []}
        for number in range(edits):
            times["bare"].append(echo.round_trip())
            description = f"edit {number} by the service."
            with db.transaction() as session:
                edit_game(session, "g0", description=description)
            times["service"].append(application.wait_for(description) - committed[-1])
            description = f"edit {number} by a browser."
            fields = {"name": "The Realm g0", "short_name": "g0", "description": description, "display": "y"}
            start = time.perf_counter()
            post(browser, form, token, **fields)
            times["post_answer"].append(time.perf_counter() - start)
            times["post"].append(application.wait_for(description) - start)
        return times
    finally:
        site.stop()


def main() -> None:
    """Print one JSON object with milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    with Stack(options.database) as stack:
        times = measure(stack, options.edits)
    print(
        json.dumps(
            {"database": options.database.partition(":")[0] or "sqlite", "edits": options.edits}
            | {
                kind: {
                    "p50_ms": round(quantile(values, 0.5) * 1000, 2),
                    "p99_ms": round(quantile(values, 0.99) * 1000, 2),
                }
                for kind, values in times.items()
            }
        )
    )


if __name__ == "__main__":
    main()
