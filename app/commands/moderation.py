"""Moderation: impose and lift sanctions, verify the audit trail."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup

from app.commands.console import command, print_result
from shared.db import reading, transaction
from shared.models.moderation import SANCTION_KINDS, TARGET_KINDS, Sanction
from shared.services.authority import actors, audit
from shared.services.moderation import sanctions

group = AppGroup("moderation")


@command(group, "sanction")
@click.argument("kind", type=click.Choice(SANCTION_KINDS))
@click.argument("target")
@click.option("--of", "target_kind", type=click.Choice(TARGET_KINDS), default="player", show_default=True)
@click.option("--channel", help="Only on this channel.")
@click.option("--seconds", type=int, help="How long it lasts; permanent by default.")
@click.option("--reason", required=True)
def sanction(kind: str, target: str, target_kind: str, channel: str | None, seconds: int | None, reason: str) -> None:
    """Warn, mute or ban TARGET: Bob@Game, a game, a username, or an address or network."""
    with transaction() as session:
        imposed = sanctions.sanction(
            session,
            actors.OPERATOR,
            kind=kind,
            target_kind=target_kind,
            target=target,
            channel=channel,
            seconds=seconds,
            reason=reason,
        )
    _print_sanction(imposed)


@command(group, "lift")
@click.argument("sanction_id", metavar="ID", type=int)
@click.option("--reason", required=True)
def lift(sanction_id: int, reason: str) -> None:
    """End a sanction early."""
    with transaction() as session:
        lifted = sanctions.lift(session, actors.OPERATOR, sanction_id=sanction_id, reason=reason)
    _print_sanction(lifted)


@command(group, "verify-log")
def verify_log() -> None:
    """Check that no entry of the audit trail was changed, moved or removed.

    Names the first broken entry.
    """
    with reading() as session:
        result = audit.verify(session)
    print_result(
        ok=result.is_whole, entries=result.entries, head=result.head, broken_at=result.broken_at, fault=result.fault
    )
    if not result.is_whole:
        sys.exit(1)


def _print_sanction(sanction: Sanction) -> None:
    until = None if sanction.until is None else sanction.until.isoformat(timespec="seconds")
    print_result(
        id=sanction.id,
        kind=sanction.kind,
        target=sanction.target,
        channel=sanction.channel,
        until=until,
        state=sanction.state,
    )
