"""What can go wrong with a replica, as exceptions. Their text is one line for a person."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class BackboneError(Exception):
    """Any failure of this library."""


class DatabaseFailed(BackboneError):
    """The database cannot be used: locked, gone, or without the tables."""


class HookFailed(BackboneError):
    """A hook of the host application raised an error; the change it was told was not applied."""


class WrongNetwork(BackboneError):
    """The database holds the records of another network."""


def sentence(error: SQLAlchemyError) -> str:
    """What the database said, in one line."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    lines = str(cause if cause is not None else error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
