"""Fan-out (W1): many receivers, a few senders, as fast as it goes; beside the least that C can do, in the same run.

    python -m bench.fanout [--receivers 1000] [--seconds 5] [--database postgresql://…]

The server has one core (with its Redis), the load generator the other. Read `deliveries_per_s`, and above all
`server_cpu_s_per_million`, the figure least shaken by a busy machine.
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
    """Run the load generator; returns what it printed."""
    command = [str(program), "--port", str(port), "--creds", str(credentials), "--server-cpu", "0"]
    command += ["--pids", ",".join(map(str, pids)), *extra]
    done = subprocess.run(["taskset", "-c", "1", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"fanbench: {done.stderr} {done.stdout}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure_c(folder: Path, how: list[str], credentials: Path, *load: str) -> dict[str, Any]:
    """The C server, with (`batch`) or without joining what is pending."""
    port = free_port()
    command = ["taskset", "-c", "0", str(compile_c("climit", folder)), str(port), *how]
    server = subprocess.Popen(command)
    try:
        time.sleep(0.3)
        return fanbench(folder / "fanbench", port, credentials, [server.pid], *GOSSIP, *load)
    finally:
        server.kill()
        server.wait()


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """The figures that count."""
    wanted = (
        "deliveries_per_s",
        "server_cpu_s_per_million",
        "latency_ms",
        "missing",
        "closed",
        "failed",
        "foreign_cpu_s",
    )
    return {name: result.get(name) for name in wanted}


def main() -> None:
    """Print one JSON object a server."""
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
        made = stack.games(options.receivers + 4)
        credentials.write_text("".join(json.dumps(line) + "\n" for line in made))
        worker = stack.worker(cpu=0)
        assert stack.valkey.process is not None
        pids = [worker.pid, stack.valkey.process.pid]
        pin(pids, 0)
        program = compile_c("fanbench", stack.folder)
        for name, how in (("C, one send a delivery", []), ("C, pending frames joined", ["batch"])):
            print(json.dumps({"server": name, **summary(measure_c(stack.folder, how, credentials, *load))}), flush=True)
        result = fanbench(program, worker.port, credentials, pids, *GOSSIP, *load)
        print(json.dumps({"server": "worker", **summary(result)}), flush=True)


if __name__ == "__main__":
    main()
