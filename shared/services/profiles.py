"""Profiles: what others may see of a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from shared import peer_keys
from shared.errors import NotFound
from shared.models.character import Character
from shared.models.game import Game
from shared.models.moderation import Ignore
from shared.models.profile import ProfileLink
from shared.models.user import User
from shared.protocol.types import player_key
from shared.services import characters, profile_details, users
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, may

Online = frozenset[tuple[str, str]]
"""The players who are online, as pairs of a peer key and a player's key."""


@dataclass(frozen=True)
class ShownCharacter:
    """One approved character. If its person hides being online, is_online is False and seen_at is None."""

    name: str
    game: Game
    is_online: bool
    seen_at: datetime | None


@dataclass(frozen=True)
class Profile:
    """A person as the viewer may see them. is_own: the viewer is that person; is_ignored: the viewer ignores them."""

    user: User
    characters: list[ShownCharacter]
    links: Sequence[ProfileLink]
    favourites: Sequence[Game]
    is_own: bool
    is_online_shown: bool
    is_ignored: bool


def get_profile(session: Session, actor: Actor, *, username: str, online: Online) -> Profile:
    """Return a person's profile. Hidden ones are only for that person, moderators and admins. Raises NotFound."""
    user = users.find_user_by_username(session, username)
    is_own = user is not None and actor.is_user(user.id)
    is_staff = may(actor, Act.SEE)
    if user is None or (user.is_profile_hidden and not (is_own or is_staff)):
        raise NotFound(f"there is no player {username}", field="username")
    is_online_shown = is_own or not user.is_online_hidden
    shown = [
        _shown(character, online if is_online_shown else frozenset(), shows_sighting=is_online_shown)
        for character in characters.list_characters_of(session, user.id)
        if character.is_approved and (character.game.is_displayed or is_own or is_staff)
    ]
    return Profile(
        user,
        shown,
        profile_details.list_links(session, user.id),
        profile_details.list_favourites(session, user.id),
        is_own,
        is_online_shown,
        is_ignored=actor.kind == "user" and _ignores(session, actor, user.id),
    )


def _ignores(session: Session, actor: Actor, user_id: int) -> bool:
    return bool(session.scalar(select(exists().where(Ignore.user_id == actor.id, Ignore.person_id == user_id))))


def _shown(character: Character, online: Online, *, shows_sighting: bool) -> ShownCharacter:
    return ShownCharacter(
        name=character.name,
        game=character.game,
        is_online=(peer_keys.of_game(character.game_id), player_key(character.name)) in online,
        seen_at=character.sighting.seen_at if shows_sighting and character.sighting else None,
    )
