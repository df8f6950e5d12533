"""The exceptions of this library. The text of each is one line for a person."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

# MySQL errors that may go away: full disk, too many connections, shutdown, lost packets, locks and deadlocks, read-only
_TEMPORARY = {1020, 1021, 1037, 1038, 1040, 1041, 1053, 1105, 1114, 1129, 1158, 1159, 1160, 1161, 1180, 1184, 1203}
_TEMPORARY |= {1205, 1206, 1213, 1226, 1290, 1317, 1836, 1927, 1969}


class BackboneError(Exception):
    """Base class of this library's errors."""


class DatabaseFailed(BackboneError):
    """The database cannot be used: it is locked or away, or the tables are missing."""


class HookFailed(BackboneError):
    """A hook of the host application raised an error. Its change was not applied."""


class WrongNetwork(BackboneError):
    """The database holds the records of another network."""


def is_temporary(error: SQLAlchemyError) -> bool:
    """Whether the database's state is at fault, such as a lock, rather than the statement."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        return bool(code & 0xFF != sqlite3.SQLITE_ERROR)  # this code also covers a missing table
    number = next(iter(getattr(error.orig, "args", ())), None)
    if _is_mysql(error) and isinstance(number, int) and 1000 <= number < 2000:
        return number in _TEMPORARY  # the drivers raise OperationalError for an unknown column too
    return True


def is_locked(error: object) -> bool:
    """Whether the error means that another program has locked the SQLite file."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_mysql(error: DBAPIError) -> bool:
    return type(error.orig).__module__.partition(".")[0] in ("pymysql", "MySQLdb", "mysql", "mariadb")


def sentence(error: SQLAlchemyError) -> str:
    """Return the database's own message, in one line."""
    cause: object = error.orig if isinstance(error, DBAPIError) else error
    match getattr(cause, "args", ()):
        case (int(), str() as message):  # the drivers of MySQL give a number and a message
            cause = message
    return first_line(cause or error)


def first_line(error: object) -> str:
    """Return the first line of the error's text, or the name of its class if the text is empty."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
