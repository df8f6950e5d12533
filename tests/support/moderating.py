"""A small network with something of each kind that moderators deal with, made by the services."""

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
    """Who and what there is. The `player` reported `message`, whose speaker is Wren; the game is `owner`'s."""

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
        """For addresses with names of records in braces."""
        names = ("message", "report", "sanction", "appeal", "filter", "mute", "ignore")
        return {name: str(getattr(self, name)) for name in names}


def actor(session: Session, user: User) -> Actor:
    """A user of the tests as an actor."""
    return actors.of_user(session, user.id)


def speak(channel: Channel, game: Game, name: str, text: str) -> int:
    """Store a line as a worker would; returns the message's id."""
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
    """Make one of each; admin, owner: make the warden and the wright if not given."""
    admin, owner = admin or stored.admin("warden"), owner or stored.user("wright")
    moderator, player = stored.user("mod", role="moderator"), stored.user("reader")
    made_game, room = stored.game(game, owner=owner), stored.channel(channel)
    message = speak(room, made_game, "Wren", text)
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
        made_filter = filters.create_filter(session, keeper, kind="word", action="flag", text="gold", note="Adverts")
        mute = game_mutes.add_mute(session, actor(session, owner), short_name=game, pattern="*@Else*")
        ignore = ignores.add_ignore(session, reader, pattern=f"Pest@{game}")
        channel_states.slow_down(session, keeper, channel=channel, seconds=5)
        return Moderated(
            admin=admin,
            moderator=moderator,
            owner=owner,
            player=player,
            game=made_game,
            channel=room,
            message=message,
            report=report.id,
            sanction=sanction.id,
            appeal=appeal.id,
            filter=made_filter.id,
            mute=mute.id,
            ignore=ignore.id,
        )


def mute(session: Session, actor: Actor, target: str, **fields: Any) -> Sanction:
    """Mute a player for ten minutes, or what `fields` say instead."""
    fields = {"kind": "mute", "target_kind": "player", "seconds": 600, "reason": "flooding", **fields}
    return sanctions.sanction(session, actor, target=target, **fields)
