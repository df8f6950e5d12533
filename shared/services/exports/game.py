"""Everything that is stored about a game, for its owner."""

from __future__ import annotations

from datetime import datetime
from typing import IO

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from shared import peer_keys
from shared.models import (
    Channel,
    ConnectionCheck,
    DailyPlayerCount,
    Game,
    GameConnection,
    GameFacts,
    GameMute,
    GamePlay,
    GameTransfer,
    Message,
    PlayerCount,
    PlayWay,
    Report,
    Reporter,
    ReservedShortName,
    Sanction,
    TellCount,
    User,
    UserAgent,
    Version,
)
from shared.services import games
from shared.services.authority.actors import Actor
from shared.services.exports.archive import write_archive
from shared.services.exports.parts import OTHERS, SECRET, STAFF, Export, Part
from shared.services.exports.person import REPORT_LEFT_OUT, SANCTION_LEFT_OUT

NOT_INCLUDED = {
    "The client secret": "only a digest of it is stored. Regenerate the credentials if you lost it",
    "Characters": "they belong to the people who registered them, who may hide them",
    "Reports about players of the game": "others said so in confidence. Ask the network's staff",
    "Tells": "they are never stored. Only how many there were each day is counted",
    "The recent frames and refusals on the game's page": "they are only kept in memory, for some hours",
}


def export_game(session: Session, actor: Actor, file: IO[bytes], *, short_name: str, now: datetime) -> Game:
    """Write the archive of everything about a game into a file. Return the game.

    Raises NotFound, also for somebody else's game.
    """
    game = games.get_own_game(session, actor, short_name=short_name)
    export = Export(f"the game {game.name} ({game.short_name})", parts_of(game), NOT_INCLUDED)
    write_archive(session, export, file, now=now)
    return game


def parts_of(game: Game) -> list[Part]:
    """Return every part that says something about this game."""
    peer = peer_keys.of_game(game.id)
    ways = select(GameConnection.id).where(GameConnection.game_id == game.id)
    return [
        Part(
            "game",
            "the game",
            Game,
            Game.id == game.id,
            left_out={"client_secret_digest": SECRET, "subject_key": SECRET},
            extra={"user_agent": select(UserAgent.name).where(UserAgent.id == Game.user_agent_id).scalar_subquery()},
        ),
        Part("connections", "ways to connect", GameConnection, GameConnection.game_id == game.id),
        Part(
            "connection_checks",
            "the last checks of the ways to connect",
            ConnectionCheck,
            ConnectionCheck.connection_id.in_(ways),
            left_out={"claim": "which process is checking now"},
        ),
        Part("play", "whether and how people may play it in the browser", GamePlay, GamePlay.game_id == game.id),
        Part(
            "play_ways",
            "how the page for playing uses the ways to connect",
            PlayWay,
            PlayWay.connection_id.in_(ways),
            left_out={"lease_until": "until when a process is checking"},
        ),
        Part(
            "game_facts",
            "what the game has said about itself",
            GameFacts,
            GameFacts.connection_id.in_(ways),
            left_out={"lease_until": "until when a process is asking"},
        ),
        Part("player_counts", "players online, every quarter of an hour", PlayerCount, PlayerCount.game_id == game.id),
        Part(
            "daily_player_counts",
            "players online, for each day",
            DailyPlayerCount,
            DailyPlayerCount.game_id == game.id,
        ),
        Part("tell_counts", "how many tells the game's players sent each day", TellCount, TellCount.peer == peer),
        Part(
            "messages",
            "what the game's players said on channels",
            Message,
            Message.peer == peer,
            left_out={"redacted_by": STAFF, "worker": "which process of the network received the line"},
            extra={"channel": select(Channel.name).where(Channel.id == Message.channel_id).scalar_subquery()},
        ),
        Part(
            "game_mutes",
            "players and games that are muted for this game",
            GameMute,
            GameMute.game_id == game.id,
            left_out={"created_by_id": "an admin may have done it"},
        ),
        Part(
            "sanctions",
            "warnings, mutes and bans of the game and its players",
            Sanction,
            Sanction.peer == peer,
            left_out={**SANCTION_LEFT_OUT, "user_id": OTHERS},
        ),
        Part("reports", "reports by the game", Reporter, Reporter.key == f"game:{game.id}"),
        Part(
            "reported",
            "what became of the reports by the game",
            Report,
            Report.id.in_(select(Reporter.report_id).where(Reporter.key == f"game:{game.id}")),
            left_out=REPORT_LEFT_OUT,
        ),
        Part(
            "transfer",
            "a pending offer of the game to somebody else",
            GameTransfer,
            GameTransfer.game_id == game.id,
            extra={"to_user": select(User.username).where(User.id == GameTransfer.to_user_id).scalar_subquery()},
        ),
        Part(
            "versions",
            "all changes of the game's record that are still stored",
            Version,
            and_(Version.kind == Game.sync_kind, Version.record_id == game.id),
        ),
        Part(
            "short_names", "the short names that are reserved", ReservedShortName, ReservedShortName.game_id == game.id
        ),
    ]
