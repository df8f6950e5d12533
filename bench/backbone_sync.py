"""Measure gossip-backbone with a real worker: its first sync, the delay of changes, and many kills with kill -9.

    python -m bench.backbone_sync [first] [lag] [kill] [--games 10000] [--changes 1000] [--kills 50] [--database …]

Prints one JSON object for each measurement.

first: the first sync of all games into an empty database, from the start of the connection until the commit that
completes it. `ratio` and `memory_ratio` compare its time and its peak memory with a plain INSERT of the same rows,
which are already in memory, into the same empty tables. Each runs in its own process; the rounds take turns, and
the figures are medians. `worker_alone_seconds` is the time of a client that only counts what the worker sends.
lag: the time from the commit of an edit until the mirror's database has committed it, for edits one after the other
and in bursts.
kill: the mirror is killed at random moments while games are created, edited and deleted. At the end the replica is
compared with the network record by record: `equal` must be true.

The replica's database is SQLite in a file, or --database; `--database postgres` or `mariadb` starts a throwaway
server.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from queue import Queue
from typing import Any

from sqlalchemy import MetaData, create_engine, event, insert, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bench.machine import quantile, resident_kib
from bench.stack import ROOT, Stack
from shared import db
from shared.bus import Bus, publish_after_commit
from shared.models.game_details import GameDetails
from shared.services import games
from shared.services.authority.actors import OPERATOR
from shared.settings import Settings
from tests.support.factory import edit_game
from tests.support.mariadb import MariaDB
from tests.support.postgres import Postgres

SOURCES = [str(ROOT / "libraries" / name / "src") for name in ("gossip-client", "gossip-backbone")]
sys.path[:0] = SOURCES

from backbone import Backbone, Channel, Game, State, migrate  # noqa: E402
from backbone.__main__ import open_database  # noqa: E402

ROUNDS = 5


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*SOURCES, str(ROOT)]), **more}


def empty(database: str) -> str:
    """Remove the replica's tables from a database. Return its URL."""
    if database.startswith("sqlite"):
        for suffix in ("", "-wal", "-shm"):
            Path(database.removeprefix("sqlite:///") + suffix).unlink(missing_ok=True)
    else:
        engine = open_database(database)
        tables = MetaData()
        tables.reflect(engine)
        tables.drop_all(engine)
        engine.dispose()
    return database


# Each of the next two runs in its own process, so that its memory can be measured.


def sync_once(database: str, url: str, client_id: str, client_secret: str) -> None:
    """Run a first sync, and print its figures."""
    engine = open_database(database)
    migrate(engine)
    backbone = Backbone(engine, url, client_id, client_secret)
    before, start = resident_kib(os.getpid()), time.perf_counter()
    backbone.start()
    assert backbone.wait_synced(120)
    seconds = time.perf_counter() - start
    peak = resident_kib(os.getpid(), "VmHWM")
    backbone.stop()
    print(json.dumps({"seconds": seconds, "kib": peak - before, "cpu": time.process_time()}))


def insert_once(database: str, source: str) -> None:
    """Copy the rows of another database with one plain INSERT for each table, and print the figures."""
    engine = create_engine(source)
    rows: dict[Any, list[dict[str, Any]]] = {}
    with engine.connect() as connection:
        text = {
            model: json.dumps([dict(row) for row in connection.execute(select(model.__table__)).mappings()])
            for model in (Channel, Game)
        }
    engine = open_database(database)
    migrate(engine)
    with engine.connect():
        pass
    before, start = resident_kib(os.getpid()), time.perf_counter()
    rows = {model: json.loads(records) for model, records in text.items()}
    parsed = time.perf_counter()
    with engine.begin() as connection:
        for model, records in rows.items():
            if records:
                connection.execute(insert(model), records)
    end = time.perf_counter()
    peak = resident_kib(os.getpid(), "VmHWM")
    print(json.dumps({"seconds": end - parsed, "with_json": end - start, "kib": peak - before}))


def in_a_process(function: str, *arguments: str) -> dict[str, Any]:
    code = f"import sys; from bench.backbone_sync import {function} as f; f(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def wire_once(url: str, application: dict[str, str]) -> float:
    """Return the seconds until the worker has sent everything to a client that only looks for the end."""
    from bench.full_sync import connect

    start = time.perf_counter()
    socket = connect(url, application)
    while not str(socket.recv()).startswith('{"event":"sync/complete"'):
        pass
    seconds = time.perf_counter() - start
    socket.close()
    return seconds


def measure_first(stack: Stack, application: dict[str, str], database: str) -> dict[str, Any]:
    """Measure first syncs and plain inserts."""
    url = stack.workers[0].url
    keys = application["client_id"], application["client_secret"]
    source = f"sqlite:///{stack.folder / 'source.db'}"
    in_a_process("sync_once", source, url, *keys)
    synced, inserted, wired = [], [], []
    for _ in range(ROUNDS):
        inserted.append(in_a_process("insert_once", empty(database), source))
        synced.append(in_a_process("sync_once", empty(database), url, *keys))
        wired.append(wire_once(url, application))
    sync, plain = (sorted(each["seconds"] for each in rounds)[ROUNDS // 2] for rounds in (synced, inserted))
    sync_kib, plain_kib = (sorted(each["kib"] for each in rounds)[ROUNDS // 2] for rounds in (synced, inserted))
    return {
        "sync_seconds": round(sync, 3),
        "plain_insert_seconds": round(plain, 3),
        "plain_json_and_insert_seconds": round(sorted(each["with_json"] for each in inserted)[ROUNDS // 2], 3),
        "worker_alone_seconds": round(sorted(wired)[ROUNDS // 2], 3),
        "ratio": round(sync / plain, 2),
        "sync_mib": round(sync_kib / 1024, 1),
        "plain_mib": round(plain_kib / 1024, 1),
        "memory_ratio": round(sync_kib / plain_kib, 2),
    }


def measure_lag(stack: Stack, application: dict[str, str], database: str, changes: int) -> dict[str, Any]:
    """Measure the time from the server's commit to the replica's."""
    settings = Settings.from_environment(stack.environment)
    db.bind(db.make_engine(settings.database_url))
    publish_after_commit(Bus(settings.redis_url))
    committed: list[float] = []
    event.listen(Session, "after_commit", lambda session: committed.append(time.perf_counter()), insert=True)
    backbone = Backbone(
        open_database(empty(database)), stack.workers[0].url, application["client_id"], application["client_secret"]
    )
    replicated: Queue[tuple[float, str]] = Queue()

    @backbone.on_commit
    def note(changes: Any) -> None:
        now = time.perf_counter()
        for change in changes:
            replicated.put((now, str((change.record or {}).get("description"))))

    backbone.start()
    assert backbone.wait_synced(120)
    while not replicated.empty():
        replicated.get()
    apart, burst = [], []
    for number in range(changes):
        with db.transaction() as session:
            edit_game(session, "g0", description=f"apart {number}")
        sent = committed[-1]
        apart.append(replicated.get(timeout=10)[0] - sent)
    sent_at = {}
    for number in range(changes):
        with db.transaction() as session:
            edit_game(session, f"g{number % 500}", description=f"burst {number}")
        sent_at[f"burst {number}"] = committed[-1]
    last = f"burst {changes - 1}"
    while True:
        now, description = replicated.get(timeout=10)
        burst.append(now - sent_at[description])
        if description == last:
            break
    backbone.stop()
    return {
        name: {"p50_ms": round(quantile(lags, 0.5) * 1000, 2), "p99_ms": round(quantile(lags, 0.99) * 1000, 2)}
        for name, lags in (("one_by_one", apart), ("all_at_once", burst))
    }


class Churn:
    """Creates, edits and deletes games until it is stopped."""

    def __init__(self, rng: random.Random) -> None:
        self.done = self.refused = 0
        self._number = 0
        self._rng = rng
        self._is_over = False
        self._names: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._change()
                self.done += 1
            except OperationalError:
                self.refused += 1  # SQLite on a busy machine: the churn goes on

    def _change(self) -> None:
        act = self._rng.random()
        if act < 0.3 or not self._names:
            self._number += 1
            name = f"churn{self._number}"
            with db.transaction() as session:
                games.create_game(
                    session, OPERATOR, owner_id=1, details=GameDetails(name=f"The {name}", short_name=name)
                )
            self._names.append(name)
            return
        name = self._rng.choice(self._names)
        with db.transaction() as session:
            if act < 0.4:
                games.delete_game(session, OPERATOR, short_name=name)
            else:
                text = f"{self._rng.random()} ✔️ \"'\\ <b>"
                edit_game(session, name, description=text)
        if act < 0.4:
            self._names.remove(name)

    def stop(self) -> None:
        self._is_over = True
        self._thread.join()


def measure_kills(stack: Stack, application: dict[str, str], database: str, kills: int) -> dict[str, Any]:
    """Kill the mirror many times. At the end its replica must equal the network."""
    settings = Settings.from_environment(stack.environment)
    db.bind(db.make_engine(settings.database_url))
    publish_after_commit(Bus(settings.redis_url))
    rng = random.Random(6)
    where = ["--database", empty(database)]
    network = ["--url", stack.workers[0].url, "--client-id", application["client_id"]]
    variables = environment(GOSSIP_CLIENT_SECRET=application["client_secret"])
    churn = Churn(rng)
    moments = {"before_it_is_connected": 0, "in_a_whole_state": 0, "in_changes": 0}
    start = time.monotonic()
    try:
        for _ in range(kills):
            process = subprocess.Popen(
                [sys.executable, "-m", "backbone", "mirror", *network, *where],
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            # Wait for a line of its output first: on a busy machine the start takes longer than everything after it.
            since = rng.choice(["", "connected", "connected", "in sync"])
            output = _read_until(process, since) if since else ""
            time.sleep(rng.uniform(0.0, 1.0))
            process.kill()
            assert process.stdout is not None
            output += process.stdout.read()
            process.wait()
            if "in sync" in output:
                moments["in_changes"] += 1
            else:
                moments["in_a_whole_state" if "connected" in output else "before_it_is_connected"] += 1
            if rng.random() < 0.2:  # let it need the whole state again
                engine = open_database(database)
                with engine.begin() as connection:
                    if "in sync" in output:
                        connection.execute(update(State).values(cursor=None))
                engine.dispose()
    finally:
        churn.stop()
    seconds = time.monotonic() - start
    last = subprocess.Popen(
        [sys.executable, "-m", "backbone", "mirror", *network, *where],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    _read_until(last, "in sync")
    last.terminate()
    last.communicate()
    verdict = subprocess.run(
        [sys.executable, "-m", "backbone", "verify", *network, *where],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "kills": kills,
        "killed": moments,
        "changes": churn.done,
        "refused_by_sqlite": churn.refused,
        "seconds": round(seconds, 1),
        "verify": verdict.stdout.strip().splitlines()[-1] if verdict.stdout else verdict.stderr.strip(),
        "equal": verdict.returncode == 0,
    }


def _read_until(process: subprocess.Popen[str], words: str) -> str:
    """Return the output up to the line with these words, or up to the end."""
    assert process.stdout is not None
    output = ""
    for text in process.stdout:
        output += text
        if words in text:
            break
    return output


def main() -> None:
    """Print one JSON object for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["first", "lag", "kill"], help="first, lag, kill (all)")
    parser.add_argument("--games", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    with ExitStack() as cleanup, Stack() as stack:
        stack.games(options.games)
        application = stack.flask("application", "create", "Bench", "bench")[0]
        stack.worker()
        database = options.database or f"sqlite:///{stack.folder / 'replica.db'}"
        if database in ("postgres", "mariadb"):
            server = Postgres() if database == "postgres" else MariaDB()
            cleanup.callback(server.close)
            database = server.create_database()
        kind = {"database": database.partition(":")[0], "games": options.games}
        if "first" in options.what:
            print(json.dumps({**kind, "first": measure_first(stack, application, database)}), flush=True)
        if "lag" in options.what:
            print(json.dumps({**kind, "lag": measure_lag(stack, application, database, options.changes)}), flush=True)
        if "kill" in options.what:
            print(json.dumps({**kind, "kill": measure_kills(stack, application, database, options.kills)}), flush=True)


if __name__ == "__main__":
    main()
