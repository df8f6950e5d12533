"""Types of payload fields: what they accept, and how they are cleaned. Source: docs/protocol.md, §2, §4, §6.

The `Rule` of a type runs on every value that is decoded or constructed. Its `Meta` only describes the value in the
documentation: lengths apply after cleaning, so msgspec itself cannot check them.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple
from unicodedata import normalize

from msgspec import Meta

from shared.errors import Invalid
from shared.protocol.text import clean_line, clean_text, has_nul, is_blank, strip_invisible

MAX_NAME = 60
MAX_TEXT = 4000
MAX_CURSOR = 2**63 - 1


class Rule(NamedTuple):
    """How to clean a value. apply: returns the clean value, or raises ValueError with the end of a sentence."""

    apply: Callable[[Any], Any]


def about(meaning: str) -> Meta:
    """Describe a field, for the documentation."""
    return Meta(description=meaning)


def _name(value: str) -> str:
    name = clean_line(value)
    if not 1 <= len(name) <= MAX_NAME:
        raise ValueError("must be 1 to 60 characters")
    if is_blank(name):
        raise ValueError("must have a visible character")
    return name


def _text(value: str) -> str:
    text = clean_text(value)
    if not 1 <= len(text) <= MAX_TEXT:
        raise ValueError("must be 1 to 4,000 characters")
    return text


def _words(value: str) -> str:
    text = _text(value)
    if is_blank(text):
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
    """Limit a cursor to what databases can compare. No log contains -1 or the greatest value."""
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
# For new lines. The history has lines from before this rule, so lines that the server sends are `Text`.
Words = Annotated[
    str,
    Meta(
        description="Plain text, 1 to 4,000 characters after cleaning, not only white space",
        extra_json_schema={"minLength": 1, "maxLength": MAX_TEXT, "pattern": r"\S"},
    ),
    Rule(_words),
]
Label = Annotated[str, Meta(description="One line; the first 200 characters are kept"), Rule(_label)]
Credential = Annotated[str, Meta(description="Case does not matter"), Rule(_credential)]
UtcTime = Annotated[datetime, Meta(tz=True, description="A time in UTC, ISO 8601"), Rule(_utc)]
Cursor = Annotated[int, Meta(description="A position in the log of changes"), Rule(clamp_cursor)]
# Clamped like a cursor: no record has an id that databases cannot compare.
RecordId = Annotated[int, Meta(description="The number of a record"), Rule(clamp_cursor)]
PageSize = Annotated[
    int,
    Meta(description="The maximum number, 1 to 100", extra_json_schema={"minimum": 1, "maximum": 100}),
    Rule(_page),
]

# These have no rule: an invalid name is not a malformed payload. No game or channel has that name, which is a failure
# of its own.
ShortName = Annotated[str, Meta(description="A game's short name; case does not matter")]
ChannelName = Annotated[str, Meta(description="A channel: 3 to 15 characters from a-z A-Z _ -; case does not matter")]


def game_key(name: str) -> str:
    """Return the form in which game names are compared: without case and spaces (docs/protocol.md, §6)."""
    return "".join(name.split()).lower()


def player_key(name: str) -> str:
    """Return the form in which player names are compared: NFKC, without case and without invisible characters.

    So é equals e with an accent, and full-width letters equal ordinary ones (docs/protocol.md, §5).
    """
    if name.isascii():
        return name.lower()
    compatible = normalize("NFKC", strip_invisible(name))
    return normalize("NFKC", strip_invisible(compatible).casefold()).strip()


def name_without_game(name: str, game: str) -> str:
    """Return a player's name without `@Game`, if that is this game (docs/protocol.md, §5). Keep other names.

    Args:
        game: The short name of the player's game.
    """
    alone, at_sign, suffix = name.rpartition("@")
    if not at_sign or not alone.strip() or game_key(suffix) != game_key(game):
        return name
    return alone.rstrip()


def channel_key(name: str) -> str:
    """Return the form in which channel names are compared: without case."""
    return name.lower()


def clean_names(values: object) -> list[str]:
    """Return the valid names in a list, cleaned and without duplicates. The first spelling of each wins."""
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
    """Return whether this is a whole number in JSON. true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def whole_number(value: object) -> object:
    """Convert a float without a fraction to int: some languages always write 42.0. Returns other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def whole_seconds(moment: datetime) -> datetime:
    """Return a time in UTC without fractions, because some clients parse only `%Y-%m-%dT%H:%M:%SZ`."""
    return moment.astimezone(UTC).replace(microsecond=0)


_VERSION = re.compile(r"\s*[vV]?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?(?![\d])", re.ASCII)


def parse_version(version: str) -> tuple[int, int, int]:
    """Return the three numbers of a protocol version, with 0 for missing ones. An invalid version counts as 1.0.0."""
    numbers = _VERSION.match(version)
    if numbers is None:
        return (1, 0, 0)
    return (int(numbers[1]), int(numbers[2] or 0), int(numbers[3] or 0))


def at_least(version: str, required: str) -> bool:
    """Return whether a client's version is the required one or later."""
    return parse_version(version) >= parse_version(required)


def _names(values: list[str]) -> list[str]:
    names = clean_names(values)
    # Some games send only this name if nobody is online. Next to other names it is an ordinary name.
    return [] if [player_key(name) for name in names] == ["none"] else names


def _flags(values: list[str]) -> list[str]:
    return list(dict.fromkeys(flag for value in values if (flag := value.strip().lower())))


def _channel_names(values: list[str]) -> list[str]:
    names: dict[str, str] = {}
    for value in values:
        if value.strip():
            names.setdefault(channel_key(value), value)
    return list(names.values())


Names = Annotated[
    list[str], Meta(description="Names of players, cleaned, without blank names and duplicates"), Rule(_names)
]
Flags = Annotated[list[str], Meta(description="The flags that this client supports"), Rule(_flags)]
ChannelNames = Annotated[
    list[str], Meta(description="Names of channels, without blank names and duplicates"), Rule(_channel_names)
]
