"""Measure what single requests cost the worker, and how that grows with the number of games online or of stored lines.

    python -m bench.paths [tells] [status] [heartbeats] [history] [--games 100 1000] [--lines 1000 100000]

Games have the flags of real games and twenty players each. Prints one JSON object for each path and size, and one for
each path that says how the cost grows (`exponent`: 0 is constant, 1 a straight line).

    tells       a tell from one game to another: `cpu_ms` of the worker and Redis, `p50_ms` until it is received
    status      `players/status` and `games/status` for all games: `cpu_ms` for one answer about all of them
    heartbeats  all games answer with twenty players: `cpu_ms` for one heartbeat, there and back
    history     a page of 50 lines, the newest and one from the middle
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, update

from bench.clients import PLAYERS, Game, open_game
from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, exponent, on_own_core, quantile
from bench.stack import Stack
from shared import db
from shared.models import Channel, Message
from shared.models.version import Counter

REPEATS = 20
TELLS = 300
HEARTBEAT_SECONDS = 3
BEATS = 4

Figures = dict[str, float]


class Network:
    """A worker with some games online."""

    def __init__(self, stack: Stack, games: list[Game]) -> None:
        self._stack = stack
        self.games = games

    async def cost(self, repeats: int, act: Callable[[int], Awaitable[None]]) -> float:
        """Return the CPU milliseconds of one call, the mean of many."""
        before = cpu_seconds(self._stack.pids)
        for number in range(repeats):
            await act(number)
        return round((cpu_seconds(self._stack.pids) - before) * 1000 / repeats, 3)


async def receive(game: Game, text: bytes, count: int = 1) -> None:
    """Wait until a game has received a text so many times, and forget what it has received."""
    deadline = time.monotonic() + 20
    while game.received.count(text) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{text!r} did not arrive {count} times")
        await asyncio.sleep(0.0005)
    game.received.clear()


async def tells(network: Network) -> Figures:
    """A tell between two games."""
    sender, receiver = network.games[:2]
    delays: list[float] = []

    async def tell(number: int) -> None:
        started = time.perf_counter()
        payload = {"from_name": "player0of0", "to_name": "player0of1", "to_game": receiver.credentials["short_name"]}
        sender.send({"event": "tells/send", "ref": "t", "payload": {**payload, "message": f"tell {number} ends"}})
        await receive(receiver, f"tell {number} ends".encode())
        delays.append((time.perf_counter() - started) * 1000)

    cpu = await network.cost(TELLS, tell)
    return {"cpu_ms": cpu, "p50_ms": round(quantile(delays, 0.5), 2), "p99_ms": round(quantile(delays, 0.99), 2)}


async def status(network: Network) -> Figures:
    """Both requests for all games."""
    asking, count = network.games[0], len(network.games) - 1
    figures = {}
    for event in ("players/status", "games/status"):

        async def ask(_: int, event: str = event) -> None:
            asking.send({"event": event, "ref": "all"})
            await receive(asking, f'"event":"{event}"'.encode(), count)

        await ask(0)
        figures[event.replace("/", "_") + "_cpu_ms"] = await network.cost(REPEATS, ask)
    return {"cpu_ms": figures["players_status_cpu_ms"], **figures}


async def heartbeats(network: Network) -> Figures:
    """Nothing but heartbeats for a while."""
    cpu = await network.cost(1, lambda _: asyncio.sleep(BEATS * HEARTBEAT_SECONDS))
    return {"cpu_ms": round(cpu / (BEATS * len(network.games)), 4), "cpu_ms_of_all": round(cpu / BEATS, 1)}


async def history(network: Network, lines: int) -> Figures:
    """Two pages of 50 lines."""
    asking = network.games[0]
    figures = {}
    for name, extra in (("newest", {}), ("middle", {"before": lines // 2})):

        async def ask(_: int, extra: dict[str, int] = extra) -> None:
            asking.send({"event": "channels/history", "ref": "h", "payload": {"channel": "bench", **extra}})
            await receive(asking, b'"ref":"h"')

        await ask(0)
        figures[name + "_cpu_ms"] = await network.cost(5 * REPEATS, ask)
    return {"cpu_ms": figures["middle_cpu_ms"], **figures}


def store_lines(stack: Stack, count: int) -> None:
    """Fill the history of the channel."""
    db.bind(db.make_engine(stack.settings["DATABASE_URL"]))
    with db.transaction() as session:
        channel_id = session.query(Channel.id).filter_by(name="bench").scalar()
        common = {"peer": "game:1", "game": "g1", "name": "Wren", "worker": "bench", "sent_at": datetime.now(UTC)}
        rows = [
            {"id": number, "channel_id": channel_id, "text": f"Line {number} of many. " * 5, **common}
            for number in range(1, count + 1)
        ]
        session.execute(insert(Message), rows)
        session.execute(update(Counter).where(Counter.name == "messages").values(value=count))


async def measure(stack: Stack, size: int, path: Callable[[Network], Awaitable[Figures]]) -> Figures:
    """Bring this many games online, and measure a path."""
    worker = stack.worker(SERVER_CORE)
    games = [Game(number, keys, "codebase") for number, keys in enumerate(stack.games(size))]
    for game in games[:2]:
        game.keeps = True
    for start in range(0, size, 100):
        await asyncio.gather(*(open_game(worker.port, game) for game in games[start : start + 100]))
    await asyncio.sleep(HEARTBEAT_SECONDS + 1)  # until all have listed their players
    for game in games[:2]:
        game.received.clear()
    return await path(Network(stack, games))


PATHS: dict[str, Callable[[Network], Awaitable[Figures]]] = {
    "tells": tells,
    "status": status,
    "heartbeats": heartbeats,
}


def main() -> None:
    """Measure each path at each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=[*PATHS, "history"])
    parser.add_argument("--games", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--lines", type=int, nargs="+", default=[1000, 100_000])
    options = parser.parse_args()
    on_own_core(LOAD_CORE)
    for name in options.what:
        sizes = options.lines if name == "history" else options.games
        costs: list[float] = []
        for size in sizes:
            with Stack(HEARTBEAT_SECONDS=str(HEARTBEAT_SECONDS)) as stack:
                stack.flask("channel", "create", "bench")
                path: Any = PATHS.get(name)
                if name == "history":
                    store_lines(stack, size)
                    path = lambda network, size=size: history(network, size)  # noqa: E731
                figures = asyncio.run(measure(stack, 3 if name == "history" else size, path))
            costs.append(figures["cpu_ms"])
            unit = "lines" if name == "history" else "games"
            print(json.dumps({"path": name, unit: size, "players_each": PLAYERS, **figures}), flush=True)
        if len(sizes) > 1:
            print(json.dumps({"path": name, "exponent": round(exponent(sizes, costs), 2)}), flush=True)


if __name__ == "__main__":
    main()
