"""Frames of the core: authenticate, heartbeat, restart, error. Source: docs/protocol.md, §3. Pure: no I/O, no clock."""

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


class SyncFrom(Struct, frozen=True):
    """Where a replica stands."""

    since: Annotated[int | None, about("The last cursor it has applied; null asks for the whole state")] = None


class Authenticate(Incoming, event="authenticate", flag="core"):
    """Peer → server. The first frame of a socket: who it is, and what it can do.

    What is missing from the credentials or from `supports` is empty here, not refused: those failures have texts of
    their own (`invalid credentials`, `missing supports`, `must support channels`). sync counts for applications only:
    `{"since": cursor}` for what came after it, false for nothing until asked, anything else for the whole state.
    """

    client_id: Annotated[Credential, about("From the game's page; matched without regard to case")] = ""
    client_secret: Annotated[Credential, about("From the game's page; matched without regard to case")] = ""
    supports: Annotated[Flags, about("The flags that this client understands, `channels` among them")] = []
    channels: Annotated[ChannelNames, about("Channels to subscribe to at once; the first 100 count")] = []
    players: Annotated[Names | None, about("Who is online, as in `heartbeat`")] = None
    user_agent: Annotated[
        Label | None, about("The game's software and its version, which others see; 200 characters are kept")
    ] = None
    version: Annotated[Label, about("The highest version of the protocol that the client knows")] = "1.0.0"
    debug: Annotated[bool, about("Answer requests without a `ref` too, for five minutes")] = False
    sync: Annotated[
        SyncFrom | bool, about("Applications only: where to resume, or false for nothing until it is asked for")
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
    """Server → peer. The answer to a good `authenticate`; the first heartbeat follows at once."""

    unicode: Annotated[str, about("A character to try: it shows whether the client reads UTF-8")] = "✔️"
    version: Annotated[str, about("The server's version of the protocol")] = PROTOCOL_VERSION
    ignored: Annotated[list[str] | UnsetType, about("Flags declared that the server does not know")] = UNSET
    refused_channels: Annotated[
        list[str] | UnsetType, about("Names of the list that cannot be subscribed to; the rest is")
    ] = UNSET
    counts: Annotated[
        dict[str, int] | UnsetType,
        about("For applications of 2.4.0 and later that are sent the whole state now: about how many records it has"),
    ] = UNSET

    status: ClassVar[str | None] = "success"
    example: ClassVar[dict[str, Any]] = {"unicode": "✔️", "version": PROTOCOL_VERSION}


class Heartbeat(Incoming, event="heartbeat", flag="core"):
    """Peer → server. The answer to a heartbeat: this socket lives, and these players are on.

    Decoding never fails but for what is no JSON: what is no name is left out, what is no list changes nothing.
    """

    players: Annotated[Names | None, about("Replaces this socket's whole list; without it the list stays")] = None

    is_answered: ClassVar[bool] = False
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
    """Server → peer. Sent every 15 seconds, with neither a `ref` nor a payload."""

    bare: ClassVar[bool] = True


class Restart(Outgoing, event="restart", flag="core"):
    """Server → peer. A drop is coming: the worker was asked to stop, or an operator announces it."""

    downtime: Annotated[
        int,
        Meta(
            description="Seconds to stay away; up to 5 more are added, so that not all return at once",
            extra_json_schema={"minimum": 0},
        ),
    ]

    example: ClassVar[dict[str, Any]] = {"downtime": 15}


class Error(Outgoing, event="error", flag="core"):
    """Server → peer. A failure that answers no `ref`; its own `ref` is a fresh one. See docs/protocol.md, §2."""

    error: Annotated[str, about("A sentence for people")]
    code: Annotated[str, about("A word for programs, which never changes")]
    retry_after_ms: Annotated[int | UnsetType, about("Milliseconds after which to try again")] = UNSET

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
