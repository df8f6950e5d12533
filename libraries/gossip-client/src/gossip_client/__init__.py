"""A client for the Gossip network, for games and network applications.

Use `gossip_client.aio.Client` with asyncio, `gossip_client.sync.Client` with threads, and `gossip_client.core.Core`
with anything else. This module has the events and the exceptions.
"""

from gossip_client.backoff import Backoff
from gossip_client.errors import (
    AuthenticationFailed,
    ConnectFailed,
    Dropped,
    GossipError,
    NotConnected,
    RequestFailed,
    RequestTimedOut,
)
from gossip_client.events import (
    AuthenticationRefused,
    ChannelMessage,
    Connected,
    Disconnected,
    ErrorReported,
    Event,
    GameConnected,
    GameDisconnected,
    GameStatus,
    GapRemains,
    HistoryPage,
    PlayerSignedIn,
    PlayerSignedOut,
    PlayersStatus,
    Restarting,
    SendDropped,
    SyncComplete,
    SyncRecords,
    TellReceived,
    UnknownEvent,
)
from gossip_client.view import View

__version__ = "0.1.0"

__all__ = [
    "AuthenticationFailed",
    "AuthenticationRefused",
    "Backoff",
    "ChannelMessage",
    "ConnectFailed",
    "Connected",
    "Disconnected",
    "Dropped",
    "ErrorReported",
    "Event",
    "GameConnected",
    "GameDisconnected",
    "GameStatus",
    "GapRemains",
    "GossipError",
    "HistoryPage",
    "NotConnected",
    "PlayersStatus",
    "PlayerSignedIn",
    "PlayerSignedOut",
    "RequestFailed",
    "RequestTimedOut",
    "Restarting",
    "SendDropped",
    "SyncComplete",
    "SyncRecords",
    "TellReceived",
    "UnknownEvent",
    "View",
    "__version__",
]
