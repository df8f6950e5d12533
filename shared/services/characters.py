"""Characters: claimed by a tell from inside the game with a person's key, approved by that person on the site."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, literal, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from shared import grapevine, peer_keys
from shared.db import UtcDateTime, count_changed, upsert, utc_now
from shared.errors import Conflict, DomainError, Forbidden, NotFound
from shared.models.character import Character, CharacterSighting
from shared.models.game import Game
from shared.models.user import User
from shared.peer_keys import PeerKey
from shared.protocol.types import player_key
from shared.services import account_sanctions
from shared.services.authority import changes
from shared.services.authority.actors import Actor
from shared.services.authority.changes import Part

CHARACTERS_PER_USER = 200
COMMAND = "register"
_BATCH = 500


class UnknownKey(NotFound):
    """No account has this registration key."""

    code = "unknown-key"


class RegistrationClosed(Forbidden):
    """The game does not let players claim their characters."""

    code = "registration-closed"


class CharacterTaken(Conflict):
    """The character is registered already; the message says whether to this person or to another."""

    code = "character-taken"


def register_character(session: Session, *, game_id: int, name: str, key: str) -> Character:
    """Claim a player of a game for the account with this key. Pending until its person approves it on the site.

    The key is the permission. It is replaced only if this succeeds.

    Args:
        name: As the game spells it, cleaned, 1 to 60 characters.

    Raises UnknownKey, RegistrationClosed, CharacterTaken, Conflict (too many).
    """
    # Lock the account: of two tells with the same key, the second must wait and then find the key gone.
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
        raise RegistrationClosed("this game does not let players register characters; your key is still valid")
    existing = _find(session, game_id, name)
    if existing is not None:
        raise _taken(existing, user)
    if len(session.scalars(select(Character.id).where(Character.user_id == user.id)).all()) >= CHARACTERS_PER_USER:
        raise Conflict(f"an account may have at most {CHARACTERS_PER_USER} characters; your key is still valid")
    character = Character(user_id=user.id, game_id=game_id, name=name, name_key=player_key(name))
    try:
        with session.begin_nested():
            session.add(character)
    except IntegrityError:  # another account's tell was faster
        raise _taken(_find(session, game_id, name), user) from None
    user.registration_key = str(uuid.uuid4())
    return character


def is_register_tell(text: str) -> bool:
    """Return True for a tell whose first word is `register`, in any case."""
    return text.lower().split()[:1] == [COMMAND]


def answer_register_tell(session: Session, *, game_id: int, name: str, text: str) -> str:
    """Carry out a tell `register <key>`, and return the sentence to answer it with.

    Ignores case, extra spaces, and brackets or quotes around the key. A refusal changes nothing.
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
    """Return a person's characters with their games: pending ones first, then by name."""
    query = select(Character).where(Character.user_id == user_id).options(joinedload(Character.game))
    return list(session.scalars(query.order_by(Character.state.desc(), Character.name_key, Character.id)))


@dataclass(frozen=True, slots=True)
class Claim:
    """An approved character of a game, and what its person wants others to see."""

    name: str
    name_key: str
    username: str
    is_online_hidden: bool
    is_profile_hidden: bool


def list_public_characters_of_game(session: Session, game_id: int, *, limit: int) -> list[Character]:
    """Return a game's approved characters by name, without those of people who hide their profile."""
    query = (
        select(Character)
        .join(Character.user)
        .where(Character.game_id == game_id, Character.state == "approved", User.is_profile_hidden.is_(False))
    )
    return list(session.scalars(query.order_by(Character.name_key).limit(limit)))


def list_public_claims(session: Session, game_id: int, *, limit: int) -> list[Claim]:
    """Return what a game's page shows of `list_public_characters_of_game`."""
    query = _CLAIMS_OF_GAME.where(User.is_profile_hidden.is_(False)).order_by(Character.name_key).limit(limit)
    return [Claim(*row) for row in session.execute(query, {"game_id": game_id})]


def list_claims(session: Session, game_id: int, names: Iterable[str]) -> dict[str, Claim]:
    """Return the approved characters among a game's players, by player key."""
    keys = sorted({player_key(name) for name in names})
    claims: dict[str, Claim] = {}
    for start in range(0, len(keys), _BATCH):
        query = _CLAIMS_OF_GAME.where(Character.name_key.in_(keys[start : start + _BATCH]))
        claims.update((row.name_key, Claim(*row)) for row in session.execute(query, {"game_id": game_id}))
    return claims


_CLAIMS_OF_GAME = (
    select(Character.name, Character.name_key, User.username, User.is_online_hidden, User.is_profile_hidden)
    .join(Character.user)
    .where(Character.game_id == bindparam("game_id"), Character.state == "approved")
)


def state_mark(user: User, characters: Iterable[Character]) -> str:
    """Return an entity tag that changes whenever a person's characters page does."""
    rows = [
        f"{character.id} {character.state} {character.game.name} {character.game.short_name} "
        f"{character.game.is_displayed}"
        for character in characters
    ]
    return hashlib.sha256("\n".join([user.registration_key, *rows]).encode()).hexdigest()[:20]


def approve_character(session: Session, actor: Actor, *, character_id: int) -> Character:
    """Confirm that a character is the actor's, which makes it public. Twice does no harm. Raises NotFound."""
    character = get_own_character(session, actor, character_id=character_id)
    if not character.is_approved:
        character.state, character.approved_at = "approved", utc_now()
        changes.mark(session, Part.PEOPLE)
    return character


def deny_character(session: Session, actor: Actor, *, character_id: int) -> Character:
    """Delete a pending character; its name is free again. Raises NotFound, Conflict (it was approved)."""
    character = get_own_character(session, actor, character_id=character_id)
    if character.is_approved:
        raise Conflict("this character has already been approved: remove it instead")
    session.delete(character)
    return character


def delete_character(session: Session, actor: Actor, *, character_id: int) -> Character:
    """Delete a character of the actor, pending or approved; its name is free again.

    Raises NotFound, Conflict (it is approved and the account is under a sanction, which deleting would evade).
    """
    character = get_own_character(session, actor, character_id=character_id)
    if character.is_approved and account_sanctions.is_sanctioned(session, character.user_id):
        raise Conflict(
            "while a sanction of your account is in force, it applies to your characters: none can be removed"
        )
    session.delete(character)
    changes.mark(session, Part.PEOPLE)
    return character


def get_own_character(session: Session, actor: Actor, *, character_id: int) -> Character:
    """Return a character of the actor. Raises NotFound, also for somebody else's, which must not be revealed."""
    character = session.get(Character, character_id, options=[joinedload(Character.game)])
    if character is None or not actor.is_user(character.user_id):
        raise NotFound("there is no such character of yours")
    return character


def note_sightings(session: Session, online: Iterable[tuple[int, Sequence[str]]], *, at: datetime) -> int:
    """Store when approved characters were last online. Return how many of these are.

    One statement for 500 games, and one for 500 characters that are online. Characters that are deleted meanwhile are
    skipped.

    Args:
        online: Pairs of a game's id and the names of its players.
    """
    names = dict(online)
    game_ids = sorted(names)
    character_ids: list[int] = []
    for start in range(0, len(game_ids), _BATCH):
        keys: dict[int, set[str]] = {}  # only of games with characters, since most players are none
        for character_id, game_id, key in session.execute(
            select(Character.id, Character.game_id, Character.name_key).where(
                Character.game_id.in_(game_ids[start : start + _BATCH]), Character.state == "approved"
            )
        ):
            if game_id not in keys:
                keys[game_id] = {player_key(name) for name in names[game_id]}
            if key in keys[game_id]:
                character_ids.append(character_id)
    seen = 0
    for start in range(0, len(character_ids), _BATCH):
        approved = (
            select(Character.id, literal(at, UtcDateTime))
            .where(Character.id.in_(character_ids[start : start + _BATCH]), Character.state == "approved")
            .with_for_update(read=True, key_share=True)
        )
        sightings = session.execute(
            upsert(session, CharacterSighting)
            .from_select(["character_id", "seen_at"], approved)
            .on_conflict_do_update(index_elements=["character_id"], set_={"seen_at": at})
            .execution_options(preserve_rowcount=True)
        )
        seen += count_changed(sightings)
    return seen


def players_of(session: Session, user_id: int) -> list[tuple[PeerKey, str]]:
    """Return a person's players as (peer key, player's key): the username on Grapevine and approved characters."""
    user = session.get(User, user_id)
    if user is None:
        return []
    rows = session.execute(
        select(Character.game_id, Character.name_key).where(Character.user_id == user_id, Character.state == "approved")
    )
    return [
        (grapevine.KEY, player_key(user.username)),
        *((peer_keys.of_game(row.game_id), row.name_key) for row in rows),
    ]


def _find(session: Session, game_id: int, name: str) -> Character | None:
    return session.scalar(select(Character).where(Character.game_id == game_id, Character.name_key == player_key(name)))


def _taken(existing: Character | None, user: User) -> CharacterTaken:
    if existing is None or existing.user_id != user.id:
        return CharacterTaken("this character is registered to another player; your key is still valid")
    if existing.is_approved:
        return CharacterTaken("this character is already registered to you; your key is still valid")
    return CharacterTaken("this character is already waiting for you: approve it on the site; your key is still valid")
