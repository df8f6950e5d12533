"""Frames of the core: authenticate, heartbeat, restart, error. Source: docs/protocol.md, §3. Pure: no I/O, no clock."""

from functools import cache
from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from shared.protocol.base import Incoming, Outgoing, invalid
from shared.protocol.codes import Code
from shared.protocol.text import has_lone_surrogate
from shared.protocol.types import (
    ChannelNames,
    Credential,
    Flags,
    Label,
    Names,
    about,
    clamp_cursor,
    is_whole_number,
    parse_version,
    whole_number,
)

PROTOCOL_VERSION = "2.4.0"
SUPPORT_FLAGS = ("channels", "players", "tells", "games", "achievements")


@cache
def _one_of_equal(flags: frozenset[str]) -> frozenset[str]:
    """Return the same object for equal flags: each takes 216 bytes, for as long as its socket is open."""
    return flags


class SyncFrom(Struct, frozen=True):
    """The position of a replica."""

    since: Annotated[
        int | None, about("The last cursor that the replica has applied; null asks for the whole state")
    ] = None


class Authenticate(Incoming, event="authenticate", flag="core"):
    """Peer → server. The first frame on a socket: identifies the peer and declares what it supports.

    Missing credentials and a missing `supports` decode as empty values, since those failures have texts of their own
    (`invalid credentials`, `missing supports`, `must support channels`). Only applications use sync:
    `{"since": cursor}` asks for the changes after that cursor, false for nothing, anything else for the whole state.
    """

    client_id: Annotated[Credential, about("From the game's page; case does not matter")] = ""
    client_secret: Annotated[Credential, about("From the game's page; case does not matter")] = ""
    supports: Annotated[Flags, about("The flags that this client supports; must contain `channels`")] = []
    channels: Annotated[ChannelNames, about("Channels to subscribe to at once; only the first 100 are used")] = []
    players: Annotated[Names | None, about("Who is online, as in `heartbeat`")] = None
    user_agent: Annotated[
        Label | None, about("The game's software and its version, visible to others; the first 200 characters are kept")
    ] = None
    version: Annotated[Label, about("The highest version of the protocol that the client knows")] = "1.0.0"
    debug: Annotated[bool, about("Also answer requests without a `ref`, for five minutes")] = False
    sync: Annotated[
        SyncFrom | bool, about("Applications only: where to resume, or false to receive nothing until you ask")
    ] = True

    demanded: ClassVar[tuple[str, ...]] = ("client_id", "client_secret", "supports")
    failures: ClassVar[tuple[Code, ...]] = (
        Code.INVALID_CREDENTIALS,
        Code.MISSING_SUPPORT,
        Code.ALREADY_AUTHENTICATED,
        Code.BANNED,
    )
    example: ClassVar[dict[str, Any]] = {
        "client_id": "4a6ebc3b-9d0b-4d5d-bd2c-0a4d2f5a6f0e",
        "client_secret": "0dfb1a3c-5f2e-4c52-a2f4-6b6a5be2b9d7",
        "supports": ["channels", "players", "tells", "games"],
        "channels": ["gossip"],
        "version": PROTOCOL_VERSION,
        "user_agent": "ExVenture 0.25.0",
    }

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Accept a string for `channels`, a number for `version`, and null among the flags (docs/protocol.md, §10)."""
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
        """The declared flags that the server knows."""
        return _one_of_equal(frozenset(self.supports).intersection(SUPPORT_FLAGS))

    @property
    def ignored(self) -> list[str]:
        """The declared flags that the server does not know, in order. The answer lists them."""
        return [flag for flag in self.supports if flag not in SUPPORT_FLAGS]

    @property
    def is_sync_wanted(self) -> bool:
        """Whether to send an application anything before it asks."""
        return self.sync is not False

    @property
    def sync_since(self) -> int | None:
        """The cursor to resume from; None for the whole state."""
        if not isinstance(self.sync, SyncFrom) or self.sync.since is None:
            return None
        return clamp_cursor(self.sync.since)

    @property
    def protocol_version(self) -> tuple[int, int, int]:
        """The version as numbers. An invalid version counts as 1.0.0."""
        return parse_version(self.version)


class AuthenticateSuccess(Outgoing, event="authenticate", flag="core"):
    """Server → peer. The success answer to `authenticate`. The first heartbeat follows immediately."""

    unicode: Annotated[str, about("Lets a client check that it decodes UTF-8 correctly")] = "✔️"
    version: Annotated[str, about("The server's version of the protocol")] = PROTOCOL_VERSION
    ignored: Annotated[list[str] | UnsetType, about("Declared flags that the server does not know")] = UNSET
    refused_channels: Annotated[
        list[str] | UnsetType, about("Requested channels that cannot be subscribed to; the others are subscribed")
    ] = UNSET
    counts: Annotated[
        dict[str, int] | UnsetType,
        about(
            "For applications of 2.4.0 and later that will now receive the whole state: roughly how many records it has"
        ),
    ] = UNSET

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"unicode": "✔️", "version": PROTOCOL_VERSION}


class Heartbeat(Incoming, event="heartbeat", flag="core"):
    """Peer → server. The answer to a heartbeat, with the players who are online.

    Decoding never fails: it skips invalid names, and ignores a value that is not a list.
    """

    players: Annotated[
        Names | None, about("Replaces this socket's whole list; if missing, the list stays as it was")
    ] = None

    is_answered: ClassVar[bool] = False
    example: ClassVar[dict[str, Any]] = {"players": ["Alice", "Bob"]}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Accept a bare list as `players`. Ignore any other payload that is not an object."""
        if isinstance(payload, list):
            payload = {"players": payload}
        if not isinstance(payload, dict):
            return {}
        return {"players": usable_players(payload.get("players"))}


class SendHeartbeat(Outgoing, event="heartbeat", flag="core"):
    """Server → peer. Sent every 15 seconds, without a `ref` and without a payload."""

    bare: ClassVar[bool] = True


class Restart(Outgoing, event="restart", flag="core"):
    """Server → peer. The connection is about to be closed, since the worker is stopping or an operator announced it."""

    downtime: Annotated[
        int,
        Meta(
            description="Seconds to wait before reconnecting, up to 5 of them random so that clients return apart",
            extra_json_schema={"minimum": 0},
        ),
    ]

    example: ClassVar[dict[str, Any]] = {"downtime": 15}


class Error(Outgoing, event="error", flag="core"):
    """Server → peer. A failure without a `ref` to answer. Its own `ref` is new (docs/protocol.md, §2)."""

    error: Annotated[str, about("A sentence for people")]
    code: Annotated[str, about("A short word for programs; it never changes")]
    retry_after_ms: Annotated[int | UnsetType, about("Milliseconds until a retry can succeed")] = UNSET

    status: ClassVar[str | None] = "failure"
    bare: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"error": "not JSON", "code": "not-json"}


def usable_players(players: Any) -> list[str] | None:
    """Return the names in a list that a careless peer has sent, without anything that is not text.

    The strings `none` and `null` and the empty string mean an empty list. Returns None for any other value.
    """
    if isinstance(players, str) and players.strip().lower() in ("", "none", "null"):
        return []
    if not isinstance(players, list):
        return None
    return [name for name in players if isinstance(name, str) and not has_lone_surrogate(name)]
