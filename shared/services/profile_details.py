"""What people say about themselves: about, pronouns, links, favourite games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from shared import validation
from shared.db import utc_now
from shared.errors import Conflict, Invalid
from shared.models.game import Game
from shared.models.profile import FavouriteGame, ProfileLink
from shared.models.user import User
from shared.services import accounts, games
from shared.services.authority.actors import Actor

MAX_ABOUT = 1_000
MAX_PRONOUNS = 40
MAX_LINKS = 4
MAX_FAVOURITES = 50


@dataclass(frozen=True)
class ProfileDetails:
    """What a person has filled in. `links` are addresses, in their order."""

    about: str = ""
    pronouns: str = ""
    links: Sequence[str] = ()


def get_details(session: Session, user: User) -> ProfileDetails:
    """Return what a person says about themselves."""
    return ProfileDetails(user.about, user.pronouns, [link.url for link in list_links(session, user.id)])


def set_details(session: Session, actor: Actor, details: ProfileDetails) -> User:
    """Set what the actor says about themselves. New links are checked soon; the others keep their result.

    Raises:
        Forbidden, NotFound.
        Invalid: A field is at fault (`about`, `pronouns`, `links`).
    """
    user = accounts.get_account(session, actor.require_account())
    user.about = validation.text(details.about, field="about", longest=MAX_ABOUT, what="the text")
    pronouns = validation.text(details.pronouns, field="pronouns", longest=MAX_PRONOUNS, what="the text")
    if "\n" in pronouns:
        raise Invalid("the pronouns must be one line", field="pronouns")
    user.pronouns = pronouns
    wanted = list(dict.fromkeys(clean_link(link) for link in details.links))
    if len(wanted) > MAX_LINKS:
        raise Invalid(f"a profile has at most {MAX_LINKS} links", field="links")
    existing = {link.url: link for link in list_links(session, user.id)}
    for url, link in existing.items():
        if url not in wanted:
            session.delete(link)
    session.add_all(ProfileLink(user_id=user.id, url=url, due_at=utc_now()) for url in wanted if url not in existing)
    session.flush()
    return user


def clean_link(value: object) -> str:
    """Return the address of a link. Raises Invalid (field `links`)."""
    return validation.web_address(value, field="links", what="a link")


def list_links(session: Session, user_id: int) -> Sequence[ProfileLink]:
    """Return a person's links in the order in which they were added."""
    return session.scalars(select(ProfileLink).where(ProfileLink.user_id == user_id).order_by(ProfileLink.id)).all()


def add_favourite(session: Session, actor: Actor, *, short_name: str) -> Game:
    """Add a game to the actor's favourites. Adding it again changes nothing.

    Raises:
        Forbidden.
        NotFound: There is no such game that the actor may see.
        Conflict: The actor has too many favourites.
    """
    user_id = actor.require_account()
    game = games.get_public_game(session, actor, short_name=short_name)
    if is_favourite(session, actor, game.id):
        return game
    count = session.scalar(select(func.count()).where(FavouriteGame.user_id == user_id)) or 0
    if count >= MAX_FAVOURITES:
        raise Conflict(f"you have {MAX_FAVOURITES} favourite games: remove one first")
    try:
        with session.begin_nested():
            session.add(FavouriteGame(user_id=user_id, game_id=game.id))
    except IntegrityError:
        pass  # another request has just added it
    return game


def remove_favourite(session: Session, actor: Actor, *, short_name: str) -> Game:
    """Remove a game from the actor's favourites. Raises Forbidden, NotFound (no such game)."""
    user_id = actor.require_account()
    game = games.get_game(session, short_name)
    favourite = session.get(FavouriteGame, (user_id, game.id))
    if favourite is not None:
        session.delete(favourite)
    return game


def is_favourite(session: Session, actor: Actor, game_id: int) -> bool:
    """Return whether a game is one of the actor's favourites."""
    if actor.kind != "user" or actor.id is None:
        return False
    mine = exists().where(FavouriteGame.user_id == actor.id, FavouriteGame.game_id == game_id)
    return bool(session.scalar(select(mine)))


def list_favourites(session: Session, user_id: int) -> Sequence[Game]:
    """Return a person's favourite games that are displayed, by name."""
    return session.scalars(
        select(Game)
        .join(FavouriteGame, FavouriteGame.game_id == Game.id)
        .where(FavouriteGame.user_id == user_id, Game.is_displayed)
        .options(selectinload(Game.user_agent))
        .order_by(Game.name_key)
    ).all()
