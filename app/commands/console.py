"""What all commands share: how they report results and errors, and how they read a password."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError

from shared.db import check_database, db
from shared.errors import DomainError
from shared.settings import SettingsError

F = TypeVar("F", bound=Callable[..., Any])

PASSWORD_HELP = "At least 8 characters. `-` reads it from standard input. Without this option, you are asked for it."


def command(group: AppGroup, name: str) -> Callable[[F], Any]:
    """Add a command to a group. Domain and database errors end it with one line on standard error."""

    def decorate(function: F) -> Any:
        @wraps(function)
        def run(*args: Any, **options: Any) -> None:
            try:
                function(*args, **options)
            except DomainError as error:
                fail(f"{error.field}: {error.message}" if error.field else error.message)
            except DBAPIError as error:
                try:
                    check_database(db.engine)
                except SettingsError as reason:
                    fail(str(reason))
                fail("the database refused: " + " ".join(str(error.orig).split()))

        return group.command(name)(run)

    return decorate


def fail(reason: str) -> None:
    """End the command with one line on standard error and status 1."""
    print("error: " + reason.encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
    sys.exit(1)


def print_result(**fields: Any) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(fields, ensure_ascii=False), flush=True)


def read_password(option: str | None) -> str:
    """Return the password for a `--password` option.

    `-` reads the first line of standard input. Without the option, the terminal asks for it.
    """
    if option == "-":
        return sys.stdin.readline().removeprefix("\ufeff").rstrip("\r\n")
    if option is not None:
        return option
    if not sys.stdin.isatty():
        raise click.UsageError("Missing option '--password' ('-' reads it from standard input).")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
