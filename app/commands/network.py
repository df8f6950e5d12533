"""The network as a whole: its state, upgrades, and the notice of a restart."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flask import current_app
from flask.cli import AppGroup

from app.commands.console import command, fail, print_result
from shared import takeover
from shared.bus import Bus
from shared.db import reading, transaction
from shared.services import network
from shared.services.authority.actors import OPERATOR

group = AppGroup("network")


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


def _bus() -> Bus:
    bus: Bus = current_app.extensions["bus"]
    return bus
