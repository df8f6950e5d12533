"""The tables, one module for each subject. Importing this package registers all of them and the version log's hooks."""

import shared.sync  # noqa: F401  installs the hooks
from shared.models.application import Application
from shared.models.application_request import ApplicationRequest
from shared.models.audit import AuditEntry, ModerationHead
from shared.models.channel import Channel
from shared.models.character import Character, CharacterSighting
from shared.models.chat_reading import ChatReading
from shared.models.connection_check import CheckCount, ConnectionCheck
from shared.models.ended_session import EndedSession
from shared.models.game import Game, GameConnection
from shared.models.game_facts import GameFacts
from shared.models.game_transfer import GameTransfer
from shared.models.job import Job
from shared.models.message import Message
from shared.models.moderation import ChannelState, Filter, GameMute, Ignore, ReasonPreset, Sanction
from shared.models.oauth import AuthorizationCode, Grant, SigningKey, Token
from shared.models.play import GamePlay, PlayWay
from shared.models.player_count import DailyPlayerCount, PlayerCount
from shared.models.profile import FavouriteGame, ProfileLink
from shared.models.report import Appeal, Report, Reporter
from shared.models.reserved_name import ReservedShortName, ReservedUsername
from shared.models.safeguards import SafeguardSettings
from shared.models.staff_note import StaffNote
from shared.models.tell_count import TellCount
from shared.models.user import User
from shared.models.user_agent import UserAgent
from shared.models.version import Counter, Version

__all__ = [
    "Appeal",
    "Application",
    "ApplicationRequest",
    "AuditEntry",
    "AuthorizationCode",
    "Channel",
    "ChannelState",
    "Character",
    "CharacterSighting",
    "ChatReading",
    "CheckCount",
    "ConnectionCheck",
    "Counter",
    "DailyPlayerCount",
    "EndedSession",
    "FavouriteGame",
    "Filter",
    "Game",
    "GameConnection",
    "GameFacts",
    "GameMute",
    "GamePlay",
    "GameTransfer",
    "Grant",
    "Ignore",
    "Job",
    "Message",
    "ModerationHead",
    "PlayWay",
    "PlayerCount",
    "ProfileLink",
    "Report",
    "Reporter",
    "ReservedShortName",
    "ReasonPreset",
    "ReservedUsername",
    "SafeguardSettings",
    "Sanction",
    "SigningKey",
    "StaffNote",
    "TellCount",
    "Token",
    "User",
    "UserAgent",
    "Version",
]
