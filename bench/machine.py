"""The machine that a benchmark runs on: cores, CPU time and memory of processes, and what else is busy."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1
TICKS = os.sysconf("SC_CLK_TCK")


def pin(pids: Iterable[int], cpu: int) -> None:
    """Keep processes, with all their threads, on one core. Does nothing on a machine with a single core."""
    if cpu in os.sched_getaffinity(0) and len(os.sched_getaffinity(0)) > 1:
        for pid in pids:
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {cpu})


def on_core(cpu: int, *command: str) -> list[str]:
    """Return the command that runs a program on one core; on a machine with a single core, the program's own."""
    return ["taskset", "-c", str(cpu), *command] if (os.cpu_count() or 1) > 1 else list(command)


def on_own_core(cpu: int) -> None:
    """Keep this process, and programs that it starts and does not pin, on one core."""
    if cpu in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {cpu})


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that processes have used, all running threads together."""
    nanoseconds = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def resident_kib(pid: int, field: str = "VmRSS") -> int:
    """Return a process's resident memory in KiB, or with `VmHWM` its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that is not exceeded by this share (0 to 1) of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the exponent of the power of the size that fits the costs best: 0 is constant, 1 a straight line."""
    logs = [(math.log(size), math.log(cost)) for size, cost in zip(sizes, costs, strict=True)]
    x_mean = sum(x for x, _ in logs) / len(logs)
    y_mean = sum(y for _, y in logs) / len(logs)
    spread = sum((x - x_mean) ** 2 for x, _ in logs)
    return sum((x - x_mean) * (y - y_mean) for x, y in logs) / spread


def compile_c(name: str, folder: Path) -> Path:
    """Compile one of the C programs in this folder. Return the path of the program."""
    program = folder / name
    if not program.exists():
        source = Path(__file__).parent / f"{name}.c"
        subprocess.run(["gcc", "-O2", "-Wall", "-o", str(program), str(source)], check=True)
    return program


@dataclass
class Noise:
    """How many cores were busy with something else than the measurement, on average."""

    cores: float = 0.0


@contextmanager
def foreign_load(pids: Sequence[int]) -> Iterator[Noise]:
    """Measure what the machine does beside these processes and the programs that are started and end within."""
    noise = Noise()
    started, busy, own = time.monotonic(), _busy_seconds(), cpu_seconds(pids) + _own_seconds()
    yield noise
    used = cpu_seconds(pids) + _own_seconds() - own
    noise.cores = max(0.0, _busy_seconds() - busy - used) / (time.monotonic() - started)


def _busy_seconds() -> float:
    """Return the time that all cores together were busy, or taken away by the host."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(None, 9)[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def _own_seconds() -> float:
    return sum(os.times()[:4])  # this process, and its children that have ended


def describe() -> dict[str, str]:
    """Return the machine's processor, its system, and the version of Python."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": f"{len(cpu)} cores, {cpu[0].partition(':')[2].strip()}" if cpu else platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
