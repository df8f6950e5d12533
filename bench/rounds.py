"""Runs workloads against servers in interleaved rounds, and leaves out runs that other programs disturbed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import fanbench
from bench.machine import compile_c
from bench.servers.base import Server
from bench.workloads import Figure, Result, Workload

NOISY_CORES = 0.2
TRIES = 2

Key = tuple[str, str]  # workload, server


@dataclass
class Runs:
    """The results of all runs, by workload and server.

    Attributes:
        noisy: Runs that did not count.
        failures: Runs that failed, with what the server or fanbench said.
    """

    results: dict[Key, list[Result]] = field(default_factory=dict)
    noisy: int = 0
    failures: list[str] = field(default_factory=list)
    foreign_cores: list[float] = field(default_factory=list)

    def figure(self, workload: Workload, figure: Figure, server: str) -> float | None:
        """Return the median of a figure over the runs that count; None if no run shows it."""
        values = [figure.read(result) for result in self.results.get((workload.key, server), ())]
        shown = [value for value in values if value is not None]
        return median(shown) if shown and len(shown) * 2 > len(values) else None


def run_rounds(
    workloads: Sequence[Workload],
    servers: Sequence[Server],
    *,
    folder: Path,
    rounds: int,
    seconds: float,
    noisy_cores: float = NOISY_CORES,
    report: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
) -> Runs:
    """Run each workload against each server once a round; servers take turns, so that a slow minute hits all of them.

    Args:
        seconds: No round starts that could not end by then.
        noisy_cores: How many cores may be busy with something else, on average, for a run to count.
    """
    runs = Runs()
    started = time.monotonic()
    for number in range(rounds):
        round_started = time.monotonic()
        for workload in workloads:
            taking_part = [server for server in servers if workload.takes(server.key)]
            turn = number % len(taking_part) if taking_part else 0
            for server in taking_part[turn:] + taking_part[:turn]:
                _run(runs, workload, server, folder, f"round{number}", noisy_cores)
        took = time.monotonic() - round_started
        report(f"round {number + 1} of {rounds}: {took:.0f} s, {runs.noisy} noisy runs so far")
        if time.monotonic() - started + took > seconds:
            break
    return runs


def _run(runs: Runs, workload: Workload, server: Server, folder: Path, name: str, noisy_cores: float) -> None:
    load = [option.replace("{round}", name) for option in workload.load]
    for _ in range(TRIES):
        try:
            with server.start() as running:
                program = compile_c("fanbench", folder)
                result: dict[str, Any] = fanbench(program, running.port, running.pids, *server.load, *load)
        except RuntimeError as error:
            runs.failures.append(f"{workload.key}, {server.name}: {error}")
            return
        print(f"{workload.key:13} {server.key:10} {_short(workload, result)}", file=sys.stderr, flush=True)
        runs.foreign_cores.append(result["foreign_cores"])
        if result["foreign_cores"] <= noisy_cores:
            runs.results.setdefault((workload.key, server.key), []).append(result)
            return
        runs.noisy += 1


def _short(workload: Workload, result: Result) -> str:
    figures = [f"{figure.read(result)} {figure.unit}" for figure in workload.figures]
    return ", ".join(figures) + f" (foreign: {result['foreign_cores']:.2f} cores)"
