"""Players that a person ignores, on the site and as all of their registered characters.

A tell from an ignored player is answered as if the receiver were offline, so that the sender cannot tell.
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

IGNORES_PER_USER = 200
COMMANDS = ("ignore", "unignore", "ignores")
_SHOWN_IN_A_TELL = 30


def add_ignore(session: Session, actor: Actor, *, pattern: str, is_person: bool = False) -> Ignore:
    """Ignore players that match a pattern (`Bob@Game`, `*@Game`).

    Args:
        is_person: Ignore the person behind one player, with all their characters. `pattern` is then a registered
            character or a username.

    Raises Forbidden, NotFound (nobody registered it, or no such game), Invalid and Conflict (field `pattern`).
    """
    require(actor, Act.IGNORE)
    assert actor.id is not None
    count = session.scalar(select(func.count()).select_from(Ignore).where(Ignore.user_id == actor.id)) or 0
    if count >= IGNORES_PER_USER:
        raise Conflict(f"you already ignore {IGNORES_PER_USER}: stop ignoring one first", field="pattern")
    if is_person:
        person_id = _person_id(session, pattern)
        if person_id == actor.id:
            raise Invalid("that is you", field="pattern")
        entry = Ignore(user_id=actor.id, person_id=person_id)
    else:
        entry = Ignore(user_id=actor.id, pattern=targets.pattern(session, pattern))
    try:
        with session.begin_nested():
            session.add(entry)
    except IntegrityError:
        raise Conflict("you already ignore them", field="pattern") from None
    changes.mark(session, Part.PEOPLE)
    return entry


def delete_ignore(session: Session, actor: Actor, *, ignore_id: int) -> Ignore:
    """Stop ignoring. Raises Forbidden, NotFound (also for somebody else's entry)."""
    require(actor, Act.IGNORE)
    entry = session.get(Ignore, ignore_id)
    if entry is None or entry.user_id != actor.id:
        raise NotFound("you do not ignore them")
    session.delete(entry)
    session.flush()
    changes.mark(session, Part.PEOPLE)
    return entry


def list_ignores(session: Session, user_id: int) -> Sequence[Ignore]:
    """Return whom a user ignores, oldest first, with `person` loaded."""
    own = select(Ignore).where(Ignore.user_id == user_id).options(joinedload(Ignore.person))
    return session.scalars(own.order_by(Ignore.id)).all()


def name_of(session: Session, entry: Ignore) -> str:
    """Return an entry in words: `bob@Harbour`, or `alice@Grapevine and all their characters`."""
    if entry.person is not None:
        return f"{entry.person.username}@{grapevine.SHORT_NAME} and all their characters"
    return targets.shown_pattern(session, entry.pattern or "")


def is_ignore_tell(text: str) -> bool:
    """Return True for a tell whose first word is `ignore`, `unignore` or `ignores`, in any case."""
    return text.lower().split()[:1] in [[command] for command in COMMANDS]


def answer_ignore_tell(session: Session, *, peer: str, name: str, text: str) -> str:
    """Carry out a tell to `system`, and return the sentence to answer it with.

    Understands `ignore Bob@Game`, `ignore person Bob@Game`, `unignore Bob@Game` and `ignores`; names may have spaces.
    The player must be a registered character or chat from the site, since it is their person who ignores.
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
        names = [name_of(session, entry) for entry in list_ignores(session, actor.id)]
        if not names:
            return "You ignore nobody."
        more = f", and {len(names) - _SHOWN_IN_A_TELL} more" if len(names) > _SHOWN_IN_A_TELL else ""
        return f"You ignore {', '.join(names[:_SHOWN_IN_A_TELL])}{more}."
    word, _, after = rest.partition(" ")
    is_person = word.lower() == "person" and bool(after)
    text = after if is_person else rest
    if not text:
        return f'Say whom: tell me "{command} Bob@Game".'
    if command == "ignore":
        entry = add_ignore(session, actor, pattern=text, is_person=is_person)
        return f"You ignore {name_of(session, entry)} now, with all your registered characters."
    entry = _find(session, actor.id, text, is_person=is_person)
    delete_ignore(session, actor, ignore_id=entry.id)
    return f"You hear {name_of(session, entry)} again."


def _find(session: Session, user_id: int, text: str, *, is_person: bool) -> Ignore:
    statement = select(Ignore).where(Ignore.user_id == user_id).options(joinedload(Ignore.person))
    if is_person:
        statement = statement.where(Ignore.person_id == _person_id(session, text))
    else:
        statement = statement.where(Ignore.pattern == parse_pattern(text))
    entry = session.scalar(statement)
    if entry is None:
        raise NotFound(f"you do not ignore {text}")
    return entry


def _person_id(session: Session, text: str) -> int:
    """Return the id of the person behind a `name@game` or a username. Raises NotFound (field `pattern`)."""
    name, at, game = text.strip().rpartition("@")
    if not at:
        user = users.find_user_by_username(session, text.strip())
    else:
        target = targets.player(session, name=name, game=game)
        user = targets.person_of(session, target.peer, target.player_key)
    if user is None:
        raise NotFound(f"nobody has registered {text.strip()}: ignore the name alone", field="pattern")
    return user.id
