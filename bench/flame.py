"""Draw where the worker's time goes under a load, as a flame graph. Needs py-spy (`pip install py-spy`), and root.

    python -m bench.flame w2 docs/images/flame-w2.svg [--py-spy PATH] [--seconds 8]

The load is one of `bench/workloads.py`. py-spy samples the worker while the load runs. Each box is a function; its
width is the share of the worker's busy time that it and the functions above it used. Boxes below 0.4 % are left out,
and so are threads that wait.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from bench.load import fanbench
from bench.machine import LOAD_CORE, compile_c, on_core
from bench.servers.ours import Network
from bench.stack import Stack
from bench.workloads import WORKLOADS

WIDTH = 1180
LINE = 17
LEAST = 0.004
WAITING = ("acquire_with_timeout", "_Condition.wait", "Queue.get")
COLORS = {"worker/": "#e8a33d", "shared/": "#d9773b", "gevent": "#8fb573", "sqlalchemy": "#7aa6c2", "redis": "#b48ead"}


@dataclass
class Box:
    """A function, as called from the one below it. `samples` includes those of the functions that it called."""

    name: str
    samples: int = 0
    above: dict[str, Box] = field(default_factory=dict)


def stack_up(lines: Iterable[str]) -> Box:
    """Return the boxes of py-spy's raw output: on each line a stack, from the outermost function, and its samples."""
    ground = Box("all")
    for line in lines:
        stack, _, count = line.rpartition(" ")
        names = stack.split(";")
        if any(word in name for name in names[-3:] for word in WAITING):
            continue
        samples, box = int(count), ground
        ground.samples += samples
        for name in names:
            box = box.above.setdefault(name, Box(name))
            box.samples += samples
    return ground


def draw(ground: Box, title: str) -> str:
    """Return the graph as SVG."""
    boxes: list[str] = []
    depth = _draw(ground, 0.0, 0, ground.samples, boxes)
    height = (depth + 1) * LINE + 30
    text = "".join(boxes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}"><style>text{{font:11px monospace;fill:#111}}.t{{font:15px system-ui}}'
        f'</style><rect width="{WIDTH}" height="{height}" fill="#fff"/><text x="6" y="18" class="t">{escape(title)}'
        f'</text><g transform="translate(0,{height})">{text}</g></svg>\n'
    )


def _draw(box: Box, left: float, level: int, total: int, boxes: list[str]) -> int:
    """Add a box and those above it. Return the highest level reached."""
    share = box.samples / total if total else 0.0
    if share < LEAST:
        return level
    width = share * WIDTH
    drawn = max(width - 0.5, 0.5)
    top = -(level + 1) * LINE
    label = box.name[: int(width / 6.7)] if width > 30 else ""
    boxes.append(
        f'<g><title>{escape(box.name)}: {share:.1%}</title><rect x="{left:.1f}" y="{top}" width="{drawn:.1f}"'
        f' height="{LINE - 1}" fill="{_color(box.name)}"/>'
        + (f'<text x="{left + 3:.1f}" y="{top + 12}">{escape(label)}</text>' if label else "")
        + "</g>"
    )
    highest = level
    for above in sorted(box.above.values(), key=lambda each: each.name):
        highest = max(highest, _draw(above, left, level + 1, total, boxes))
        left += above.samples / total * WIDTH
    return highest


def _color(name: str) -> str:
    return next((color for part, color in COLORS.items() if part in name), "#c9c9c9")


def record(workload: str, py_spy: str, seconds: int) -> Box:
    """Run a workload against a worker, and sample it."""
    [load] = [each.load for each in WORKLOADS if each.key == workload]
    with tempfile.TemporaryDirectory() as folder, Stack() as stack:
        server = Network(stack).server()
        with server.start() as running:
            raw = Path(folder) / "raw"
            command = [py_spy, "record", "--rate", "500", "--format", "raw", "--output", str(raw)]
            command += ["--duration", str(seconds), "--pid", str(running.pids[0])]
            program = compile_c("fanbench", Path(folder))
            options = [option.replace("{round}", "flame") for option in load]
            if "--duration" in options:
                options[options.index("--duration") + 1] = str(seconds + 1)
            arguments = (program, running.port, running.pids, *server.load, *options)
            playing = threading.Thread(target=fanbench, args=arguments)
            playing.start()
            if "idle" not in options:
                time.sleep(2.0)  # the connects belong to another workload
            subprocess.run(on_core(LOAD_CORE, *command), check=True, stdout=sys.stderr)
            playing.join()
            return stack_up(raw.read_text().splitlines())


def main() -> None:
    """Record and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=[each.key for each in WORKLOADS])
    parser.add_argument("output", type=Path)
    parser.add_argument("--py-spy", default="py-spy")
    parser.add_argument("--seconds", type=int, default=8)
    options = parser.parse_args()
    ground = record(options.workload, options.py_spy, options.seconds)
    title = f"Where the worker's time goes under {options.workload}"
    options.output.write_text(draw(ground, title))


if __name__ == "__main__":
    main()
