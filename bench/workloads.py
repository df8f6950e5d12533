"""The workloads of `make bench`, and the figures that are read from each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Result = Mapping[str, Any]
Targets = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes:
        read: Takes it from fanbench's result; None if this run does not show it.
        is_less_better: Whether a smaller figure is the better one.
        targets: By the key of another server: the ratio to its figure to reach, and the one to dream of.
    """

    key: str
    name: str
    unit: str
    read: Callable[[Result], float | None]
    is_less_better: bool = True
    targets: Targets = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """One load.

    Attributes:
        load: Options of fanbench. `{round}` is replaced by a text that is different each time.
        skips: Keys of servers that do not take part, because the load means nothing to them or drowns them.
        only: Keys of the servers that take part; empty: all.
    """

    key: str
    load: tuple[str, ...]
    figures: tuple[Figure, ...]
    skips: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()

    def takes(self, server: str) -> bool:
        """Return whether a server takes part."""
        return server not in self.skips and (not self.only or server in self.only)


def _per_million(result: Result) -> float | None:
    return result["server_cpu_s_per_million"] if result["deliveries"] else None


def _latency(quantile: str) -> Callable[[Result], float | None]:
    """Read a latency, unless the server lost messages or was late with most of them."""
    return lambda result: None if result["missing"] or not result["latency_ms"]["n"] else result["latency_ms"][quantile]


def _connects(result: Result) -> float | None:
    return result["connects_per_s"]


def _kib(result: Result) -> float | None:
    return result["rss_kib_per_conn"]


def _cpu_per_connect(result: Result) -> float | None:
    return result["server_cpu_us_per_connect"] / 1000


def _connect(
    key: str,
    games: int,
    name: str,
    targets: Targets,
    *figures: Figure,
    load: tuple[str, ...] = (),
    skips: frozenset[str] = frozenset(),
    only: frozenset[str] = frozenset(),
) -> Workload:
    return Workload(
        key,
        ("--mode", "idle", "--receivers", str(games), "--hold", "0.5", *load),
        (
            Figure(f"{key}.rate", name, "connects/s", _connects, is_less_better=False, targets=targets),
            Figure(f"{key}.cpu", f"{name}: CPU", "ms each", _cpu_per_connect),
            *figures,
        ),
        skips=skips,
        only=only,
    )


def _saturate(receivers: int, seconds: int) -> tuple[str, ...]:
    load = ("--mode", "saturate", "--receivers", str(receivers), "--senders", "4", "--window", "64")
    return (*load, "--duration", str(seconds), "--warmup", "0.7")


def _rate(rate: int, seconds: int) -> tuple[str, ...]:
    load = ("--mode", "rate", "--receivers", "1000", "--senders", "20", "--rate", str(rate))
    return (*load, "--duration", str(seconds), "--warmup", "0.7")


OWN = frozenset({"ours", "base"})
TWO = frozenset({"ours_two"})
# They send each delivery by itself, so that 400,000 a second are several times what one core can do.
DROWNED = frozenset({"c_one", "naive", "mosquitto", "node_ws", "socket_io", "asyncio", "ngircd"})

WORKLOADS = (
    _connect("connect_1000", 1000, "1,000 games connect", {"naive": (1.0, 2.0)}, skips=TWO),
    _connect(
        "connect_5000",
        5000,
        "5,000 games connect",
        {"naive": (1.0, 2.0)},
        Figure("idle.kib", "memory of an idle connection", "KiB", _kib, targets={"naive": (0.3, 0.15)}),
        skips=TWO | {"c_joined", "ngircd"},
    ),
    _connect(
        "connect_new",
        1000,
        "1,000 games connect, each with a new user agent",
        {"naive": (0.6, 1.2)},
        load=("--agent", "{round}"),
        only=OWN | {"naive"},
    ),
    Workload(
        "w1_1000",
        _saturate(1000, 3),
        (
            Figure(
                "w1_1000.rate",
                "W1, as fast as possible to 1,000",
                "deliveries/s",
                lambda result: result["deliveries_per_s"],
                is_less_better=False,
                targets={"c_one": (8.0, 11.0), "nats": (1.8, 2.3)},
            ),
            Figure("w1_1000.cpu", "W1 to 1,000: CPU", "s/million", _per_million, targets={"c_joined": (1.8, 1.3)}),
        ),
    ),
    Workload(
        "w1_100",
        _saturate(100, 3),
        (Figure("w1_100.cpu", "W1 to 100: CPU", "s/million", _per_million, targets={"c_joined": (3.0, 1.8)}),),
        skips=TWO,
    ),
    Workload(
        "w2",
        _rate(20, 4),
        (
            Figure("w2.cpu", "W2, 20 lines/s to 1,000: CPU", "s/million", _per_million, targets={"c_one": (1.7, 1.3)}),
            Figure("w2.p50", "W2: median delay", "ms", _latency("p50")),
            Figure("w2.p99", "W2: p99 delay", "ms", _latency("p99"), targets={"c_one": (1.7, 1.3)}),
        ),
        skips=TWO,
    ),
    Workload(
        "w2h",
        _rate(400, 4),
        (
            Figure("w2h.p50", "W2h, 400 lines/s to 1,000: median delay", "ms", _latency("p50")),
            Figure("w2h.p99", "W2h: p99 delay", "ms", _latency("p99"), targets={"c_joined": (2.0, 1.3)}),
            Figure("w2h.missing", "W2h: lines lost", "", lambda result: max(0, result["missing"])),
        ),
        skips=TWO | DROWNED,
    ),
)
