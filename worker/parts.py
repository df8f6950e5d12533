"""The parts of a worker that its handlers use, in one typed value. `worker/worker.py` builds it."""

from __future__ import annotations

from dataclasses import dataclass

from shared.settings import Settings
from worker.chat.browsers import Browsers
from worker.chat.lines import Chat
from worker.database import Database
from worker.diagnostics.recorder import Diagnostics
from worker.moderation.tell_counts import TellCounts
from worker.moderation.view import Moderation
from worker.network.directory import Directory
from worker.network.feed import Feed
from worker.network.peers import Peers
from worker.network.player_notices import PlayerNotices
from worker.network.presence import Presence
from worker.network.replicas import Replicas
from worker.network.statuses import Statuses
from worker.network.subscriptions import Subscriptions
from worker.signals import Signals
from worker.sockets.authenticator import Authenticator
from worker.sockets.client_notes import ClientNotes
from worker.sockets.credentials import CredentialsWatch
from worker.sockets.failures import Failures
from worker.sockets.limits import RateLimits
from worker.wire.fanout import Fanout


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a handler may use beside its connection. There is one for each worker."""

    settings: Settings
    worker_id: str
    signals: Signals
    database: Database
    fanout: Fanout
    # What this worker knows of the network.
    feed: Feed
    directory: Directory
    presence: Presence
    statuses: Statuses
    replicas: Replicas
    # The sockets, and what they are subscribed to.
    peers: Peers
    browsers: Browsers
    subscriptions: Subscriptions
    player_notices: PlayerNotices
    credentials: CredentialsWatch
    authenticator: Authenticator
    client_notes: ClientNotes
    # What they say.
    chat: Chat
    moderation: Moderation
    tell_counts: TellCounts
    # What they may, and what is noted of them.
    limits: RateLimits
    failures: Failures
    diagnostics: Diagnostics
