"""Frames of the core: authenticate, heartbeat, restart, error. Source: docs/protocol.md, §3. Pure: no I/O, no clock."""

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from shared.protocol.base import Incoming, Outgoing, invalid
from shared.protocol.text import has_lone_surrogate
from shared.protocol.types import (
    ChannelNames,
    Credential,
    Flags,
    Label,
    Names,
    clamp_cursor,
    is_whole_number,
    parse_version,
    whole_number,
)

PROTOCOL_VERSION = "2.4.0"
SUPPORT_FLAGS = ("channels", "players", "tells", "games", "achievements")


class SyncFrom(Struct, frozen=True):
    """Where a replica stands. since: the last cursor it has applied; null asks for the whole state."""

    since: int | None = None


class Authenticate(Incoming, event="authenticate", flag="core"):
    """Peer → server. The first frame of a socket: who it is, and what it can do.

    What is missing from the credentials or from `supports` is empty here, not refused: those failures have texts of
    their own (`invalid credentials`, `missing supports`, `must support channels`). sync counts for applications only:
    `{"since": cursor}` for what came after it, false for nothing until asked, anything else for the whole state.
    """

    client_id: Credential = ""
    client_secret: Credential = ""
    supports: Flags = []
    channels: ChannelNames = []
    players: Names | None = None
    user_agent: Label | None = None
    version: Label = "1.0.0"
    debug: bool = False
    sync: SyncFrom | bool = True

    example: ClassVar[dict[str, Any]] = {
        "client_id": "4a6ebc3b-9d0b-4d5d-bd2c-0a4d2f5a6f0e",
        "client_secret": "0dfb1a3c-5f2e-4c52-a2f4-6b6a5be2b9d7",
        "supports": ["channels", "players", "tells", "games"],
        "channels": ["gossip"],
        "version": "2.3.0",
        "user_agent": "ExVenture 0.25.0",
    }

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Channels given as text (`null` is none), numbers as version, null names among the flags: see §10."""
        if not isinstance(payload, dict):
            return super().forgive(payload)
        payload = dict(payload)
        channels = payload.get("channels")
        if isinstance(channels, str):
            channels = [] if channels.strip().lower() == "null" else [channels]
        if isinstance(channels, list):
            payload["channels"] = [name for name in channels if isinstance(name, str)]
        if isinstance(payload.get("supports"), list):
            payload["supports"] = [flag for flag in payload["supports"] if flag is not None]
        payload["players"] = usable_players(payload.get("players"))
        version = payload.get("version")
        if isinstance(version, int | float) and not isinstance(version, bool):
            payload["version"] = str(version)
        if isinstance(payload.get("sync"), dict):
            since = whole_number(payload["sync"].get("since"))
            if since is not None and not is_whole_number(since):
                raise invalid("sync.since", "must be a whole number or null")
            payload["sync"] = {"since": since}
        return payload

    @property
    def flags(self) -> frozenset[str]:
        """The known flags among those declared."""
        return frozenset(self.supports).intersection(SUPPORT_FLAGS)

    @property
    def ignored(self) -> list[str]:
        """The unknown flags, in their order; they are named in the answer."""
        return [flag for flag in self.supports if flag not in SUPPORT_FLAGS]

    @property
    def is_sync_wanted(self) -> bool:
        """Whether an application is to be sent anything before it asks."""
        return self.sync is not False

    @property
    def sync_since(self) -> int | None:
        """The cursor to resume after, or None for the whole state."""
        if not isinstance(self.sync, SyncFrom) or self.sync.since is None:
            return None
        return clamp_cursor(self.sync.since)

    @property
    def protocol_version(self) -> tuple[int, int, int]:
        """The version as numbers; what is none counts as 1.0.0."""
        return parse_version(self.version)


class AuthenticateSuccess(Outgoing, event="authenticate", flag="core"):
    """Server → peer. The answer to a good `authenticate`.

    ignored: unknown flags that were declared. refused_channels: names of the list that cannot be subscribed to.
    """

    unicode: str = "✔️"
    version: str = PROTOCOL_VERSION
    ignored: list[str] | UnsetType = UNSET
    refused_channels: list[str] | UnsetType = UNSET

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"unicode": "✔️", "version": PROTOCOL_VERSION}


class Heartbeat(Incoming, event="heartbeat", flag="core"):
    """Peer → server. The answer to a heartbeat. players replaces the whole list; None: the list stays.

    Decoding never fails but for what is no JSON: what is no name is left out, what is no list changes nothing.
    """

    players: Names | None = None

    example: ClassVar[dict[str, Any]] = {"players": ["Alice", "Bob"]}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """A bare list of names is the list; anything else that is no object says nothing."""
        if isinstance(payload, list):
            payload = {"players": payload}
        if not isinstance(payload, dict):
            return {}
        return {"players": usable_players(payload.get("players"))}


class SendHeartbeat(Outgoing, event="heartbeat", flag="core"):
    """Server → peer, every 15 seconds. Neither a ref nor a payload."""

    bare: ClassVar[bool] = True


class Restart(Outgoing, event="restart", flag="core"):
    """Server → peer. A drop is coming. downtime: whole seconds, jittered per socket so that not all return at once."""

    downtime: Annotated[int, Meta(extra_json_schema={"minimum": 0})]

    example: ClassVar[dict[str, Any]] = {"downtime": 15}


class Error(Outgoing, event="error", flag="core"):
    """Server → peer. A failure that answers no ref; its ref is a fresh one. See docs/protocol.md, §2."""

    error: str
    code: str
    retry_after_ms: int | UnsetType = UNSET

    status: ClassVar[str | None] = "failure"
    bare: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"error": "not JSON", "code": "not-json"}


def usable_players(players: Any) -> list[str] | None:
    """A list of names as a careless peer may send it, without what is no text; None where it is no list.

    The texts `none`, `null` and the empty one are an empty list. Any other text is no list: nothing is said.
    """
    if isinstance(players, str) and players.strip().lower() in ("", "none", "null"):
        return []
    if not isinstance(players, list):
        return None
    return [name for name in players if isinstance(name, str) and not has_lone_surrogate(name)]
