"""The client of the Gossip network, for games and for network applications.

`gossip_client.aio.Client` for asyncio, `gossip_client.sync.Client` for threads, `gossip_client.core.Core` for anything
else. Events and errors are here.
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
