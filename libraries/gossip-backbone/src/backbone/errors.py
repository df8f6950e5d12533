"""What can go wrong with a replica, as exceptions. Their text is one line for a person."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError


class BackboneError(Exception):
    """Any failure of this library."""


class DatabaseFailed(BackboneError):
    """The database cannot be used: locked, gone, or without the tables."""


class HookFailed(BackboneError):
    """A hook of the host application raised an error; the change it was told was not applied."""


class WrongNetwork(BackboneError):
    """The database holds the records of another network."""


def may_pass(error: SQLAlchemyError) -> bool:
    """Whether it is the database's state that is wrong, such as a lock, and not the statement."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is None or code & 0xFF != sqlite3.SQLITE_ERROR  # where a table is missing, for SQLite that is one too


def sentence(error: SQLAlchemyError) -> str:
    """What the database said, in one line."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    lines = str(cause if cause is not None else error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
