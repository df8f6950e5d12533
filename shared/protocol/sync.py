"""Frames of sync, for network applications, and digests of synced records. Source: docs/protocol.md, §8.

Pure: no I/O, no clock.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from shared.errors import Invalid
from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import Code
from shared.protocol.types import Cursor, about, whole_number


class RequestSync(Incoming, event="sync"):
    """Application → server. Ask for the changes after a cursor, or the whole state. All answers carry the `ref`."""

    since: Annotated[Cursor | None, about("Send the changes after this cursor; null or missing: the whole state")] = (
        None
    )

    failures: ClassVar[tuple[Code, ...]] = (Code.NOT_AN_APPLICATION,)
    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"since": 42}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """Accept 42.0 for 42."""
        if isinstance(payload, dict):
            return payload | {"since": whole_number(payload.get("since"))}
        return super().forgive(payload)


class ChannelRecord(Struct, frozen=True, kw_only=True):
    """A channel as replicas store it."""

    id: Annotated[int, about("Never changes and is never reused")]
    name: Annotated[str, about("The channel's name")]
    description: Annotated[str | None, about("What the channel is for")]
    hidden: Annotated[bool, about("Whether it is left out of lists; any game that knows its name may use it")]


class ConnectionRecord(Struct, frozen=True, kw_only=True):
    """A way to connect to a game: with `url`, or with `host` and `port`."""

    id: Annotated[str, about("A UUID; the list is sorted by it")]
    type: Annotated[Literal["web", "telnet", "secure telnet"], about("The kind of connection")]
    url: Annotated[str | UnsetType, about("A page to play on")] = UNSET
    host: Annotated[str | UnsetType, about("A host to connect to")] = UNSET
    port: Annotated[int | UnsetType, about("The port of that host")] = UNSET


_GAME_WIRE_NAMES = {
    "short_name": "game",
    "name": "display_name",
    "is_displayed": "display",
    "allows_character_registration": "allow_character_registration",
}


class GameRecord(Struct, frozen=True, kw_only=True, rename=_GAME_WIRE_NAMES):
    """A game as replicas know it. Its fields have the names of `GameDetails`; only the JSON keys differ."""

    id: Annotated[int, about("Never changes and is never reused")]
    short_name: Annotated[str, about("The short name")]
    name: Annotated[str, about("The name to display")]
    is_displayed: Annotated[bool, about("Whether to list the game; false for a hidden game")]
    description: Annotated[str | None, about("As the owner wrote it")]
    homepage_url: Annotated[str | None, about("As the owner wrote it")]
    user_agent: Annotated[str | None, about("The game's software")]
    user_agent_url: Annotated[str | None, about("The home page of that software")]
    connections: Annotated[list[ConnectionRecord], about("How players connect, sorted by `id`")]
    allows_character_registration: Annotated[bool, about("Whether players may claim characters there")]
    redirect_uris: Annotated[list[str], about("Addresses to which signing in with this game may return, sorted")]


class SyncChannels(Outgoing, event="sync/channels"):
    """Server → application. New, changed and deleted channels. Apply deletions first."""

    channels: Annotated[list[Raw], about("New and changed records, complete; at most ten")] = []
    deleted: Annotated[list[int] | UnsetType, about("The ids of deleted records")] = UNSET
    cursor: Annotated[int | UnsetType, about("The cursor after this change; missing in a whole state")] = UNSET

    record: ClassVar[type[Struct]] = ChannelRecord
    example: ClassVar[dict[str, Any]] = {
        "channels": [{"id": 1, "name": "gossip", "description": "General chat", "hidden": False}],
        "cursor": 42,
    }
    further_examples: ClassVar[tuple[dict[str, Any], ...]] = ({"channels": [], "deleted": [3], "cursor": 44},)


class SyncGames(Outgoing, event="sync/games"):
    """Server → application. New, changed and deleted games. Apply deletions first."""

    games: Annotated[list[Raw], about("New and changed records, complete; at most ten")] = []
    deleted: Annotated[list[int] | UnsetType, about("The ids of deleted records")] = UNSET
    cursor: Annotated[int | UnsetType, about("The cursor after this change; missing in a whole state")] = UNSET

    record: ClassVar[type[Struct]] = GameRecord
    example: ClassVar[dict[str, Any]] = {
        "games": [
            {
                "id": 7,
                "game": "ExVenture",
                "display_name": "ExVenture MUD",
                "display": True,
                "description": None,
                "homepage_url": None,
                "user_agent": None,
                "user_agent_url": None,
                "connections": [
                    {
                        "id": "5f0c8dfb-6f6c-4c43-8d7a-5f6a8a2f2f11",
                        "type": "telnet",
                        "host": "exventure.example.com",
                        "port": 4000,
                    }
                ],
                "allow_character_registration": True,
                "redirect_uris": [],
            }
        ],
        "cursor": 43,
    }


class SyncComplete(Outgoing, event="sync/complete"):
    """Server → application. Everything up to `cursor` has been sent."""

    cursor: Annotated[int, about("The replica's position now")]
    counts: Annotated[dict[str, int], about("How many records of each kind the whole state has at this cursor")]
    digests: Annotated[dict[str, str], about("The digest of each kind at this cursor, SHA-256 in hex")]
    reset: Annotated[
        Literal[True] | UnsetType, about("The frames held the whole state, although changes were asked for")
    ] = UNSET

    example: ClassVar[dict[str, Any]] = {
        "cursor": 42,
        "counts": {"channels": 3, "games": 12},
        "digests": {
            "channels": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "games": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        },
    }


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_json(record: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON of a record, from which digests are made. Raises Invalid for a lone surrogate."""
    try:
        return _CANONICAL.encode(record).encode()
    except UnicodeEncodeError:
        raise Invalid("a record's text holds half of a character (a lone surrogate)") from None


class Digest:
    """The digest and the number of the records of one kind. Add them in ascending order of their ids."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record, whose lists are sorted."""
        self.add_canonical(canonical_json(record))

    def add_canonical(self, text: str | bytes) -> None:
        """Add a record that is canonical JSON already."""
        self._hash.update((text.encode() if isinstance(text, str) else text) + b"\n")
        self.count += 1

    def hexdigest(self) -> str:
        """Return the digest of the records that were added so far."""
        return self._hash.hexdigest()
