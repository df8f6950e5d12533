"""The namespace that games and applications share."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.errors import NameTaken
from shared.models.reserved_name import ReservedShortName


def reserve(
    session: Session, short_name: str, *, game_id: int | None = None, application_id: int | None = None
) -> None:
    """Reserve a short name for a game or an application, forever.

    A name stays reserved when its game is renamed or deleted; a game may take back a name that it had.

    Raises:
        NameTaken: Somebody has or had the name. Also raised if another transaction was faster.
    """
    key = short_name.lower()
    reserved = session.get(ReservedShortName, key)
    if reserved is None:
        session.add(ReservedShortName(key=key, game_id=game_id, application_id=application_id))
        try:
            session.flush()
        except IntegrityError:
            raise taken() from None
    elif (reserved.game_id, reserved.application_id) != (game_id, application_id):
        raise taken()


def is_reserved(session: Session, short_name: str) -> bool:
    """Return True if somebody has or had this short name."""
    return session.get(ReservedShortName, short_name.lower()) is not None


def taken() -> NameTaken:
    """Return the error for a short name that somebody has or had."""
    return NameTaken("this short name is taken, choose another", field="short_name")
