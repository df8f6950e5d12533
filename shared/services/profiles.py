"""Profiles: what others may see of a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from shared import peer_keys
from shared.errors import NotFound
from shared.models.character import Character
from shared.models.game import Game
from shared.models.user import User
from shared.protocol.types import player_key
from shared.services import characters, users

Online = frozenset[tuple[str, str]]
"""Who is online: (peer key, player's key)."""


@dataclass(frozen=True)
class ShownCharacter:
    """One approved character. is_online and seen_at say nothing (False, None) where its person hides it."""

    name: str
    game: Game
    is_online: bool
    seen_at: datetime | None


@dataclass(frozen=True)
class Profile:
    """A person as a viewer may see them. is_own: the viewer looks at themself."""

    user: User
    characters: list[ShownCharacter]
    is_own: bool
    is_online_shown: bool


def get_profile(session: Session, *, username: str, viewer_id: int | None, online: Online) -> Profile:
    """A person's profile. A hidden one is there for its person, moderators and admins only. Raises NotFound."""
    user = users.find_user_by_username(session, username)
    viewer = session.get(User, viewer_id) if viewer_id is not None else None
    is_own = user is not None and viewer is not None and user.id == viewer.id
    is_staff = viewer is not None and viewer.role != "player"
    if user is None or (user.is_profile_hidden and not (is_own or is_staff)):
        raise NotFound(f"there is no player {username}", field="username")
    is_online_shown = is_own or not user.is_online_hidden
    shown = [
        _shown(character, online if is_online_shown else frozenset(), shows_sighting=is_online_shown)
        for character in characters.list_characters_of(session, user.id)
        if character.is_approved and (character.game.is_displayed or is_own or is_staff)
    ]
    return Profile(user, shown, is_own, is_online_shown)


def _shown(character: Character, online: Online, *, shows_sighting: bool) -> ShownCharacter:
    return ShownCharacter(
        name=character.name,
        game=character.game,
        is_online=(peer_keys.of_game(character.game_id), player_key(character.name)) in online,
        seen_at=character.sighting.seen_at if shows_sighting and character.sighting else None,
    )
