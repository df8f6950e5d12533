"""Frames of sync, for network applications, and digests of what was synced. Source: docs/protocol.md, §8.

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
    """Application → server. The changes after a cursor, or the whole state. All of the answer carries its `ref`."""

    since: Annotated[Cursor | None, about("The changes after this cursor; null or missing: the whole state")] = None

    failures: ClassVar[tuple[Code, ...]] = (Code.NOT_AN_APPLICATION,)
    needs_ref: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"since": 42}

    @classmethod
    def forgive(cls, payload: Any) -> Any:
        """The cursor may come as 42.0."""
        if isinstance(payload, dict):
            return payload | {"since": whole_number(payload.get("since"))}
        return super().forgive(payload)


class ChannelRecord(Struct, frozen=True, kw_only=True):
    """A channel as replicas know it. Records are sent as ready JSON; this class says what is in it."""

    id: Annotated[int, about("Never changes, never used again")]
    name: Annotated[str, about("The channel's name")]
    description: Annotated[str | None, about("What it is for")]
    hidden: Annotated[bool, about("True: in no list, but any game that knows its name may use it")]


class ConnectionRecord(Struct, frozen=True, kw_only=True):
    """A way to connect to a game, in its record: with `url`, or with `host` and `port`."""

    id: Annotated[str, about("A UUID; the list is sorted by it")]
    type: Annotated[Literal["web", "telnet", "secure telnet"], about("How")]
    url: Annotated[str | UnsetType, about("A page to play on")] = UNSET
    host: Annotated[str | UnsetType, about("A host, with a port")] = UNSET
    port: Annotated[int | UnsetType, about("Its port")] = UNSET


_GAME_WIRE_NAMES = {
    "short_name": "game",
    "name": "display_name",
    "is_displayed": "display",
    "allows_character_registration": "allow_character_registration",
}


class GameRecord(Struct, frozen=True, kw_only=True, rename=_GAME_WIRE_NAMES):
    """A game as replicas know it. Its fields have the names of `GameDetails`; only the JSON keys differ."""

    id: Annotated[int, about("Never changes, never used again")]
    short_name: Annotated[str, about("The short name")]
    name: Annotated[str, about("The name to show")]
    is_displayed: Annotated[bool, about("False: a hidden game, which is not to be listed")]
    description: Annotated[str | None, about("As the owner wrote it")]
    homepage_url: Annotated[str | None, about("As the owner wrote it")]
    user_agent: Annotated[str | None, about("The game's software")]
    user_agent_url: Annotated[str | None, about("Where that software lives")]
    connections: Annotated[list[ConnectionRecord], about("How players get there, sorted by `id`")]
    allows_character_registration: Annotated[bool, about("Whether players may claim characters there")]
    redirect_uris: Annotated[list[str], about("Where signing in with this game may lead back to, sorted")]


class SyncChannels(Outgoing, event="sync/channels"):
    """Server → application. Channels that are new, changed or deleted. Deletes apply first."""

    channels: Annotated[list[Raw], about("Those that are new or have changed, whole; ten at most")] = []
    deleted: Annotated[list[int] | UnsetType, about("The ids of those that are gone")] = UNSET
    cursor: Annotated[int | UnsetType, about("Where this change leads to; not in a whole state")] = UNSET

    record: ClassVar[type[Struct]] = ChannelRecord
    example: ClassVar[dict[str, Any]] = {
        "channels": [{"id": 1, "name": "gossip", "description": "General chat", "hidden": False}],
        "cursor": 42,
    }
    further_examples: ClassVar[tuple[dict[str, Any], ...]] = ({"channels": [], "deleted": [3], "cursor": 44},)


class SyncGames(Outgoing, event="sync/games"):
    """Server → application. Games that are new, changed or deleted. Deletes apply first."""

    games: Annotated[list[Raw], about("Those that are new or have changed, whole; ten at most")] = []
    deleted: Annotated[list[int] | UnsetType, about("The ids of those that are gone")] = UNSET
    cursor: Annotated[int | UnsetType, about("Where this change leads to; not in a whole state")] = UNSET

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

    cursor: Annotated[int, about("Where the replica stands now")]
    counts: Annotated[dict[str, int], about("How many records of each kind the whole state has there")]
    digests: Annotated[dict[str, str], about("The digest of each kind there, SHA-256 in hex")]
    reset: Annotated[
        Literal[True] | UnsetType, about("What came was the whole state, though changes were asked for")
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
    """The one text of a record that digests are made of. Raises Invalid where a text holds a lone surrogate."""
    try:
        return _CANONICAL.encode(record).encode()
    except UnicodeEncodeError:
        raise Invalid("a record's text holds half of a character (a lone surrogate)") from None


class Digest:
    """The digest and the count of a kind's records, which are added by ascending id."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in one record, its lists in order."""
        self.add_canonical(canonical_json(record))

    def add_canonical(self, text: str | bytes) -> None:
        """Take in one record that is canonical JSON already."""
        self._hash.update((text.encode() if isinstance(text, str) else text) + b"\n")
        self.count += 1

    def hexdigest(self) -> str:
        """The digest of what has been added so far."""
        return self._hash.hexdigest()
