"""Measure the fan-out: how many deliveries a second a worker makes to many receivers, compared with a C server.

    python -m bench.fanout [--receivers 1000] [--seconds 5] [--database postgresql://…]

Four senders send as fast as they can. The server and its Redis share one core; the load generator has the other.
The C servers (`climit.c`) do the least work possible, on the same machine in the same run.

Prints one JSON object for each server. Compare `deliveries_per_s`, and above all `server_cpu_s_per_million` (CPU
seconds for a million deliveries), which depends least on what else the machine does. `missing`, `closed` and
`failed` must be 0.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.stack import Stack, compile_c, pin
from tests.support.processes import free_port

GOSSIP = ("--proto", "gossip", "--path", "/socket")


def fanbench(program: Path, port: int, credentials: Path, pids: list[int], *extra: str) -> dict[str, Any]:
    """Run the load generator. Return the object that it printed."""
    command = [str(program), "--port", str(port), "--creds", str(credentials), "--server-cpu", "0"]
    command += ["--pids", ",".join(map(str, pids)), *extra]
    done = subprocess.run(["taskset", "-c", "1", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"fanbench: {done.stderr} {done.stdout}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure_c(folder: Path, options: list[str], credentials: Path, *load: str) -> dict[str, Any]:
    """Measure the C server. With the option `batch` it joins pending frames."""
    port = free_port()
    command = ["taskset", "-c", "0", str(compile_c("climit", folder)), str(port), *options]
    server = subprocess.Popen(command)
    try:
        time.sleep(0.3)
        return fanbench(folder / "fanbench", port, credentials, [server.pid], *GOSSIP, *load)
    finally:
        server.kill()
        server.wait()


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Return the figures that matter."""
    names = (
        "deliveries_per_s",
        "server_cpu_s_per_million",
        "latency_ms",
        "missing",
        "closed",
        "failed",
        "foreign_cpu_s",
    )
    return {name: result.get(name) for name in names}


def main() -> None:
    """Print one JSON object for each server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receivers", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    load = ["--mode", "saturate", "--receivers", str(options.receivers), "--senders", "4", "--window", "64"]
    load += ["--duration", str(options.seconds)]
    with Stack(options.database) as stack:
        stack.flask("channel", "create", "bench")
        credentials = stack.folder / "credentials.jsonl"
        games = stack.games(options.receivers + 4)
        credentials.write_text("".join(json.dumps(game) + "\n" for game in games))
        worker = stack.worker(cpu=0)
        assert stack.valkey.process is not None
        pids = [worker.pid, stack.valkey.process.pid]
        pin(pids, 0)
        program = compile_c("fanbench", stack.folder)
        for name, c_options in (("C, one send per delivery", []), ("C, pending frames joined", ["batch"])):
            result = measure_c(stack.folder, c_options, credentials, *load)
            print(json.dumps({"server": name, **summary(result)}), flush=True)
        result = fanbench(program, worker.port, credentials, pids, *GOSSIP, *load)
        print(json.dumps({"server": "worker", **summary(result)}), flush=True)


if __name__ == "__main__":
    main()
