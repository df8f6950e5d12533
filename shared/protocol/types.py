"""Types of payload fields, declared once: what they accept, how they are cleaned. Source: docs/protocol.md, §2, §4, §6.

A `Rule` beside the type is run on every value that is decoded or constructed; the `Meta` beside it only describes the
value for documents (lengths hold after cleaning, so msgspec itself cannot check them).
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple
from unicodedata import normalize

from msgspec import Meta

from shared.errors import Invalid
from shared.protocol.text import clean_line, clean_text, has_nul

MAX_NAME = 60
MAX_TEXT = 4000
MAX_CURSOR = 2**63 - 1

CHANNEL_NAME = re.compile(r"[A-Za-z_-]{3,15}", re.ASCII)


class Rule(NamedTuple):
    """How a value is cleaned. apply: gives the clean value, or raises ValueError with the end of a sentence."""

    apply: Callable[[Any], Any]


def about(meaning: str) -> Meta:
    """What a field of this type means, beside the type: documents show it."""
    return Meta(description=meaning)


def _name(value: str) -> str:
    name = clean_line(value)
    if not 1 <= len(name) <= MAX_NAME:
        raise ValueError("must be 1 to 60 characters")
    return name


def _text(value: str) -> str:
    text = clean_text(value)
    if not 1 <= len(text) <= MAX_TEXT:
        raise ValueError("must be 1 to 4,000 characters")
    return text


def _words(value: str) -> str:
    text = _text(value)
    if text.isspace():
        raise ValueError("must be 1 to 4,000 characters, and not white space alone")
    return text


def _label(value: str) -> str:
    if has_nul(value):
        raise ValueError("must not hold the character NUL")
    return clean_line(value)[:200].rstrip()


def _utc(value: datetime) -> datetime:
    if value.utcoffset() != timedelta(0):
        raise ValueError("must be a time in UTC, such as 2026-11-23T06:15:44Z")
    return value


def clamp_cursor(value: int) -> int:
    """The cursor as databases can compare it: no log reaches back to -1, or as far as the greatest."""
    return max(-1, min(value, MAX_CURSOR))


def _page(value: int) -> int:
    if not 1 <= value <= 100:
        raise ValueError("must be 1 to 100")
    return value


def _credential(value: str) -> str:
    return value.strip().lower()


Name = Annotated[
    str,
    Meta(
        description="A player's name, 1 to 60 characters after cleaning",
        extra_json_schema={"minLength": 1, "maxLength": MAX_NAME},
    ),
    Rule(_name),
]
Text = Annotated[
    str,
    Meta(
        description="Plain text, 1 to 4,000 characters after cleaning",
        extra_json_schema={"minLength": 1, "maxLength": MAX_TEXT},
    ),
    Rule(_text),
]
# What is said now. What was said before this rule is still in the history, so what is sent on is a `Text`.
Words = Annotated[
    str,
    Meta(
        description="Plain text, 1 to 4,000 characters after cleaning, not white space alone",
        extra_json_schema={"minLength": 1, "maxLength": MAX_TEXT, "pattern": r"\S"},
    ),
    Rule(_words),
]
Label = Annotated[str, Meta(description="One line, at most 200 characters are kept"), Rule(_label)]
Credential = Annotated[str, Meta(description="Matched without regard to case"), Rule(_credential)]
UtcTime = Annotated[datetime, Meta(tz=True, description="A time in UTC, ISO 8601"), Rule(_utc)]
Cursor = Annotated[int, Meta(description="A position in the log of changes"), Rule(clamp_cursor)]
# Clamped as a cursor is: what no database can look for is no record's either.
RecordId = Annotated[int, Meta(description="The number of a record"), Rule(clamp_cursor)]
PageSize = Annotated[
    int,
    Meta(description="How many at most, 1 to 100", extra_json_schema={"minimum": 1, "maximum": 100}),
    Rule(_page),
]

# No rule of their own: a name that breaks the rules is no malformed payload, it is a game or a channel that cannot be
# found, and has its own failure.
ShortName = Annotated[str, Meta(description="A game's short name, matched without regard to case")]
ChannelName = Annotated[str, Meta(description="A channel: 3 to 15 of a-z A-Z _ -, matched without regard to case")]


def game_key(name: str) -> str:
    """What two spellings of a game's name have in common: no case, no spaces (§6)."""
    return "".join(name.split()).lower()


def player_key(name: str) -> str:
    """What two spellings of a player's name have in common: no case, and one form of each letter (é is e and ´ too)."""
    if name.isascii():
        return name.lower()
    return normalize("NFC", normalize("NFC", name).casefold())


def channel_key(name: str) -> str:
    """What two spellings of a channel's name have in common: no case."""
    return name.lower()


def clean_names(values: object) -> list[str]:
    """The usable names of a list, cleaned, first spelling first: no blanks, repeats or anything that is not a name."""
    if not isinstance(values, list | tuple):
        return []
    names: dict[str, str] = {}
    for value in values:
        if not isinstance(value, str):
            continue
        try:
            name = _name(value)
        except (ValueError, Invalid):
            continue
        names.setdefault(player_key(name), name)
    return list(names.values())


def is_whole_number(value: object) -> bool:
    """Whether JSON would call it a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def whole_number(value: object) -> object:
    """The value, as int if it is a float without a fraction (some languages know no other numbers: 42.0)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def whole_seconds(moment: datetime) -> datetime:
    """The moment as clients read it: in UTC, without fractions (some parse `%Y-%m-%dT%H:%M:%SZ` and nothing else)."""
    return moment.astimezone(UTC).replace(microsecond=0)


_VERSION = re.compile(r"\s*[vV]?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?(?![\d])", re.ASCII)


def parse_version(version: str) -> tuple[int, int, int]:
    """The three numbers of a protocol version; missing ones are 0. What is no version counts as 1.0.0 (§3)."""
    found = _VERSION.match(version)
    if found is None:
        return (1, 0, 0)
    return (int(found[1]), int(found[2] or 0), int(found[3] or 0))


def at_least(version: str, wanted: str) -> bool:
    """Whether a client of this version knows what came with `wanted`."""
    return parse_version(version) >= parse_version(wanted)


def _names(values: list[str]) -> list[str]:
    names = clean_names(values)
    # Some games say it so when nobody is on; among others it is a name like any.
    return [] if [player_key(name) for name in names] == ["none"] else names


def _flags(values: list[str]) -> list[str]:
    return list(dict.fromkeys(flag for value in values if (flag := value.strip().lower())))


def _channel_names(values: list[str]) -> list[str]:
    names: dict[str, str] = {}
    for value in values:
        if value.strip():
            names.setdefault(channel_key(value), value)
    return list(names.values())


Names = Annotated[list[str], Meta(description="Names of players, cleaned, without blanks and repeats"), Rule(_names)]
Flags = Annotated[list[str], Meta(description="The support flags that this client understands"), Rule(_flags)]
ChannelNames = Annotated[
    list[str], Meta(description="Names of channels, without blanks and repeats"), Rule(_channel_names)
]
