"""A small network with a record of each kind that moderators work with, created through the services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared import db, peer_keys
from shared.db import utc_now
from shared.services import history
from shared.services.authority import actors
from shared.services.history import Line
from shared.services.moderation import (
    appeals,
    channel_states,
    filters,
    game_mutes,
    ignores,
    reports,
    sanctions,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from shared.models import Channel, Game, User
    from shared.models.moderation import Sanction
    from shared.services.authority.actors import Actor
    from tests.support.factory import Factory


@dataclass(frozen=True)
class Moderated:
    """The users and records. `player` reported `message`, which Wren said; `owner` owns the game."""

    admin: User
    moderator: User
    owner: User
    player: User
    game: Game
    channel: Channel
    message: int
    report: int
    sanction: int
    appeal: int
    filter: int
    mute: int
    ignore: int

    def ids(self) -> dict[str, str]:
        """Return the ids by name, for addresses with such names in braces."""
        names = ("message", "report", "sanction", "appeal", "filter", "mute", "ignore")
        return {name: str(getattr(self, name)) for name in names}


def actor(session: Session, user: User) -> Actor:
    """Return a user as an actor."""
    return actors.of_user(session, user.id)


def speak(channel: Channel, game: Game, name: str, text: str) -> int:
    """Store a line as a worker would, and return the message's id."""
    with db.transaction() as session:
        line = Line(channel.id, peer_keys.of_game(game.id), game.short_name, name, text, utc_now())
        return history.store_lines(session, [line], worker="tests")[0]


def make_moderated(
    stored: Factory,
    *,
    admin: User | None = None,
    owner: User | None = None,
    game: str = "Harbour",
    channel: str = "gossip",
    text: str = "Buy gold",
) -> Moderated:
    """Create one record of each kind. Without an admin and an owner, create the users "warden" and "wright"."""
    admin, owner = admin or stored.admin("warden"), owner or stored.user("wright")
    moderator, player = stored.user("mod", role="moderator"), stored.user("reader")
    stored_game, stored_channel = stored.game(game, owner=owner), stored.channel(channel)
    message = speak(stored_channel, stored_game, "Wren", text)
    with db.transaction() as session:
        keeper, reader = actor(session, moderator), actor(session, player)
        report = reports.create_report(
            session, reader, game=game, name="Wren", text="This is an advert", message_id=message
        )
        sanction = sanctions.sanction(
            session,
            keeper,
            kind="mute",
            target_kind="game",
            target=game,
            channel=channel,
            reason="Adverts",
            seconds=3600,
        )
        appeal = appeals.create_appeal(session, actor(session, owner), sanction_id=sanction.id, text="It was a guest.")
        word_filter = filters.create_filter(session, keeper, kind="word", action="flag", text="gold", note="Adverts")
        mute = game_mutes.add_mute(session, actor(session, owner), short_name=game, pattern="*@Else*")
        ignore = ignores.add_ignore(session, reader, pattern=f"Pest@{game}")
        channel_states.slow_down(session, keeper, channel=channel, seconds=5)
        return Moderated(
            admin=admin,
            moderator=moderator,
            owner=owner,
            player=player,
            game=stored_game,
            channel=stored_channel,
            message=message,
            report=report.id,
            sanction=sanction.id,
            appeal=appeal.id,
            filter=word_filter.id,
            mute=mute.id,
            ignore=ignore.id,
        )


def mute(session: Session, actor: Actor, target: str, **fields: Any) -> Sanction:
    """Mute a player for ten minutes; `fields` may change what is imposed, on whom and for how long."""
    fields = {"kind": "mute", "target_kind": "player", "seconds": 600, "reason": "flooding", **fields}
    return sanctions.sanction(session, actor, target=target, **fields)
