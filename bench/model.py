"""Measure the constants of the cost model, and check what it predicts against two other sizes.

    python -m bench.model [--database postgresql://…]

Prints one JSON object for each thing that costs: a connection that is opened, a connection that stays open for one
heartbeat, a line, a delivery of a line, an edit. `cpu_ms` is of the worker and its Redis together; `redis_commands`
and `redis_bytes` (both directions) are what the worker exchanges with Redis. Then one object for each checked size,
with the cores that the model predicts and those that were used.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any

import redis

from bench.load import GOSSIP, fanbench, write_credentials
from bench.machine import LOAD_CORE, SERVER_CORE, compile_c, cpu_seconds, on_own_core, resident_kib
from bench.stack import Stack
from shared import db
from shared.bus import Bus, publish_after_commit
from tests.support.factory import edit_game

CHECKED = ((500, 20), (5000, 20))  # receivers, lines a second
SENDERS = 20
EDITS = 100
HEARTBEAT_SECONDS = 15
IDLE_SECONDS = 45
RATE_SECONDS = 6


@dataclass
class Usage:
    """What the worker and its Redis have used since their start."""

    cpu: float
    commands: int
    redis_bytes: int
    kib: int

    def minus(self, before: Usage, count: float) -> dict[str, float]:
        """Return the difference for each of `count` things."""
        return {
            "cpu_ms": round((self.cpu - before.cpu) * 1000 / count, 4),
            "redis_commands": round((self.commands - before.commands) / count, 3),
            "redis_bytes": round((self.redis_bytes - before.redis_bytes) / count),
            "kib": round((self.kib - before.kib) / count, 2),
        }


class Subject:
    """One network with a worker."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        stack.flask("channel", "create", "bench")
        games = stack.games(max(size for size, _ in CHECKED) + SENDERS)
        self._credentials = write_credentials(stack.folder / "credentials.jsonl", games)
        self._redis: redis.Redis = redis.Redis.from_url(stack.valkey.url)

    def usage(self) -> Usage:
        """Return what has been used so far."""
        stats: Any = self._redis.info("stats")
        transferred = stats["total_net_input_bytes"] + stats["total_net_output_bytes"]
        kib = sum(map(resident_kib, self.stack.pids))
        return Usage(cpu_seconds(self.stack.pids), stats["total_commands_processed"], transferred, kib)

    def load(self, mode: str, receivers: int, *options: object) -> dict[str, Any]:
        """Run fanbench against a fresh worker. The result has the usage before the start as `before`."""
        self.stack.stop_workers()
        worker = self.stack.worker(SERVER_CORE)
        time.sleep(0.5)  # the work of starting is not counted
        before = self.usage()
        program = compile_c("fanbench", self.stack.folder)
        load = ["--mode", mode, "--receivers", str(receivers), *map(str, options), "--creds", str(self._credentials)]
        return fanbench(program, worker.port, self.stack.pids, *GOSSIP, *load) | {"before": before}

    def rate(self, receivers: int, rate: int) -> dict[str, Any]:
        """Send lines at a rate. Return fanbench's result."""
        return self.load("rate", receivers, "--senders", SENDERS, "--rate", rate, "--duration", RATE_SECONDS)


def connections(subject: Subject) -> tuple[dict[str, float], dict[str, float]]:
    """Return the cost of opening a connection, and of keeping it for one heartbeat."""
    count = 1000
    subject.load("idle", count, "--hold", 0)  # the games' software is known from now on
    opened = subject.load("idle", count, "--hold", 1)
    at_once = subject.usage().minus(opened["before"], count)
    held = subject.load("idle", count, "--hold", IDLE_SECONDS)
    whole = subject.usage().minus(held["before"], count)
    beats = IDLE_SECONDS / HEARTBEAT_SECONDS
    kept = {name: round((whole[name] - at_once[name]) / beats, 4) for name in at_once if name != "kib"}
    opening = {**at_once, "cpu_ms": round(opened["server_cpu_us_per_connect"] / 1000, 4)}
    opening["kib"] = opened["rss_kib_per_conn"]
    return opening, kept


def lines(subject: Subject) -> tuple[dict[str, float], dict[str, float]]:
    """Return the cost of a line, and of each delivery, from two numbers of receivers at one rate."""
    costs = []
    for receivers in (50, 1000):
        result = subject.rate(receivers, 20)
        costs.append((result["server_cpu_s"] * 1000 / result["sent"], result["fan"]))
    (few, few_fan), (many, many_fan) = costs
    delivery = (many - few) / (many_fan - few_fan)
    return {"cpu_ms": round(few - delivery * few_fan, 4)}, {"cpu_ms": round(delivery, 5)}


def edits(subject: Subject) -> dict[str, float]:
    """Return the cost of an edit of a game, without that of the site."""
    subject.load("idle", 100, "--hold", 0)
    publish_after_commit(Bus(subject.stack.valkey.url))
    db.bind(db.make_engine(subject.stack.settings["DATABASE_URL"]))
    before = subject.usage()
    for number in range(EDITS):
        with db.transaction() as session:
            edit_game(session, "g0", description=f"edit {number}")
        time.sleep(0.02)  # edits one by one, so that no two share a batch
    time.sleep(0.5)  # workers that poll the log are counted too
    publish_after_commit(None)
    used = subject.usage().minus(before, EDITS)
    return {name: used[name] for name in ("cpu_ms", "redis_commands", "redis_bytes")}


def main() -> None:
    """Print the constants, and the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    on_own_core(LOAD_CORE)
    with Stack(options.database) as stack:
        subject = Subject(stack)
        opened, kept = connections(subject)
        line, delivery = lines(subject)
        for name, constants in (
            ("connection opened", opened),
            ("heartbeat", kept),
            ("line", line),
            ("delivery", delivery),
            ("edit", edits(subject)),
        ):
            print(json.dumps({"cost_of": name, **constants}), flush=True)
        for receivers, rate in CHECKED:
            result = subject.rate(receivers, rate)
            beats = (receivers + SENDERS) / HEARTBEAT_SECONDS
            predicted = beats * kept["cpu_ms"] + rate * (line["cpu_ms"] + result["fan"] * delivery["cpu_ms"])
            used = result["server_cpu_s"] / result["window_s"]
            facts = {"receivers": receivers, "lines_per_s": rate, "p99_ms": result["latency_ms"]["p99"]}
            cores = {"predicted_cores": round(predicted / 1000, 3), "used_cores": round(used, 3)}
            print(json.dumps({**facts, **cores, "foreign_cores": result["foreign_cores"]}), flush=True)


if __name__ == "__main__":
    main()
