"""Measure how many requests a second the site answers, page by page, and compare with a Flask page that says hello.

    python -m bench.pages [--games 2000] [--seconds 2] [--rounds 3] [--database postgresql://…]

The site is one gunicorn process of 8 threads, as in the Procfile, and so is the hello page. Each has one core; the
client has the other, and keeps 8 connections busy. Pages and the hello page take turns; the figures are medians of the
rounds. Prints one JSON object for each page: `per_s`, and `cpu_ms`, the server's CPU time for each request, which other
programs on the machine hardly disturb. `of_hello` and `cpu_of_hello` relate them to the hello page: more is better.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, on_own_core, pin
from bench.stack import ROOT, Stack
from tests.support.processes import ServerProcess, clean_environment, free_port
from tests.support.servers import get
from tests.support.waiting import wait_until

PAGES = ("/", "/games", "/games/g7", "/channels/bench", "/chat/bench", "/docs", "/conduct")
CONNECTIONS = 8


@contextmanager
def gunicorn(application: str, settings: dict[str, str], folder: Path = ROOT) -> Iterator[tuple[int, list[int]]]:
    """Run an application as the site is run, on SERVER_CORE. Yields its port and its processes."""
    port = free_port()
    environment = clean_environment(**{**settings, "WEB_PORT": str(port), "WEB_CONCURRENCY": "1"})
    config = str(ROOT / "gunicorn.conf.py")
    command = ["python", "-m", "gunicorn", "--config", config, "--pythonpath", str(folder), application]
    process = ServerProcess(command, env=environment, cwd=ROOT)
    try:
        wait_until(lambda: get(port, "/")[0], seconds=20, what="the site answers")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        pids = [process.pid, *map(int, children)]
        pin(pids, SERVER_CORE)
        yield port, pids
    finally:
        process.stop()


def rate(port: int, pids: list[int], path: str, seconds: float) -> tuple[float, float]:
    """Return how many requests for a page are answered in a second, and the milliseconds of CPU that each takes."""
    counts = [0] * CONNECTIONS
    end = time.monotonic() + seconds

    def browse(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.monotonic() < end:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"{path}: {response.status}")
            counts[number] += 1
        connection.close()

    started, used = time.monotonic(), cpu_seconds(pids)
    threads = [threading.Thread(target=browse, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cpu_ms = (cpu_seconds(pids) - used) / sum(counts) * 1000
    return sum(counts) / (time.monotonic() - started), cpu_ms


HELLO = """
from flask import Flask
app = Flask(__name__)
@app.get("/")
def hello():
    return "hello"
"""


def main() -> None:
    """Measure each page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    on_own_core(LOAD_CORE)
    with Stack(options.database) as stack:
        stack.flask("channel", "create", "bench", "--visible")
        stack.games(options.games)
        (stack.folder / "hello.py").write_text(HELLO)
        rates: dict[str, list[tuple[float, float]]] = {page: [] for page in ("hello", *PAGES)}
        with gunicorn("wsgi:app", stack.settings) as site, gunicorn("hello:app", stack.settings, stack.folder) as hello:
            for _ in range(options.rounds):
                rates["hello"].append(rate(*hello, "/", options.seconds))
                for page in PAGES:
                    rates[page].append(rate(*site, page, options.seconds))
    medians = {page: tuple(map(median, zip(*values, strict=True))) for page, values in rates.items()}
    hello_per_s, hello_ms = medians["hello"]
    for page, (per_s, cpu_ms) in medians.items():
        figures = {
            "page": page,
            "per_s": round(per_s),
            "of_hello": round(per_s / hello_per_s, 2),
            "cpu_ms": round(cpu_ms, 2),
            "cpu_of_hello": round(hello_ms / cpu_ms, 2),
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
