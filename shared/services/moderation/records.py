"""What moderators look up: how much is pending, and everything about a player, a game or a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from shared import grapevine
from shared.db import utc_now
from shared.errors import NotFound
from shared.models.channel import Channel
from shared.models.character import Character
from shared.models.game import Game
from shared.models.message import Message
from shared.models.moderation import Sanction
from shared.models.report import Appeal, Report, Reporter
from shared.models.user import User
from shared.services import account_sanctions, characters, games, peers, users
from shared.services.authority.actors import Actor
from shared.services.authority.permissions import Act, require
from shared.services.moderation import appeals, reports, sanctions, targets
from shared.services.moderation.targets import Target

SHOWN_MESSAGES = 30
SHOWN_REPORTS = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much is pending.

    Attributes:
        channels: Proposed channels that are not public yet.
    """

    reports: int
    appeals: int
    channels: int
    sanctions: int


@dataclass(frozen=True, slots=True)
class Record:
    """Everything about somebody. Lists are newest first and cut if they are long.

    Attributes:
        person: The account behind the player or game.
        reported: The reports that they made themselves.
        characters: A person's characters, or a game's approved ones.
    """

    target: Target
    sanctions: list[Sanction]
    reports: list[Report]
    messages: list[Message]
    person: User | None = None
    game: Game | None = None
    characters: list[Character] = field(default_factory=list)
    games: list[Game] = field(default_factory=list)
    reported: list[Reporter] = field(default_factory=list)
    appeals: list[Appeal] = field(default_factory=list)


def count_waiting(session: Session, actor: Actor) -> Waiting:
    """Count what is pending and the sanctions in force, in one statement. Raises Forbidden."""
    require(actor, Act.SEE)
    counts = [
        select(func.count()).select_from(model).where(condition).scalar_subquery()
        for model, condition in (
            (Report, and_(Report.state == "open", reports.others_than(session, actor))),
            (Appeal, Appeal.state == "open"),
            (Channel, and_(Channel.is_hidden, Channel.proposed_by_id.is_not(None))),
            (Sanction, account_sanctions.in_force_at(utc_now())),
        )
    ]
    return Waiting(*session.execute(select(*counts)).one())


def get_appeal(session: Session, actor: Actor, appeal_id: int) -> Appeal:
    """Return the appeal with this id. Raises Forbidden, NotFound."""
    require(actor, Act.SEE)
    appeal = session.get(Appeal, appeal_id)
    if appeal is None:
        raise NotFound("there is no such appeal")
    return appeal


def channel_names(session: Session, messages: Iterable[Message]) -> dict[int, str]:
    """Return the names of the messages' channels by id, without deleted channels."""
    ids = {message.channel_id for message in messages}
    return {row.id: row.name for row in session.execute(select(Channel.id, Channel.name).where(Channel.id.in_(ids)))}


def list_reports_of_message(session: Session, actor: Actor, message_id: int) -> list[Report]:
    """Return all reports of one message, newest first. Raises Forbidden."""
    require(actor, Act.SEE)
    about = select(Report).where(Report.message_id == message_id, reports.others_than(session, actor))
    return list(session.scalars(about.order_by(Report.id.desc())))


def get_record_of_player(session: Session, actor: Actor, *, name: str, game: str) -> Record:
    """Return the record of a player, who need not have been online. Raises Forbidden, NotFound, Invalid (`target`)."""
    require(actor, Act.SEE)
    target = targets.player(session, name=name, game=game)
    about = (Sanction.peer == target.peer, Sanction.player_key == target.player_key)
    shown = target.name.rpartition("@")[0]
    return Record(
        target,
        list(session.scalars(select(Sanction).where(*about).order_by(Sanction.id.desc()).limit(200))),
        reports.list_reports_about(session, actor, peer=target.peer or "", player=target.player_key),
        _said(session, target.peer, target.player_key, shown),
        person=targets.person_of(session, target.peer, target.player_key),
    )


def get_record_of_game(session: Session, actor: Actor, *, short_name: str) -> Record:
    """Return the record of a game or application with its players. Raises Forbidden, NotFound (`target`)."""
    require(actor, Act.SEE)
    peer = peers.find_peer(session, short_name)
    if peer is None:
        raise NotFound(f"there is no game {short_name}", field="target")
    target = Target("game", peer.short_name, peer=peer.key)
    game = None if peer.is_application else session.get(Game, peer.id)
    about = select(Sanction).where(Sanction.peer == peer.key).order_by(Sanction.id.desc()).limit(200)
    return Record(
        target,
        list(session.scalars(about)),
        reports.list_reports_about(session, actor, peer=peer.key),
        _said(session, peer.key),
        person=session.get(User, game.owner_id) if game is not None else None,
        game=game,
        characters=[] if game is None else characters.list_public_characters_of_game(session, game.id, limit=100),
    )


def get_record_of_user(session: Session, actor: Actor, *, username: str) -> Record:
    """Return the record of an account, with its characters and games. Raises Forbidden, NotFound."""
    require(actor, Act.SEE)
    user = users.get_user_by_username(session, username)
    named = targets.player(session, name=user.username, game=grapevine.SHORT_NAME)
    return Record(
        Target("user", user.username, user_id=user.id),
        sanctions.list_of_user(session, user.id),
        reports.list_reports_about(session, actor, peer=grapevine.KEY, player=named.player_key),
        _said(session, named.peer, named.player_key, user.username),
        person=user,
        characters=characters.list_characters_of(session, user.id),
        games=games.list_games_of(session, user.id),
        reported=reports.list_reports_of_user(session, actor, user_id=user.id, limit=SHOWN_REPORTS),
        appeals=appeals.list_appeals_of(session, user.id),
    )


def _said(session: Session, peer: str | None, key: str | None = None, name: str = "") -> list[Message]:
    """Return the last messages of a game, or of one of its players."""
    statement = select(Message).where(Message.peer == peer).order_by(Message.id.desc()).limit(SHOWN_MESSAGES)
    if key is not None:
        # SQLite's lower() handles ASCII only, so compare the exact name too.
        statement = statement.where(or_(func.lower(Message.name) == key, Message.name == name))
    return list(session.scalars(statement))
