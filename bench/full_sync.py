"""Measure a full sync of many games to one application: its time, the worker's memory, and the delay of chat meanwhile.

    python -m bench.full_sync [--games 1000,10000,50000] [--channels 500] [--database postgresql://…]

Prints one JSON object for each number of games. `ratio` compares the sync with a plain SELECT of the same rows and
their conversion to JSON in Python. `worker_rss_mib` is the worker's memory before the sync and its peak. While the
state is sent, one game sends a line every 5 ms and another receives it: compare `during_worst` with `calm_worst` to
see what the sync costs other games.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from pathlib import Path
from typing import Any

import websocket
from sqlalchemy import text

from bench.machine import quantile, resident_kib
from bench.stack import Stack
from shared import db
from shared.services.authority.actors import OPERATOR


def connect(url: str, credentials: dict[str, str], **payload: Any) -> websocket.WebSocket:
    """Return a socket that has sent `authenticate`."""
    # The library checks UTF-8 in pure Python, which would take longer than the sync.
    socket = websocket.create_connection(url, timeout=120, enable_multithread=True, skip_utf8_validation=True)
    keys = {name: credentials[name] for name in ("client_id", "client_secret")}
    socket.send(json.dumps({"event": "authenticate", "payload": {**keys, "supports": ["channels"], **payload}}))
    return socket


class Talk:
    """One game sends lines, another receives them. `delays` are in seconds."""

    def __init__(self, url: str, speaker: dict[str, str], listener: dict[str, str]) -> None:
        self.delays: list[float] = []
        self._speaker = connect(url, speaker, channels=["gossip"])
        self._listener = connect(url, listener, channels=["gossip"])
        self._is_over = False
        for socket in (self._speaker, self._listener):
            while "heartbeat" not in socket.recv():
                pass
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._speak, self._listen)]
        for thread in self._threads:
            thread.start()

    def _speak(self) -> None:
        while not self._is_over:
            message = {"channel": "gossip", "name": "Bench", "message": str(time.perf_counter())}
            self._speaker.send(json.dumps({"event": "channels/send", "payload": message}))
            time.sleep(0.005)

    def _listen(self) -> None:
        while not self._is_over:
            frame = json.loads(self._listener.recv())
            if frame["event"] == "channels/broadcast":
                self.delays.append(time.perf_counter() - float(frame["payload"]["message"]))

    def stop(self) -> list[float]:
        """Stop, and return the delays."""
        self._is_over = True
        for thread in self._threads:
            thread.join(5)
        return self.delays


def plain_select(stack: Stack) -> float:
    """Return the seconds of a SELECT of the rows and their conversion to JSON: the least that a full sync has to do."""
    engine = db.make_engine(stack.settings["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
    start = time.perf_counter()
    with engine.execution_options(deferred=True).connect() as connection:
        ways: dict[int, list[Any]] = {}
        query = text("SELECT id, game_id, type, url, host, port FROM game_connections")
        for way in connection.execute(query).mappings():
            ways.setdefault(way["game_id"], []).append(dict(way))
        rows = connection.execute(
            text("SELECT id, short_name, name, is_displayed, description, homepage_url, user_agent_id FROM games")
        )
        for row in rows.mappings():
            json.dumps({**row, "connections": ways.get(row["id"], [])})
    return time.perf_counter() - start


def measure(games: int, channels: int, database: str) -> dict[str, Any]:
    """Measure one number of games."""
    with Stack(database) as stack:
        stack.flask("channel", "create", "gossip")
        fill_channels(stack, channels)
        credentials = stack.games(games)
        application = stack.flask("application", "create", "Bench", "bench")[0]
        plain = plain_select(stack)
        worker = stack.worker(cpu=0)
        talk = Talk(worker.url, credentials[0], credentials[1])
        time.sleep(1)  # time is the subject: a second without a sync
        calm = len(talk.delays)
        before = resident_kib(worker.pid)
        Path(f"/proc/{worker.pid}/clear_refs").write_text("5")  # resets the peak

        frames = records = 0
        start = time.perf_counter()
        socket = connect(worker.url, application)
        while True:
            frame = str(socket.recv())
            frames += 1
            if frame.startswith(('{"event":"sync/games"', '{"event":"sync/channels"')):
                payload = json.loads(frame)["payload"]
                records += len(payload.get("games") or payload.get("channels"))
            elif frame.startswith('{"event":"sync/complete"'):
                break
        seconds = time.perf_counter() - start
        peak = resident_kib(worker.pid, "VmHWM")
        delays = talk.stop()
        return {
            "games": games,
            "channels": channels,
            "records": records,
            "frames": frames,
            "seconds": round(seconds, 3),
            "plain_select_and_json_seconds": round(plain, 3),
            "ratio": round(seconds / plain, 2),
            "us_a_record": round(seconds / records * 1e6, 1),
            "worker_rss_mib": [round(before / 1024, 1), round(peak / 1024, 1)],
            "chat_delay_ms": {
                "calm_p50": round(quantile(delays[:calm], 0.5) * 1000, 2),
                "calm_worst": round(max(delays[:calm]) * 1000, 2),
                "during_p50": round(quantile(delays[calm:], 0.5) * 1000, 2),
                "during_worst": round(max(delays[calm:]) * 1000, 2),
            },
        }


def fill_channels(stack: Stack, count: int) -> None:
    """Create channels in one transaction."""
    from shared.services import channels

    letters = "abcdefghijklmnopqrstuvwxyz"
    db.bind(db.make_engine(stack.settings["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")))
    with db.transaction() as session:
        for number in range(count - 1):
            name = "bench" + "".join(letters[number // 26**place % 26] for place in range(3))
            channels.create_channel(session, OPERATOR, name=name, description="A channel to measure", is_hidden=True)


def main() -> None:
    """Print one JSON object for each number of games."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--games", default="1000,10000,50000")
    parser.add_argument("--channels", type=int, default=500)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    for games in map(int, options.games.split(",")):
        print(json.dumps(measure(games, options.channels, options.database)), flush=True)


if __name__ == "__main__":
    main()
