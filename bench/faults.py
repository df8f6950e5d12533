"""What happens when a worker is killed and when Redis goes away, with real processes: prints what was seen, and when.

python -m bench.faults [--presence-seconds 45]
"""

from __future__ import annotations

import argparse
import signal
import time

from bench.stack import Stack
from tests.support.client import SocketClient

SUPPORTS = ["channels", "players", "tells", "games"]


class Diary:
    """Lines with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def note(self, text: str) -> None:
        """Print a line."""
        print(f"{time.monotonic() - self._start:7.2f} s  {text}", flush=True)


def enter(url: str, credentials: dict[str, str], *players: str) -> SocketClient:
    """A game that is online with these players."""
    socket = SocketClient(url)
    socket.players = list(players)
    socket.authenticate(
        credentials["client_id"],
        credentials["client_secret"],
        supports=SUPPORTS,
        channels=["gossip"],
        players=list(players),
        version="2.4.0",
    )
    return socket


def players_of(socket: SocketClient, game: str) -> list[str]:
    """Who is online in a game, as another sees it."""
    found: list[str] = socket.request("players/status", {"game": game})["payload"]["players"]
    return found


def say(socket: SocketClient, text: str) -> str:
    """Say a line; returns what the worker answered."""
    message = {"channel": "gossip", "name": "Wren", "message": text}
    return str(socket.request("channels/send", message, seconds=15)["status"])


def heard(socket: SocketClient, count: int, seconds: float = 30) -> list[str]:
    """The next lines that a socket hears."""
    return [socket.wait_for("channels/broadcast", seconds=seconds)["payload"]["message"] for _ in range(count)]


def kill(stack: Stack, diary: Diary) -> None:
    """kill -9 of a worker: its players are gone from the other's view within a minute."""
    first, second = stack.worker(), stack.worker()
    one, other = stack.games(2, "k")
    watcher = enter(first.url, one, "Odo")
    enter(second.url, other, "Wren", "Ash")
    while players_of(watcher, "k1") != ["Ash", "Wren"]:
        pass
    diary.note(f"two workers; the first sees {players_of(watcher, 'k1')} online in k1, connected to the second")
    second.process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    diary.note("kill -9 of the second worker")
    while players_of(watcher, "k1"):
        watcher.settle()
        time.sleep(0.1)
    diary.note(f"the first sees nobody in k1: {time.monotonic() - killed:.1f} s after the kill")
    watcher.wait_for("games/disconnect", payload={"game": "k1"}, seconds=180)
    diary.note(f"games/disconnect of k1: {time.monotonic() - killed:.1f} s after the kill")


def redis_away(stack: Stack, diary: Diary) -> None:
    """Redis stopped and started: each worker goes on by itself, and they catch up."""
    first, second = stack.workers[0], stack.worker()
    credentials = stack.games(3, "r")
    speaker = enter(first.url, credentials[0], "Wren")
    near = enter(first.url, credentials[1], "Odo")
    far = enter(second.url, credentials[2], "Ash")
    say(speaker, "before")
    diary.note(f"Redis is there; same worker hears {heard(near, 1)}, the other one {heard(far, 1)}")
    stack.valkey.stop()
    diary.note("Redis stopped")
    lines = [f"line {number}" for number in range(1, 21)]
    answers = [say(speaker, line) for line in lines]
    diary.note(f"20 lines said: {answers.count('success')} acknowledged; same worker heard {len(heard(near, 20))}")
    far.settle()
    diary.note(f"the other worker's socket heard {len(far.events('channels/broadcast')) - 1} of them so far")
    stack.valkey.start()
    started = time.monotonic()
    diary.note("Redis started")
    late = heard(far, 20)
    diary.note(
        f"the other worker's socket has all 20 after {time.monotonic() - started:.1f} s, in order: {late == lines}"
    )
    say(speaker, "after")
    diary.note(f"and goes on with {heard(far, 1)}; none came twice: {len(far.events('channels/broadcast')) == 22}")
    while players_of(near, "r2") != ["Ash"] or players_of(far, "r0") != ["Wren"]:
        pass
    diary.note("both workers see each other's players again; no socket was closed")


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presence-seconds", default="45")
    options = parser.parse_args()
    diary = Diary()
    with Stack("", PRESENCE_SECONDS=options.presence_seconds) as stack:
        stack.flask("channel", "create", "gossip")
        kill(stack, diary)
        redis_away(stack, diary)


if __name__ == "__main__":
    main()
