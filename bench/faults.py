"""Kill a worker and stop Redis, with real processes, and print what the other sockets notice and when.

    python -m bench.faults [--presence-seconds 45]

Prints lines with the seconds since the start. After the kill, the players of the dead worker must be gone within
about --presence-seconds, followed later by one `games/disconnect`. While Redis is stopped, every line must be
acknowledged and delivered on its own worker; after Redis is back, the other worker must deliver all of them in
order and none twice.
"""

from __future__ import annotations

import argparse
import signal
import time

from bench.stack import Stack
from tests.support.client import SocketClient

SUPPORTS = ["channels", "players", "tells", "games"]


class Diary:
    """Prints lines with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def note(self, text: str) -> None:
        """Print a line."""
        print(f"{time.monotonic() - self._start:7.2f} s  {text}", flush=True)


def enter(url: str, credentials: dict[str, str], *players: str) -> SocketClient:
    """Return the socket of a game that is online with these players."""
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
    """Return the players of a game, as another game sees them."""
    players: list[str] = socket.request("players/status", {"game": game})["payload"]["players"]
    return players


def say(socket: SocketClient, text: str) -> str:
    """Send a line. Return the status of the worker's reply."""
    message = {"channel": "gossip", "name": "Wren", "message": text}
    return str(socket.request("channels/send", message, seconds=15)["status"])


def receive(socket: SocketClient, count: int, seconds: float = 30) -> list[str]:
    """Return the next lines that a socket receives."""
    return [socket.wait_for("channels/broadcast", seconds=seconds)["payload"]["message"] for _ in range(count)]


def kill(stack: Stack, diary: Diary) -> None:
    """Kill a worker with kill -9. Its players must disappear from the other worker's view within a minute."""
    first, second = stack.worker(), stack.worker()
    watching, watched = stack.games(2, "k")
    watcher = enter(first.url, watching, "Odo")
    enter(second.url, watched, "Wren", "Ash")
    while players_of(watcher, "k1") != ["Ash", "Wren"]:
        pass
    diary.note(f"two workers; the first sees {players_of(watcher, 'k1')} online in k1, connected to the second")
    second.process.send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    diary.note("kill -9 of the second worker")
    while players_of(watcher, "k1"):
        watcher.settle()
        time.sleep(0.1)
    diary.note(f"the first sees nobody in k1: {time.monotonic() - killed_at:.1f} s after the kill")
    watcher.wait_for("games/disconnect", payload={"game": "k1"}, seconds=180)
    diary.note(f"games/disconnect of k1: {time.monotonic() - killed_at:.1f} s after the kill")


def redis_away(stack: Stack, diary: Diary) -> None:
    """Stop and start Redis. Each worker must go on by itself, and both must catch up."""
    first, second = stack.workers[0], stack.worker()
    credentials = stack.games(3, "r")
    speaker = enter(first.url, credentials[0], "Wren")
    near = enter(first.url, credentials[1], "Odo")
    far = enter(second.url, credentials[2], "Ash")
    say(speaker, "before")
    diary.note(
        f"Redis is up; the same worker's socket receives {receive(near, 1)}, the other worker's {receive(far, 1)}"
    )
    stack.valkey.stop()
    diary.note("Redis stopped")
    lines = [f"line {number}" for number in range(1, 21)]
    answers = [say(speaker, line) for line in lines]
    acknowledged = answers.count("success")
    diary.note(
        f"20 lines sent: {acknowledged} acknowledged; the same worker's socket received {len(receive(near, 20))}"
    )
    far.settle()
    diary.note(f"the other worker's socket received {len(far.events('channels/broadcast')) - 1} of them so far")
    stack.valkey.start()
    started_at = time.monotonic()
    diary.note("Redis started")
    late_lines = receive(far, 20)
    seconds = time.monotonic() - started_at
    diary.note(f"the other worker's socket has all 20 after {seconds:.1f} s, in order: {late_lines == lines}")
    say(speaker, "after")
    diary.note(
        f"then it receives {receive(far, 1)}; no line arrived twice: {len(far.events('channels/broadcast')) == 22}"
    )
    while players_of(near, "r2") != ["Ash"] or players_of(far, "r0") != ["Wren"]:
        pass
    diary.note("both workers see each other's players again; no socket was closed")


def main() -> None:
    """Run both scenarios."""
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
