"""`flask doctor`: check everything that the network needs, and say what to do about what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from flask import current_app
from flask.cli import with_appcontext

from shared.settings import Settings

if TYPE_CHECKING:
    from app.doctor.findings import Check

CHECKS = ("database", "redis", "disk", "descriptors", "processes", "ports", "tls", "proxy", "mail")


@click.command("doctor")
@click.option("--mail-to", metavar="ADDRESS", help="Also send a test mail to this address.")
@click.option("--skip", multiple=True, type=click.Choice(CHECKS), help="Leave a check out. May be repeated.")
@with_appcontext
def doctor(mail_to: str | None, skip: tuple[str, ...]) -> None:
    """Check everything that the network needs. Ends with status 1 if something must be mended."""
    from app.commands.console import print_result
    from app.doctor.findings import Status, run_checks

    settings: Settings = current_app.extensions["settings"]
    findings = []
    for finding in run_checks([(name, check) for name, check in _checks(mail_to) if name not in skip], settings):
        findings.append(finding)
        print(f"{finding.status.upper():<8} {finding.check:<12} {_escaped(finding.message)}", file=sys.stderr)
        if finding.advice:
            print(f"{'':<21} -> {_escaped(finding.advice)}", file=sys.stderr)
    is_ok = all(finding.status is not Status.FAILED for finding in findings)
    print_result(ok=is_ok, findings=[finding._asdict() for finding in findings])
    sys.exit(0 if is_ok else 1)


def _checks(mail_to: str | None) -> Iterable[tuple[str, Check]]:
    """Return the checks by name. They import the database and Redis, which `flask --help` does not need."""
    from app.doctor.database import check_database
    from app.doctor.machine import check_descriptors, check_disk
    from app.doctor.mail import mail_check
    from app.doctor.redis import check_redis
    from app.doctor.web import check_ports, check_processes, check_proxy, check_tls

    checks = (
        check_database,
        check_redis,
        check_disk,
        check_descriptors,
        check_processes,
        check_ports,
        check_tls,
        check_proxy,
        mail_check(mail_to),
    )
    return zip(CHECKS, checks, strict=True)


def _escaped(text: str) -> str:
    """Return text that a terminal only displays: servers and certificates choose parts of it."""
    return "".join(character if character.isprintable() else "?" for character in text)
