"""Everything that is stored about a person. `tests/services/test_exports.py` decides on every table and column."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import IO, Any

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import Session

from shared.models import (
    Appeal,
    Application,
    ApplicationRequest,
    AuditEntry,
    Channel,
    Character,
    CharacterSighting,
    ChatReading,
    CheckCount,
    FavouriteGame,
    Game,
    GameMute,
    GameTransfer,
    Grant,
    Ignore,
    Message,
    ProfileLink,
    Report,
    Reporter,
    Sanction,
    User,
)
from shared.peer_keys import PeerKey
from shared.protocol.types import player_key
from shared.services import accounts, characters
from shared.services.authority.actors import Actor
from shared.services.exports.archive import write_archive
from shared.services.exports.parts import OTHERS, SECRET, STAFF, Export, Part

NOT_INCLUDED = {
    "Your password and the keys of your sessions": "only you may know the password, and only a digest of it is stored; "
    "the registration key is on the page of your characters",
    "Tells": "they are never stored",
    "Who is online, and counts for rate limits": "they are only kept in memory, for minutes",
    "Reports about you, and who ignores you": "others said so in confidence. Ask the network's staff",
    "Internal notes of the network's staff": "they write them for each other, in confidence",
    "Everything else about your games": "each of your games has its own export, on its page under My games",
}
REPORT_LEFT_OUT = dict.fromkeys(("resolved_by", "claimed_by_id", "claimed_by", "claimed_at"), STAFF)
SANCTION_LEFT_OUT = {
    **dict.fromkeys(("actor_kind", "actor_id", "actor_name", "lifted_by"), STAFF),
    "report_id": "whether somebody reported it",
}


def export_person(session: Session, actor: Actor, file: IO[bytes], *, now: datetime) -> User:
    """Write the archive of everything about the actor's account into a file. Return the account.

    Raises Forbidden, NotFound.
    """
    user = accounts.get_account(session, actor.require_account())
    about = f"the account {user.username}"
    write_archive(session, Export(about, parts_of(session, user), NOT_INCLUDED), file, now=now)
    return user


def parts_of(session: Session, user: User) -> list[Part]:
    """Return every part that says something about this account."""
    game_of_character = select(Game.short_name).where(Game.id == Character.game_id).scalar_subquery()
    own_report_ids = select(Reporter.report_id).where(Reporter.key == f"user:{user.id}")
    return [
        Part(
            "account",
            "your account",
            User,
            User.id == user.id,
            left_out={
                "password_hash": SECRET,
                "registration_key": SECRET,
                "session_token": SECRET,
                "email_key": "says whether another account gave the same address",
            },
        ),
        Part(
            "characters",
            "your characters, and requests to register one",
            Character,
            Character.user_id == user.id,
            extra={"game": game_of_character},
        ),
        Part(
            "character_sightings",
            "when your characters were last online",
            CharacterSighting,
            CharacterSighting.character_id.in_(select(Character.id).where(Character.user_id == user.id)),
        ),
        Part(
            "messages",
            "what you said on channels, here and as your characters",
            Message,
            _said_by(session, characters.players_of(session, user.id)),
            left_out={"redacted_by": STAFF, "worker": "which process of the network received the line"},
            extra={"channel": select(Channel.name).where(Channel.id == Message.channel_id).scalar_subquery()},
        ),
        Part("chat_readings", "how far you have read channels", ChatReading, ChatReading.user_id == user.id),
        Part(
            "games",
            "your games",
            Game,
            Game.owner_id == user.id,
            left_out={"client_secret_digest": SECRET, "subject_key": SECRET},
        ),
        Part(
            "game_transfers",
            "games that you offered or that were offered to you",
            GameTransfer,
            or_(GameTransfer.from_user_id == user.id, GameTransfer.to_user_id == user.id),
            extra={
                "game": select(Game.short_name).where(Game.id == GameTransfer.game_id).scalar_subquery(),
                "from_user": select(User.username).where(User.id == GameTransfer.from_user_id).scalar_subquery(),
                "to_user": select(User.username).where(User.id == GameTransfer.to_user_id).scalar_subquery(),
            },
        ),
        Part(
            "connected_games",
            "games and applications to which you sign in with your account, and what each may see",
            Grant,
            Grant.user_id == user.id,
            extra={
                "game": select(Game.short_name).where(Game.id == Grant.game_id).scalar_subquery(),
                "application": select(Application.short_name)
                .where(Application.id == Grant.application_id)
                .scalar_subquery(),
            },
        ),
        Part("game_mutes", "whom you muted for a game", GameMute, GameMute.created_by_id == user.id),
        Part("check_counts", "how often your ways to connect were checked", CheckCount, CheckCount.owner_id == user.id),
        Part("channels", "channels that you proposed", Channel, Channel.proposed_by_id == user.id),
        Part(
            "application_requests",
            "your requests for network applications",
            ApplicationRequest,
            ApplicationRequest.user_id == user.id,
        ),
        Part("profile_links", "the links on your profile", ProfileLink, ProfileLink.user_id == user.id),
        Part(
            "favourite_games",
            "your favourite games",
            FavouriteGame,
            FavouriteGame.user_id == user.id,
            extra={"game": select(Game.short_name).where(Game.id == FavouriteGame.game_id).scalar_subquery()},
        ),
        Part(
            "ignores",
            "whom you ignore",
            Ignore,
            Ignore.user_id == user.id,
            extra={"person": select(User.username).where(User.id == Ignore.person_id).scalar_subquery()},
        ),
        Part("reports", "your reports", Reporter, Reporter.key == f"user:{user.id}"),
        Part(
            "reported",
            "what became of your reports",
            Report,
            Report.id.in_(own_report_ids),
            left_out=REPORT_LEFT_OUT,
        ),
        Part(
            "sanctions",
            "warnings, mutes and bans of your account and your characters",
            Sanction,
            _against(user, characters.players_of(session, user.id)),
            left_out=SANCTION_LEFT_OUT,
        ),
        Part("appeals", "your appeals", Appeal, Appeal.user_id == user.id, left_out={"decided_by": STAFF}),
        Part(
            "audit_own_acts",
            "what you did as a moderator or admin",
            AuditEntry,
            and_(AuditEntry.actor_kind == "user", AuditEntry.actor_id == user.id),
            left_out=dict.fromkeys(("target_id", "target", "before", "after"), OTHERS),
        ),
        Part(
            "audit_about_you",
            "what moderators and admins did to your account",
            AuditEntry,
            AuditEntry.target_id == f"user:{user.id}",
            left_out=dict.fromkeys(("actor_kind", "actor_id", "actor_name"), STAFF),
        ),
    ]


def _said_by(session: Session, players: list[tuple[PeerKey, str]]) -> ColumnElement[bool]:
    """Return the condition for messages of these players. Names are compared as everywhere: by their player's key."""
    keys: dict[PeerKey, set[str]] = defaultdict(set)
    for peer, key in players:
        keys[peer].add(key)
    conditions: list[ColumnElement[bool]] = []
    for peer, wanted in keys.items():
        names = session.scalars(select(Message.name).where(Message.peer == peer).distinct())
        spellings = [name for name in names if player_key(name) in wanted]
        conditions.append(and_(Message.peer == peer, Message.name.in_(spellings)))
    return or_(false(), *conditions)


def _against(user: User, players: list[tuple[PeerKey, str]]) -> ColumnElement[bool]:
    of_players: list[Any] = [and_(Sanction.peer == peer, Sanction.player_key == key) for peer, key in players]
    return or_(Sanction.user_id == user.id, *of_players)
