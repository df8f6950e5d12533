"""The load generator `fanbench.c`: runs it on its own core, and returns the figures that it prints."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.machine import LOAD_CORE, SERVER_CORE, foreign_load, on_core

GOSSIP = ("--proto", "gossip", "--path", "/socket")


def write_credentials(path: Path, games: Iterable[dict[str, str]]) -> Path:
    """Write credentials as fanbench reads them: one JSON object on each line, one game each."""
    path.write_text("".join(json.dumps(game) + "\n" for game in games))
    return path


def fanbench(program: Path, port: int, pids: Sequence[int], *options: str) -> dict[str, Any]:
    """Run the load generator against a server.

    Args:
        pids: The server's processes, whose CPU time and memory are counted.
        options: What to send. See the head of `fanbench.c` and its `--help`.

    Returns:
        What it printed, and `foreign_cores`: how many cores were busy with something else.

    Raises:
        RuntimeError: It failed.
    """
    command = on_core(LOAD_CORE, str(program), "--port", str(port), "--server-cpu", str(SERVER_CORE))
    command += ["--pids", ",".join(map(str, pids)), *options]
    with foreign_load(pids) as noise:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"fanbench: {done.stderr} {done.stdout}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"foreign_cores": round(noise.cores, 3)}
