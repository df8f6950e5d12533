"""Every event that games, applications and browsers send: its payload, its handler, and who may send it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from shared.limits import PLAYERS_STATUS, REPORTS, SUBSCRIPTIONS
from shared.protocol import Incoming
from shared.protocol.browser import AskWhoHears, Beat, MarkRead, Say, SendTellFromBrowser, SignInBrowser, WatchChannels
from shared.protocol.channels import RequestHistory, SendMessage, Subscribe, Unsubscribe
from shared.protocol.core import Authenticate, Heartbeat
from shared.protocol.games import RequestGames
from shared.protocol.moderation import (
    CreateReport,
    ImposeSanction,
    LiftSanction,
    PauseChannel,
    RedactMessage,
    ResumeChannel,
)
from shared.protocol.players import RequestPlayers, SignIn, SignOut
from shared.protocol.sync import RequestSync
from shared.protocol.tells import SendTell
from shared.services.authority.permissions import Act
from worker.handlers import browsers, channels, core, games, moderation, players, sync, tells


class Replies(Enum):
    """When a request is answered: if it has a ref (or the socket is debugging), always, or never."""

    TO_REF = auto()
    ALWAYS = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Route:
    """One event.

    Attributes:
        handler: called with the worker's parts, the connection and the payload (see `worker/handlers/`).
        flag: the support flag that the socket must have declared.
        application: only network applications may send it.
        is_anonymous: allowed before authentication.
        wants_ref: the handler takes the ref as well, since it sends its answers itself.
        limits: the socket's limits that each request is charged to, in addition to the limit of all events. Handlers
            check limits that depend on the payload or come after other checks.
        act: its act in the table of permissions, which must allow it to one of the peer's roles.
        since: the first version of the protocol with this event; for older clients it is unknown.
    """

    payload: type[Incoming]
    handler: Callable[..., Any]
    flag: str | None = None
    application: bool = False
    is_anonymous: bool = False
    replies: Replies = Replies.TO_REF
    wants_ref: bool = False
    limits: tuple[str, ...] = ()
    act: Act | None = None
    since: str | None = None


def by_event(*routes: Route) -> dict[str, Route]:
    """Return the routes by the name of their event."""
    table = {route.payload.event: route for route in routes}
    assert len(table) == len(routes), "an event has two routes"
    return table


ROUTES = by_event(
    Route(Authenticate, core.authenticate, is_anonymous=True, replies=Replies.ALWAYS, wants_ref=True),
    Route(Heartbeat, core.heartbeat, replies=Replies.NEVER),
    Route(Subscribe, channels.subscribe, flag="channels", limits=(SUBSCRIPTIONS,)),
    Route(Unsubscribe, channels.unsubscribe, flag="channels", limits=(SUBSCRIPTIONS,)),
    Route(SendMessage, channels.send, flag="channels"),
    Route(RequestHistory, channels.history, flag="channels"),
    Route(SignIn, players.sign_in, flag="players"),
    Route(SignOut, players.sign_out, flag="players"),
    Route(RequestPlayers, players.status, flag="players", wants_ref=True),
    Route(SendTell, tells.send, flag="tells"),
    Route(RequestGames, games.status, flag="games", wants_ref=True),
    Route(RequestSync, sync.request_sync, application=True, wants_ref=True),
    Route(PauseChannel, moderation.pause, application=True, act=Act.PAUSE),
    Route(ResumeChannel, moderation.resume, application=True, act=Act.RESUME),
    Route(ImposeSanction, moderation.sanction, application=True, act=Act.SANCTION),
    Route(LiftSanction, moderation.lift, application=True, act=Act.LIFT),
    Route(RedactMessage, moderation.redact, application=True, act=Act.REDACT),
    Route(CreateReport, moderation.report, act=Act.REPORT, since="2.4.0", limits=(REPORTS,)),
)

BROWSER_ROUTES = by_event(
    Route(SignInBrowser, browsers.authenticate, is_anonymous=True, replies=Replies.ALWAYS, wants_ref=True),
    Route(WatchChannels, browsers.watch, is_anonymous=True, wants_ref=True),
    Route(Beat, browsers.heartbeat, is_anonymous=True, replies=Replies.NEVER),
    Route(Say, browsers.say),
    Route(MarkRead, browsers.mark_read, replies=Replies.NEVER),
    Route(AskWhoHears, browsers.listeners, limits=(PLAYERS_STATUS,)),
    Route(SendTellFromBrowser, browsers.tell),
)
