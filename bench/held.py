"""A steady load for minutes: does every line arrive, how late, and does the worker's memory stay flat?

    python -m bench.held [--seconds 600] [--databases sqlite postgres] [--rounds held stalled]

    held     5,000 games with twenty players each are online. 1,000 of them are on a channel with 20 lines a second.
    stalled  1,000 games are on a channel with 20 long lines a second, and 200 of them do not read.

The worker and its Redis have one core, the games the other. Read for each round:

    lines         lines that were sent, of which the worker has acknowledged `stored`
    refused       lines that it refused, by code, and lines without an answer
    arrived       deliveries that arrived / that should have: of each stored line, to each game that reads
    dropped       games that read and lost their connection
    speakers_lost the speakers' connections that ended, with the last bytes that they received
    logged        the worker's warnings and errors
    given_up      games that did not read and lost theirs: the worker closes those for which too much waits
    mib           memory of the worker before the load, after a quarter of it, and at the end
    p50_ms, p99_ms, max_ms  delay of a line, in every twentieth game that reads
    server_core   the share of its core that the worker and Redis used
    foreign_cores how many cores were busy with something else
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from bench.clients import Game, open_game
from bench.coming_back import AT_ONCE
from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, foreign_load, quantile, resident_kib
from bench.stack import Stack
from tests.support.postgres import Postgres

LINES_PER_SECOND = 20
SPEAKERS = 20
SAMPLED = 20
STAMP = re.compile(rb"sent at (\d+\.\d{6});")
STAMP_BYTES = 40
ANSWER = re.compile(rb'"event":"channels/send","ref":"\d+","status":"(?:(success)|failure"[^}]*"code":"([a-z-]+))"')
ANSWER_BYTES = 1000
CALM_SECONDS = 20.0  # after the last game has connected; what connecting costs is measured by bench.coming_back
LAST_SECONDS = 10.0


@dataclass(frozen=True)
class Round:
    """How many games are online, how many of those listen, and how many of those do not read."""

    games: int
    listeners: int
    stalled: int
    text_bytes: int


ROUNDS = {"held": Round(5_000, 1_000, 0, 80), "stalled": Round(1_000, 1_000, 200, 2_000)}


@dataclass
class Listener(Game):
    """A game that counts the lines it receives, and measures their delays if it is sampled."""

    delays: list[float] | None = None
    lines: int = 0
    is_lost: bool = False
    rest: bytes = b""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        now, end = time.perf_counter(), 0
        text = self.rest + data
        for match in STAMP.finditer(text):
            self.lines += 1
            end = match.end()
            if self.delays is not None:
                self.delays.append((now - float(match[1])) * 1000)
        self.rest = text[max(end, len(text) - STAMP_BYTES) :]  # it may end with a part of a stamp

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True


@dataclass
class Speaker(Game):
    """A socket that sends lines, and reads what becomes of each."""

    answers: Counter[str] = field(default_factory=Counter)
    is_lost: bool = False
    rest: bytes = b""
    last_bytes: str = ""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.last_bytes = data[-200:].decode("utf-8", "replace")
        text = self.rest + data
        end = 0
        for match in ANSWER.finditer(text):
            self.answers[(match[1] or match[2]).decode()] += 1
            end = match.end()
        self.rest = text[max(end, len(text) - ANSWER_BYTES) :]

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True


async def speak(speakers: list[Speaker], text_bytes: int, seconds: float) -> int:
    """Send lines at a steady pace, each speaker in turn. Return their number."""
    started_at, count = time.perf_counter(), round(LINES_PER_SECOND * seconds)
    for number in range(count):
        await asyncio.sleep(started_at + number / LINES_PER_SECOND - time.perf_counter())
        text = f"sent at {time.perf_counter():.6f};".ljust(text_bytes, ".")
        line = {"channel": "bench", "name": "player", "message": text}
        speakers[number % SPEAKERS].send({"event": "channels/send", "ref": str(number), "payload": line})
    return count


async def hold(port: int, credentials: list[dict[str, str]], plan: Round, seconds: float, pid: int) -> dict[str, Any]:
    """Connect the games, let them chat, and return the figures."""
    delays: list[float] = []
    games = [
        Listener(
            number,
            each,
            "codebase",
            channels=["bench"] if number < plan.listeners else [],
            delays=delays if number % SAMPLED == 0 and number >= plan.stalled else None,
        )
        for number, each in enumerate(credentials[:-1])
    ]
    # All speakers are sockets of one game, which does not receive its own lines: every listener gets every line.
    speakers = [Speaker(0, credentials[-1], "codebase") for _ in range(SPEAKERS)]
    stalled, listeners, reading = games[: plan.stalled], games[plan.stalled : plan.listeners], games[plan.stalled :]
    room = asyncio.Semaphore(AT_ONCE)

    async def open_one(game: Game) -> None:
        async with room:
            await open_game(port, game)

    await asyncio.gather(*(open_one(game) for game in [*games, *speakers]))
    for game in stalled:
        assert game.transport is not None
        game.transport.pause_reading()
    await asyncio.sleep(CALM_SECONDS)

    mib = [resident_kib(pid) // 1024]
    speaking = asyncio.create_task(speak(speakers, plan.text_bytes, seconds))
    await asyncio.sleep(seconds / 4)
    mib.append(resident_kib(pid) // 1024)
    lines = await speaking
    mib.append(resident_kib(pid) // 1024)
    deadline = time.monotonic() + LAST_SECONDS
    answers: Counter[str] = Counter()
    while time.monotonic() < deadline:
        answers = sum((speaker.answers for speaker in speakers), Counter())
        if answers.total() == lines and sum(game.lines for game in listeners) == answers["success"] * len(listeners):
            break
        await asyncio.sleep(0.1)
    stored = answers.pop("success", 0)
    dropped = sum(game.is_lost for game in reading)
    for game in stalled:  # only those that read notice that they were given up
        assert game.transport is not None
        game.transport.resume_reading()
    await asyncio.sleep(LAST_SECONDS / 2 if stalled else 0)
    return {
        "lines": lines,
        "stored": stored,
        "refused": answers | {"unanswered": lines - stored - answers.total()},
        "arrived": f"{sum(game.lines for game in listeners)} / {stored * len(listeners)}",
        "speakers_lost": [speaker.last_bytes for speaker in speakers if speaker.is_lost],
        "dropped": dropped,
        "given_up": sum(game.is_lost for game in stalled),
        "mib": mib,
        "p50_ms": round(quantile(delays, 0.5), 1),
        "p99_ms": round(quantile(delays, 0.99), 1),
        "max_ms": round(max(delays), 1),
    }


def logged(lines: list[str]) -> Counter[str]:
    """Return how often the worker has logged each warning and error."""
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return Counter(entry["event"] for entry in entries if entry.get("level") in ("warning", "error", "critical"))


def measure(name: str, database: str, seconds: float) -> dict[str, Any]:
    """Run one round, and return its figures."""
    plan = ROUNDS[name]
    with ExitStack() as stack:
        url = ""
        if database == "postgres":
            server = Postgres()
            stack.callback(server.close)
            url = server.create_database()
        network = stack.enter_context(Stack(url))
        network.flask("channel", "create", "bench")
        credentials = network.games(plan.games + 1)
        worker = network.worker(SERVER_CORE)
        started_at, used = time.monotonic(), cpu_seconds(network.pids)
        with foreign_load(network.pids) as noise:
            figures = asyncio.run(hold(worker.port, credentials, plan, seconds, worker.pid))
        figures["logged"] = logged(worker.lines)
        share = (cpu_seconds(network.pids) - used) / (time.monotonic() - started_at)
        return figures | {"server_core": round(share, 2), "foreign_cores": round(noise.cores, 2)}


def main() -> None:
    """Print one JSON object for each round and database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--databases", nargs="+", choices=("sqlite", "postgres"), default=["sqlite"])
    parser.add_argument("--rounds", nargs="+", choices=list(ROUNDS), default=list(ROUNDS))
    options = parser.parse_args()
    if LOAD_CORE in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {LOAD_CORE})
    for database in options.databases:
        for name in options.rounds:
            print(
                json.dumps({"round": name, "database": database} | measure(name, database, options.seconds)), flush=True
            )


if __name__ == "__main__":
    main()
