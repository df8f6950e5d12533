"""What can go wrong with a replica, as exceptions. Their text is one line for a person."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

# Of the server's errors: full disks, too many connections, a shut-down, lost packets, locks and deadlocks, read only
_MYSQL_PASSES = {1020, 1021, 1037, 1038, 1040, 1041, 1053, 1105, 1114, 1129, 1158, 1159, 1160, 1161, 1180, 1184, 1203}
_MYSQL_PASSES |= {1205, 1206, 1213, 1226, 1290, 1317, 1836, 1927, 1969}


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
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        return bool(code & 0xFF != sqlite3.SQLITE_ERROR)  # where a table is missing, for SQLite that is one too
    number = next(iter(getattr(error.orig, "args", ())), None)
    if _is_mysql(error) and isinstance(number, int) and 1000 <= number < 2000:
        return number in _MYSQL_PASSES  # its drivers say OperationalError of an unknown column too
    return True


def is_locked(error: object) -> bool:
    """Whether another program locks SQLite's file."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_mysql(error: DBAPIError) -> bool:
    return type(error.orig).__module__.partition(".")[0] in ("pymysql", "MySQLdb", "mysql", "mariadb")


def sentence(error: SQLAlchemyError) -> str:
    """What the database said, in one line."""
    cause: object = error.orig if isinstance(error, DBAPIError) else error
    match getattr(cause, "args", ()):
        case (int(), str() as said):  # drivers of MySQL: a number, and the sentence
            cause = said
    return first_line(cause or error)


def first_line(error: object) -> str:
    """The first line of its text, or its name where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
