"""The network as a whole: its state, and the notice of a restart."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flask import current_app
from flask.cli import AppGroup

from app.commands.console import command, print_result
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


def _bus() -> Bus:
    bus: Bus = current_app.extensions["bus"]
    return bus
