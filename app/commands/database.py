"""The database: back it up, and start over after a restore."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from flask.cli import AppGroup

from app.commands.console import command, print_result
from shared.db import db, transaction, utc_now
from shared.services import backups
from shared.services.authority.actors import OPERATOR

group = AppGroup("database")


@command(group, "backup")
@click.argument("file")
@click.option("--replace", is_flag=True, help="Overwrite FILE if it exists.")
def backup(file: str, replace: bool) -> None:
    """Copy the SQLite database to FILE while everything runs.

    If FILE is a folder, the copy is named after the date. With a trailing slash, the folder is created if missing.
    """

    def progress(done: int, total: int) -> None:
        print(f"{done * 100 // max(total, 1)} %", file=sys.stderr)

    copy = backups.back_up(
        db.engine.url,
        Path(file),
        is_replacing=replace,
        is_folder=file.endswith("/"),
        now=utc_now(),
        progress=progress,
    )
    print_result(file=str(copy), bytes=copy.stat().st_size)


@command(group, "restored")
def restored() -> None:
    """Run once after restoring a backup.

    Makes every application sync from the start, and makes sure that no version number is used twice.
    """
    with transaction() as session:
        print_result(**backups.start_over(session, OPERATOR))
