"""Compare the worker with the least that C can do and with other chat servers, all on this machine in one run.

    python -m bench.compare [--peers] [--rounds 3] [--minutes 9] [--only w1_1000 w2] [--database postgresql://…]

`make bench` runs it with the C servers, gevent-websocket used the obvious way, and nats-server if it is installed;
`make bench-peers` installs and adds mosquitto, ngircd, Node ws with ioredis, socket.io and Python's websockets.

A server and its Redis share one core; the load generator has the other. Each measurement starts its server afresh.
Servers take turns, each figure is the median of all rounds, and runs during which something else kept more than a
fifth of a core busy do not count. Compare the ratios: the absolute figures belong to the machine.

Writes `table.md`, `figures.json` and `chart.svg` into `bench/results/` or --output.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine, report
from bench.chart import Panel, draw
from bench.report import Column, Row
from bench.rounds import NOISY_CORES, Runs, run_rounds
from bench.servers.base import Server
from bench.servers.others import limits, others
from bench.servers.ours import Network
from bench.stack import ROOT, Stack
from bench.workloads import WORKLOADS, Workload

CHARTED = ("connect_5000.rate", "w1_1000.rate", "w1_1000.cpu", "w2.cpu", "w2.p99", "idle.kib")


def choose(servers: Sequence[Server]) -> tuple[list[Server], list[str]]:
    """Return the servers that this machine can run, and a line for each that it cannot."""
    usable = [server for server in servers if not server.missing()]
    return usable, [f"{server.name}: {server.missing()}" for server in servers if server.missing()]


def rows_of(workloads: Sequence[Workload], servers: Sequence[Server], runs: Runs) -> list[Row]:
    """Return a row for each figure."""
    return [
        Row(figure, {server.key: runs.figure(workload, figure, server.key) for server in servers})
        for workload in workloads
        for figure in workload.figures
    ]


def chart_of(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return the chart of the figures that say most."""
    panels = []
    for row in rows:
        if row.figure.key in CHARTED:
            better = "less is better" if row.figure.is_less_better else "more is better"
            bars = [
                (column.name, value, report.digits(value))
                for column in columns
                if (value := row.values.get(column.key)) is not None
            ]
            panels.append(Panel(f"{row.figure.name}, {row.figure.unit} ({better})", bars))
    return draw("One core for each server, on the same machine", panels, highlighted="this worker")


def write(output: Path, columns: Sequence[Column], rows: Sequence[Row], runs: Runs, notes: Sequence[str]) -> str:
    """Write the three files. Return the text of `table.md`."""
    facts: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        **machine.describe(),
        "runs": sum(map(len, runs.results.values())),
        "runs_left_out_as_noisy": runs.noisy,
        "foreign_cores_worst": max(runs.foreign_cores, default=0.0),
    }
    versions = ", ".join(f"{column.name}: {column.version}" for column in columns if column.version)
    text = report.markdown(columns, rows)
    text += "\n" + f"{facts['date']}; {facts['processor']}; {facts['system']}; Python {facts['python']}. {versions}. "
    text += f"{facts['runs']} runs counted, {runs.noisy} left out because the machine was busy; "
    text += f"other programs used {facts['foreign_cores_worst']:.2f} cores at most.\n"
    text += "".join(f"\nLeft out: {note}.\n" for note in notes)
    output.mkdir(parents=True, exist_ok=True)
    (output / "table.md").write_text(text)
    figures = report.as_json(columns, rows, **facts, left_out=list(notes))
    (output / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    (output / "chart.svg").write_text(chart_of(columns, rows))
    return text


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="compare with all servers that are installed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--only", nargs="+", help="keys of workloads: " + " ".join(each.key for each in WORKLOADS))
    parser.add_argument("--servers", nargs="+", help="keys of servers")
    parser.add_argument("--database", default="")
    parser.add_argument("--noise", type=float, default=NOISY_CORES, help="cores that may be busy with something else")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    workloads = [each for each in WORKLOADS if not options.only or each.key in options.only]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Stack(options.database) as stack:
        own = Network(stack)
        rivals = others(Path(folder))
        if not options.peers:
            rivals = [server for server in rivals if server.key in ("naive", "nats")]
        ours = [own.server(), own.server("ours_two", "two workers", workers=2)]
        servers, notes = choose([*limits(Path(folder)), *rivals, *ours])
        servers = [server for server in servers if not options.servers or server.key in options.servers]
        for note in notes:
            print("left out:", note, flush=True)
        seconds = options.minutes * 60
        runs = run_rounds(
            workloads,
            servers,
            folder=Path(folder),
            rounds=options.rounds,
            seconds=seconds,
            noisy_cores=options.noise,
        )
        columns = [Column(server.key, server.name, server.version()) for server in servers]
    rows = rows_of(workloads, servers, runs)
    print(write(options.output, columns, rows, runs, [*notes, *runs.failures]))


if __name__ == "__main__":
    main()
