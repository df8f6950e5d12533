"""The network as a whole: its state, upgrades, the notice of a restart, and moving it to another database."""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import click
from flask import current_app
from flask.cli import AppGroup

from app.commands.console import command, fail, print_result
from shared import takeover
from shared.bus import Bus
from shared.db import reading, transaction, utc_now
from shared.private_files import private_file
from shared.services import network
from shared.services.authority.actors import OPERATOR
from shared.services.dumps import reader, tables, writer

group = AppGroup("network")
PROGRESS_SECONDS = 2.0


@command(group, "restart-notice")
@click.option("--downtime", type=int, default=15, show_default=True, help="How many seconds sockets will be down.")
def restart_notice(downtime: int) -> None:
    """Announce a restart to every socket."""
    with transaction() as session:
        network.announce_restart(session, OPERATOR, _bus(), downtime_seconds=downtime)
    print_result(downtime=downtime)


@command(group, "status")
def network_status() -> None:
    """Show the current state of the network."""
    with reading() as session:
        status = network.network_status(session, _bus())
    for socket in status["sockets"]:
        socket["since"] = datetime.fromtimestamp(socket["since"], UTC).isoformat(timespec="seconds")
    print_result(**status)


@command(group, "upgrade")
@click.option("--pid", type=int, help="Only this process: a worker, or the launcher. Units of systemd have $MAINPID.")
def upgrade(pid: int | None) -> None:
    """Let new code take over from the running workers. No socket is closed.

    Run it after the new code was installed and the database was migrated. If `make run` runs on this machine, it
    migrates, upgrades its worker and restarts the site. Otherwise the workers with this instance folder are upgraded
    one after the other.
    """
    instance_path = current_app.extensions["settings"].instance_path
    launcher = takeover.find_launcher(instance_path)
    if pid is not None:
        pids = [pid]
    elif launcher is not None:
        pids = [launcher]
    else:
        pids = [worker.pid for worker in takeover.list_workers(instance_path)]
    if not pids:
        fail(f"no worker of this user runs on this machine with the instance folder {instance_path}")
    for old in pids:
        try:
            print_result(old=old, new=takeover.request_upgrade(instance_path, old))
        except takeover.UpgradeFailed as failed:
            fail(f"process {old} goes on: {failed}")


@command(group, "export")
@click.argument("file")
@click.option("--replace", is_flag=True, help="Overwrite FILE if it exists.")
def export_network(file: str, replace: bool) -> None:
    """Write the whole network to FILE, for `flask network import` on another database.

    `-` is standard output; the result is then printed to standard error. A name that ends with .gz is compressed.
    """

    def write(sink: IO[bytes]) -> dict[str, Any]:
        with reading() as session:
            return writer.export_network(
                session, OPERATOR, sink, schema=_code_schema(), now=utc_now(), progress=_progress()
            )

    if file == "-":
        print(json.dumps(write(sys.stdout.buffer)), file=sys.stderr)
        return
    with private_file(Path(file), is_replacing=replace) as draft:
        with gzip.open(draft, "wb", 3) if file.endswith(".gz") else draft.open("wb") as sink:
            result = write(cast("IO[bytes]", sink))
    print_result(file=file, bytes=Path(file).stat().st_size, **result)


@command(group, "import")
@click.argument("file", type=click.File("rb"))
def import_network(file: IO[bytes]) -> None:
    """Read FILE, which `flask network export` has written, into an empty database: all of it or nothing.

    `-` is standard input. Run `flask db upgrade` before, and start nothing else until it is done.
    """
    buffered = io.BufferedReader(cast("io.RawIOBase", file)) if not hasattr(file, "peek") else file
    is_compressed = cast("io.BufferedReader", buffered).peek(2)[:2] == b"\x1f\x8b"
    source = gzip.GzipFile(fileobj=buffered) if is_compressed else buffered
    with transaction() as session:
        result = reader.import_network(
            session, OPERATOR, cast("IO[bytes]", source), schema=_code_schema(), progress=_progress()
        )
        print("saving", file=sys.stderr)
    print_result(**result)


@command(group, "digest")
def digest() -> None:
    """Print a digest of each table. Two databases with the same contents have the same digests."""
    with reading() as session:
        print_result(**tables.digest_network(session, _progress()))


def _progress() -> Callable[[str, int], None]:
    """Return a function that prints a line to standard error, at most every few seconds."""
    said_at = time.monotonic()

    def say(table: str, rows: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at > PROGRESS_SECONDS:
            said_at = time.monotonic()
            print(f"{table}: {rows:,}", file=sys.stderr)

    return say


def _code_schema() -> str:
    """Return the revision of the schema that this code needs."""
    from alembic.script import ScriptDirectory  # slow to import

    from app.commands.migrations import MIGRATIONS

    return str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


def _bus() -> Bus:
    bus: Bus = current_app.extensions["bus"]
    return bus
