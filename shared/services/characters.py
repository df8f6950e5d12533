"""Characters: claimed by a tell from inside the game with a person's key, approved by that person on the site."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from shared.db import UtcDateTime, count_changed, upsert, utc_now
from shared.errors import Conflict, DomainError, Forbidden, NotFound
from shared.models.character import Character, CharacterSighting
from shared.models.game import Game
from shared.models.user import User
from shared.protocol.types import player_key
from shared.services.authority import changes
from shared.services.authority.changes import Part
from shared.services.moderation import sanctions

CHARACTERS_A_USER = 200
NAMES_AT_ONCE = 500
COMMAND = "register"


class UnknownKey(NotFound):
    """No account has this registration key (any more)."""

    code = "unknown-key"


class RegistrationClosed(Forbidden):
    """The game does not let players claim their characters."""

    code = "registration-closed"


class CharacterTaken(Conflict):
    """The character is registered already; the sentence says whether to this person or to another."""

    code = "character-taken"


def register_character(session: Session, *, game_id: int, name: str, key: str) -> Character:
    """Claim a player of a game for the account with this key; pending until its person approves it on the site.

    The key is used up, and replaced, only when this succeeds. name: as the game spells it, cleaned, 1 to 60 characters.
    Raises UnknownKey, RegistrationClosed, CharacterTaken, Conflict (too many).
    """
    # Locked, so that of two tells with one key the second one looks again, and finds the key gone.
    user = session.scalar(
        select(User)
        .where(User.registration_key == key.strip().lower())
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if user is None:
        raise UnknownKey("nobody has this registration key: each works once, and your page on the site shows the next")
    game = session.get(Game, game_id)
    if game is None or not game.allows_character_registration:
        raise RegistrationClosed("this game does not let players register characters; your key stays good")
    known = _find(session, game_id, name)
    if known is not None:
        raise _taken(known, user)
    if len(session.scalars(select(Character.id).where(Character.user_id == user.id)).all()) >= CHARACTERS_A_USER:
        raise Conflict(f"an account may have {CHARACTERS_A_USER} characters at most; your key stays good")
    character = Character(user_id=user.id, game_id=game_id, name=name, name_key=player_key(name))
    try:
        with session.begin_nested():
            session.add(character)
    except IntegrityError:  # another account's tell was quicker
        raise _taken(_find(session, game_id, name), user) from None
    user.registration_key = str(uuid.uuid4())
    return character


def is_register_tell(text: str) -> bool:
    """True for a tell that begins with the word `register`, in any case, with any spaces."""
    return text.lower().split()[:1] == [COMMAND]


def answer_register_tell(session: Session, *, game_id: int, name: str, text: str) -> str:
    """Do what a tell `register <key>` asks for, and return the sentence to answer it with.

    Case and spaces do not matter, nor brackets or quotes around the key. What is refused changes nothing.
    """
    words = text.split()
    if len(words) < 2:
        return 'Add your registration key: tell me "register", a space, and the key from your characters\' page.'
    try:
        character = register_character(session, game_id=game_id, name=name, key=words[1].strip("<>\"'`“”[]().,"))
    except DomainError as error:
        return f"{error.message[:1].upper()}{error.message[1:]}."
    return (
        f"{character.name} waits for you now: approve the character on your characters' page. "
        "This key is used up, and the page shows a new one."
    )


def list_characters_of(session: Session, user_id: int) -> list[Character]:
    """A person's characters with their games: those that wait first, then by name."""
    own = select(Character).where(Character.user_id == user_id).options(joinedload(Character.game))
    return list(session.scalars(own.order_by(Character.state.desc(), Character.name_key, Character.id)))


def list_public_characters_of_game(session: Session, game_id: int, *, limit: int) -> list[Character]:
    """Approved characters of a game whose people show their profile, by name."""
    shown = (
        select(Character)
        .join(Character.user)
        .where(Character.game_id == game_id, Character.state == "approved", User.is_profile_hidden.is_(False))
        .options(joinedload(Character.user))
    )
    return list(session.scalars(shown.order_by(Character.name_key).limit(limit)))


def list_claims(session: Session, game_id: int, names: Iterable[str]) -> dict[str, Character]:
    """The approved characters among a game's players, by player key, each with its person."""
    keys = sorted({player_key(name) for name in names})
    found: dict[str, Character] = {}
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        claimed = select(Character).where(
            Character.game_id == game_id, Character.state == "approved", Character.name_key.in_(part)
        )
        found.update((one.name_key, one) for one in session.scalars(claimed.options(joinedload(Character.user))))
    return found


def state_mark(user: User, characters: Iterable[Character]) -> str:
    """A short text that changes with what a person's characters page shows; an entity tag."""
    rows = [f"{one.id} {one.state} {one.game.name} {one.game.short_name} {one.game.is_displayed}" for one in characters]
    return hashlib.sha256("\n".join([user.registration_key, *rows]).encode()).hexdigest()[:20]


def approve_character(session: Session, *, actor_id: int, character_id: int) -> Character:
    """Say that a character is one's own; from now on it is public. Doing so twice is no fault. Raises NotFound."""
    character = get_own_character(session, actor_id=actor_id, character_id=character_id)
    if not character.is_approved:
        character.state, character.approved_at = "approved", utc_now()
        changes.mark(session, Part.PEOPLE)
    return character


def deny_character(session: Session, *, actor_id: int, character_id: int) -> Character:
    """Refuse a character that waits; its name is free again. Raises NotFound, Conflict (it was approved)."""
    character = get_own_character(session, actor_id=actor_id, character_id=character_id)
    if character.is_approved:
        raise Conflict("this character was approved already: remove it instead")
    session.delete(character)
    return character


def delete_character(session: Session, *, actor_id: int, character_id: int) -> Character:
    """Remove a character, whatever its state; its name is free again.

    Raises NotFound, Conflict (it was approved, and a sanction of the account holds: it would speak again).
    """
    character = get_own_character(session, actor_id=actor_id, character_id=character_id)
    if character.is_approved and sanctions.holds_user(session, actor_id):
        raise Conflict(
            "while a sanction of your account is in force, it holds for your characters: none can be removed"
        )
    session.delete(character)
    changes.mark(session, Part.PEOPLE)
    return character


def get_own_character(session: Session, *, actor_id: int, character_id: int) -> Character:
    """A character of the actor. Raises NotFound, also for somebody else's, so that nothing is given away."""
    character = session.get(Character, character_id, options=[joinedload(Character.game)])
    if character is None or character.user_id != actor_id:
        raise NotFound("there is no such character of yours")
    return character


def note_sightings(session: Session, online: Iterable[tuple[int, Sequence[str]]], *, at: datetime) -> int:
    """Remember that approved characters are online. online: (game id, its players' names). Returns how many were.

    One statement for each game, however many are online there; a character that is removed meanwhile is left out.
    """
    seen = 0
    for game_id, names in online:
        keys = sorted({player_key(name) for name in names})
        for start in range(0, len(keys), NAMES_AT_ONCE):
            found = (
                select(Character.id, literal(at, UtcDateTime))
                .where(
                    Character.game_id == game_id,
                    Character.name_key.in_(keys[start : start + NAMES_AT_ONCE]),
                    Character.state == "approved",
                )
                .with_for_update(read=True, key_share=True)
            )
            noted = session.execute(
                upsert(session, CharacterSighting)
                .from_select(["character_id", "seen_at"], found)
                .on_conflict_do_update(index_elements=["character_id"], set_={"seen_at": at})
                .execution_options(preserve_rowcount=True)
            )
            seen += count_changed(noted)
    return seen


def _find(session: Session, game_id: int, name: str) -> Character | None:
    return session.scalar(select(Character).where(Character.game_id == game_id, Character.name_key == player_key(name)))


def _taken(known: Character | None, user: User) -> CharacterTaken:
    if known is None or known.user_id != user.id:
        return CharacterTaken("this character is registered to another player; your key stays good")
    if known.is_approved:
        return CharacterTaken("this character is registered to you already; your key stays good")
    return CharacterTaken("this character waits for you already: approve it on the site; your key stays good")
