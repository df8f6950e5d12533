"""Whom a person does not want to hear: it holds for all of their registered characters, and on the site.

Their tells get the answer that a player who is not online would give, so that the ignored are not told.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from shared import grapevine
from shared.errors import Conflict, DomainError, Invalid, NotFound
from shared.models.moderation import Ignore
from shared.protocol.types import player_key
from shared.services import users
from shared.services.authority import actors, changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part
from shared.services.authority.permissions import Act, require
from shared.services.moderation import targets
from shared.services.moderation.patterns import parse_pattern

IGNORES_A_USER = 200
COMMANDS = ("ignore", "unignore", "ignores")
_SHOWN_IN_A_TELL = 30


def add_ignore(session: Session, actor: Actor, *, pattern: str, is_person: bool = False) -> Ignore:
    """Ignore players that fit a pattern (`Bob@Game`, `*@Game`).

    is_person: the person whose registered character, or name on Grapevine, `pattern` is: with all their characters.
    Raises Forbidden, NotFound (nobody registered it, or no such game), Invalid and Conflict (field `pattern`).
    """
    require(actor, Act.IGNORE)
    assert actor.id is not None
    if (session.scalar(select(func.count()).select_from(Ignore).where(Ignore.user_id == actor.id)) or 0) >= (
        IGNORES_A_USER
    ):
        raise Conflict(f"you ignore {IGNORES_A_USER} already: stop ignoring one first", field="pattern")
    if is_person:
        person_id = _person_id(session, pattern)
        if person_id == actor.id:
            raise Invalid("that is you", field="pattern")
        made = Ignore(user_id=actor.id, person_id=person_id)
    else:
        made = Ignore(user_id=actor.id, pattern=targets.pattern(session, pattern))
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        raise Conflict("you ignore them already", field="pattern") from None
    changes.mark(session, Part.PEOPLE)
    return made


def delete_ignore(session: Session, actor: Actor, *, ignore_id: int) -> Ignore:
    """Hear them again. Raises Forbidden, NotFound (also another's)."""
    require(actor, Act.IGNORE)
    found = session.get(Ignore, ignore_id)
    if found is None or found.user_id != actor.id:
        raise NotFound("you do not ignore them")
    session.delete(found)
    session.flush()
    changes.mark(session, Part.PEOPLE)
    return found


def list_ignores(session: Session, user_id: int) -> Sequence[Ignore]:
    """Whom a user ignores, with the `person` where it is one, oldest first."""
    own = select(Ignore).where(Ignore.user_id == user_id).options(joinedload(Ignore.person))
    return session.scalars(own.order_by(Ignore.id)).all()


def name_of(session: Session, found: Ignore) -> str:
    """An entry in words: its pattern, with the game as it is spelt, or `alice@Grapevine and all their characters`."""
    if found.person is not None:
        return f"{found.person.username}@{grapevine.SHORT_NAME} and all their characters"
    return targets.shown_pattern(session, found.pattern or "")


def is_ignore_tell(text: str) -> bool:
    """True for a tell that begins with `ignore`, `unignore` or `ignores`, in any case."""
    return text.lower().split()[:1] in [[command] for command in COMMANDS]


def answer_ignore_tell(session: Session, *, peer: str, name: str, text: str) -> str:
    """Do what a tell to `system` asks for, and return the sentence to answer it with.

    `ignore Bob@Game`, `ignore person Bob@Game`, `unignore Bob@Game`, `ignores`. Names may have spaces. The player
    must be a registered character, or chat from the site: it is their person who ignores.
    """
    person = targets.person_of(session, peer, player_key(name))
    if person is None:
        return (
            'I do not know who you are: register this character first (tell me "register" and your key from the '
            "site), and approve it there."
        )
    actor = actors.of_user(session, person.id)
    command, _, rest = " ".join(text.split()).partition(" ")
    try:
        return _answer(session, actor, command.lower(), rest)
    except DomainError as error:
        return f"{error.message[:1].upper()}{error.message[1:]}."


def _answer(session: Session, actor: Actor, command: str, rest: str) -> str:
    assert actor.id is not None
    if command == "ignores":
        names = [name_of(session, found) for found in list_ignores(session, actor.id)]
        if not names:
            return "You ignore nobody."
        more = f", and {len(names) - _SHOWN_IN_A_TELL} more" if len(names) > _SHOWN_IN_A_TELL else ""
        return f"You ignore {', '.join(names[:_SHOWN_IN_A_TELL])}{more}."
    word, _, after = rest.partition(" ")
    is_person = word.lower() == "person" and bool(after)
    wanted = after if is_person else rest
    if not wanted:
        return f'Say whom: tell me "{command} Bob@Game".'
    if command == "ignore":
        made = add_ignore(session, actor, pattern=wanted, is_person=is_person)
        return f"You ignore {name_of(session, made)} now, with all your registered characters."
    found = _find(session, actor.id, wanted, is_person=is_person)
    delete_ignore(session, actor, ignore_id=found.id)
    return f"You hear {name_of(session, found)} again."


def _find(session: Session, user_id: int, wanted: str, *, is_person: bool) -> Ignore:
    statement = select(Ignore).where(Ignore.user_id == user_id).options(joinedload(Ignore.person))
    if is_person:
        statement = statement.where(Ignore.person_id == _person_id(session, wanted))
    else:
        statement = statement.where(Ignore.pattern == parse_pattern(wanted))
    found = session.scalar(statement)
    if found is None:
        raise NotFound(f"you do not ignore {wanted}")
    return found


def _person_id(session: Session, wanted: str) -> int:
    """Whose character a `name@game` is; a bare name is a username. Raises NotFound (field `pattern`)."""
    name, at, game = wanted.strip().rpartition("@")
    if not at:
        user = users.find_user_by_username(session, wanted.strip())
    else:
        found = targets.player(session, name=name, game=game)
        user = targets.person_of(session, found.peer, found.player_key)
    if user is None:
        raise NotFound(f"nobody has registered {wanted.strip()}: ignore the name alone", field="pattern")
    return user.id
