"""Measure whether a worker's memory grows under mixed traffic.

    python -m bench.soak [--frames 1000000] [--games 50] [--database postgresql://…]

Games connect and disconnect, chat, sign players in and out, send tells and ask who is online. One game is edited
every 10 seconds. Frames are counted in both directions.

Prints one JSON object every 10 seconds and one at the end. `at_the_end_mib` should be close to
`after_a_minute_mib`; `failures` counts the workers' failure replies by code.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from typing import Any

import websocket

from bench.machine import resident_kib
from bench.stack import Stack


class Player:
    """One game's client, in its own thread. Sends the next request as soon as the last is answered."""

    def __init__(self, url: str, credentials: dict[str, str], name: str, games: list[str], seed: int) -> None:
        self.frames = 0
        self.failures: dict[str, int] = {}
        self._url = url
        self._credentials = {key: credentials[key] for key in ("client_id", "client_secret")}
        self._name = name
        self._games = games
        self._random = random.Random(seed)
        self._is_over = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End after the current request."""
        self._is_over = True

    def _run(self) -> None:
        while not self._is_over:
            socket = websocket.create_connection(self._url, timeout=30, skip_utf8_validation=True)
            try:
                self._talk(socket)
            finally:
                socket.close()

    def _talk(self, socket: websocket.WebSocket) -> None:
        supports = ["channels", "players", "tells", "games"]
        hello = {**self._credentials, "supports": supports, "channels": ["gossip"], "players": [self._name]}
        self._ask(socket, "authenticate", hello)
        for _ in range(self._random.randint(200, 400)):
            if self._is_over:
                return
            self._ask(socket, *self._random_request())

    def _random_request(self) -> tuple[str, dict[str, Any]]:
        other = self._random.choice(self._games)
        choice = self._random.random()
        if choice < 0.5:
            return "channels/send", {"channel": "gossip", "name": self._name, "message": "A line of chat. " * 5}
        if choice < 0.6:
            return self._random.choice(["players/sign-in", "players/sign-out"]), {"name": "Visitor"}
        if choice < 0.8:
            tell = {"from_name": self._name, "to_game": other, "to_name": f"P{other}", "message": "Psst."}
            return "tells/send", tell
        if choice < 0.9:
            return self._random.choice(["games/status", "players/status"]), {"game": other}
        return self._random.choice(["channels/subscribe", "channels/unsubscribe"]), {"channel": "testing"}

    def _ask(self, socket: websocket.WebSocket, event: str, payload: dict[str, Any]) -> None:
        socket.send(json.dumps({"event": event, "ref": "soak", "payload": payload}))
        self.frames += 1
        while True:
            frame = json.loads(socket.recv())
            self.frames += 1
            if frame["event"] == "heartbeat":
                socket.send('{"event":"heartbeat"}')
            if frame.get("ref") == "soak":
                if frame.get("status") == "failure":
                    self.failures[frame["code"]] = self.failures.get(frame["code"], 0) + 1
                return


def main() -> None:
    """Print one JSON object every 10 seconds, and one at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--games", type=int, default=50)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    with Stack(options.database, HEARTBEAT_SECONDS="600") as stack:
        for channel in ("gossip", "testing"):
            stack.flask("channel", "create", channel)
        credentials = stack.games(options.games)
        names = [game["short_name"] for game in credentials]
        worker = stack.worker()
        players = [
            Player(worker.url, game, f"P{game['short_name']}", names, seed) for seed, game in enumerate(credentials)
        ]
        start = time.monotonic()
        first_kib = edits = 0
        while sum(player.frames for player in players) < options.frames:
            time.sleep(10)
            edits += 1
            stack.flask("game", "update", names[0], "--description", f"edit {edits}")
            if not first_kib and time.monotonic() - start >= 60:
                first_kib = resident_kib(worker.pid)
            report = {
                "seconds": round(time.monotonic() - start),
                "frames": sum(player.frames for player in players),
                "rss_mib": round(resident_kib(worker.pid) / 1024, 1),
            }
            print(json.dumps(report), flush=True)
        for player in players:
            player.stop()
        failures: dict[str, int] = {}
        for player in players:
            for code, count in player.failures.items():
                failures[code] = failures.get(code, 0) + count
        last_kib = resident_kib(worker.pid)
        result = {"after_a_minute_mib": round(first_kib / 1024, 1), "at_the_end_mib": round(last_kib / 1024, 1)}
        print(json.dumps(report | result | {"failures": failures}))


if __name__ == "__main__":
    main()
