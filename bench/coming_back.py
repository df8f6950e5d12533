"""All games come back at once, as after the restart of a worker: how long until the last one is in and sees the others.

    python -m bench.coming_back [--games 1000 5000] [--workers 1 2] [--databases sqlite postgres] [--rounds 3]

Each game opens one socket with the flags of a real game server, and lists twenty players with its first heartbeat. Then
the workers are restarted, so that every socket drops, and all games connect again as fast as they can, 200 at a time.
The first round is a first start: each game declares a user agent that the network does not know.

The workers share one core with their Redis, the games have the other. Read for each round:

    seconds              from the first connection to the last successful answer to `authenticate`
    seconds_to_see_all   the same, until one game sees all others with their players in `players/status`
    connects_per_s       games / seconds
    cpu_ms_per_connect   CPU of the workers and their Redis; a growth with the number of games would show here
    chat_p50_ms, _p99_ms  delay of chat lines between two games that are in already, meanwhile

The last line of each database and number of workers says how the CPU time for all connects grows with the number of
games: `exponent` is 1 for a straight line. `postgres` starts a throwaway server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import ExitStack
from itertools import product

from bench.clients import PLAYERS, Game, open_game
from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, exponent, foreign_load, on_own_core, quantile
from bench.stack import Stack
from tests.support.postgres import Postgres

AT_ONCE = 200
CHAT_SECONDS = 0.05


async def chat(speaker: Game, listener: Game, delays: list[float]) -> None:
    """Say a line every CHAT_SECONDS and note how long each takes, until cancelled."""
    number = 0
    while True:
        number += 1
        mark = f"line {number} ends".encode()
        started = time.perf_counter()
        line = {"channel": "talk", "name": "player", "message": mark.decode()}
        speaker.send({"event": "channels/send", "payload": line})
        while mark not in listener.received:
            await asyncio.sleep(0.001)
        delays.append((time.perf_counter() - started) * 1000)
        listener.received.clear()
        await asyncio.sleep(CHAT_SECONDS)


async def see_all(observer: Game, count: int) -> None:
    """Ask for `players/status` until every other game is in the answers, with all of its players."""
    last = f'"player{PLAYERS - 1}of'.encode()
    while True:
        observer.received.clear()
        observer.send({"event": "players/status", "ref": "all"})
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            if observer.received.count(last) >= count:
                return


async def come_back(port: int, credentials: list[dict[str, str]], agents: str) -> dict[str, float]:
    """Connect all games; the first two chat meanwhile, the third watches. Closes all of them at the end."""
    games = [Game(number, each, f"{agents} {number}") for number, each in enumerate(credentials)]
    for game in games[:2]:
        game.channels = [
            "talk"
        ]  # of their own, so that no deliveries to all others are counted as the cost of connects
    speaker, listener, observer = games[:3]
    listener.keeps = observer.keeps = True
    for game in games[:3]:
        await open_game(port, game)
    delays: list[float] = []
    chatting = asyncio.create_task(chat(speaker, listener, delays))
    room = asyncio.Semaphore(AT_ONCE)

    async def open_one(game: Game) -> None:
        async with room:
            await open_game(port, game)

    started = time.perf_counter()
    await asyncio.gather(*(open_one(game) for game in games[3:]))
    seconds = time.perf_counter() - started
    await see_all(observer, len(games) - 1)
    seconds_to_see_all = time.perf_counter() - started
    chatting.cancel()
    for game in games:
        assert game.transport is not None
        game.transport.abort()
    return {
        "seconds": round(seconds, 2),
        "seconds_to_see_all": round(seconds_to_see_all, 2),
        "connects_per_s": round((len(games) - 3) / seconds),
        "chat_p50_ms": round(quantile(delays, 0.5), 1) if delays else 0.0,
        "chat_p99_ms": round(quantile(delays, 0.99), 1) if delays else 0.0,
    }


def measure(count: int, workers: int, database: str, rounds: int) -> list[float]:
    """Print one JSON object for each round. Return the CPU seconds for all connects of those after the first."""
    seconds = []
    with Stack(database) as stack:
        for channel in ("bench", "talk"):
            stack.flask("channel", "create", channel)
        credentials = stack.games(count, prefix=f"n{count}")
        for number in range(rounds):
            stack.stop_workers()
            port = stack.start_workers(workers, SERVER_CORE)[0].port
            before = cpu_seconds(stack.pids)
            with foreign_load(stack.pids) as noise:
                result = asyncio.run(come_back(port, credentials, "codebase"))
            used = cpu_seconds(stack.pids) - before
            if number:
                seconds.append(used)
            facts = {
                "database": "postgres" if database else "sqlite",
                "workers": workers,
                "games": count,
                "round": "come back" if number else "first start",
            }
            result |= {"cpu_ms_per_connect": round(used * 1000 / count, 3), "foreign_cores": round(noise.cores, 2)}
            print(json.dumps({**facts, **result}), flush=True)
    return seconds


def main() -> None:
    """Measure each database, number of workers and number of games."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--databases", nargs="+", default=["sqlite"], choices=["sqlite", "postgres"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    on_own_core(LOAD_CORE)
    with ExitStack() as cleanup:
        server = Postgres() if "postgres" in options.databases else None
        if server is not None:
            cleanup.callback(server.close)
        for database, workers in product(options.databases, options.workers):
            sizes, costs = [], []
            for count in options.games:
                url = server.create_database() if server is not None and database == "postgres" else ""
                for cost in measure(count, workers, url, options.rounds):
                    sizes.append(count)
                    costs.append(cost)
            if len(set(sizes)) > 1:
                growth = {"database": database, "workers": workers, "exponent": round(exponent(sizes, costs), 2)}
                print(json.dumps(growth), flush=True)


if __name__ == "__main__":
    main()
