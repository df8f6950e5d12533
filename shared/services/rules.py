"""Rules for names and texts that are kept as records. Each raises Invalid with the field at fault."""

from __future__ import annotations

import re
import unicodedata
from typing import Any
from urllib.parse import urlsplit

from shared import grapevine
from shared.errors import Invalid

USERNAMES_BLOCKED = frozenset(
    [
        "admin",
        "administrator",
        "moderator",
        grapevine.SYSTEM,
        grapevine.KEY,
        "gossip",
        "raisin",
        "root",
        "staff",
        "register",
        "sign-in",
        "chat",
        "games",
        "imm",
        "immortal",
        "wiz",
        "wizard",
        "sysop",
    ]
)
SHORT_NAMES_BLOCKED = frozenset(["gossip", grapevine.KEY, "raisin", grapevine.SYSTEM])
CHANNELS_BLOCKED = frozenset(["all"])

_USERNAME = re.compile(r"[A-Za-z0-9-]{3,50}")
_SHORT_NAME = re.compile(r"[A-Za-z0-9]{1,15}")
_CHANNEL = re.compile(r"[A-Za-z_-]{3,15}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?|[0-9A-Fa-f:]{2,39}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def text(value: object, *, field: str, longest: int, what: str) -> str:
    """A text that may be kept: stripped, newlines as \\n, in NFC, without NUL, controls or lone surrogates."""
    if not isinstance(value, str):
        raise Invalid(f"{what} must be a text", field=field)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Invalid(f"{what} holds half of a character (a lone surrogate)", field=field) from None
    value = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n").strip())
    if _CONTROL.search(value):
        raise Invalid(f"{what} holds a control character", field=field)
    if len(value) > longest:
        raise Invalid(f"{what} is too long: {longest:,} characters at most, this is {len(value):,}", field=field)
    return value


def may_be_kept(value: str) -> bool:
    """False for a text that no record can hold, and that no database can even look for: NUL, lone surrogates."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def line(value: object, *, field: str, longest: int, what: str) -> str:
    """A text of one line that is not empty."""
    value = text(value, field=field, longest=longest, what=what)
    if not value:
        raise Invalid(f"{what} is missing", field=field)
    if "\n" in value:
        raise Invalid(f"{what} must be one line", field=field)
    return value


def username(value: object) -> str:
    """A username: 3 to 50 letters, digits, hyphens; not on the block list."""
    value = line(value, field="username", longest=50, what="the username")
    if not _USERNAME.fullmatch(value):
        raise Invalid("a username has 3 to 50 letters (a to z), digits or hyphens", field="username")
    if value.lower() in USERNAMES_BLOCKED:
        raise Invalid("this username is not allowed, choose another", field="username")
    return value


def email(value: object) -> str:
    """An email address, normalized. Whether anybody reads mail there is not asked."""
    from email_validator import EmailNotValidError, validate_email  # here: its tables take long to build at a start

    value = line(value, field="email", longest=254, what="the email address")
    if not value.rpartition("@")[0].isascii():
        # Many mail servers do not take it (RFC 6531), and then its owner could never prove it.
        raise Invalid("before the @, an email address has no letters but a to z here", field="email")
    try:
        return validate_email(value, check_deliverability=False, allow_smtputf8=False).normalized
    except EmailNotValidError:
        raise Invalid("this is not an email address: it looks like name@example.com", field="email") from None


def address_key(value: str) -> str:
    """What all spellings of one email address have in common; a text that is no address is only put in lower case.

    Never `casefold`: it makes one of straße.example and strasse.example, which belong to different people.
    """
    try:
        value = email(value)
    except Invalid:
        value = value.strip()
    return value.lower()


def short_name(value: object) -> str:
    """A game's or an application's short name: 1 to 15 letters and digits; not on the block list."""
    value = line(value, field="short_name", longest=15, what="the short name")
    if not _SHORT_NAME.fullmatch(value):
        raise Invalid("a short name has 1 to 15 letters (a to z) and digits, no spaces", field="short_name")
    if value.lower() in SHORT_NAMES_BLOCKED:
        raise Invalid("this short name is not allowed, choose another", field="short_name")
    return value


def channel_name(value: object) -> str:
    """A channel's name: 3 to 15 letters, `_` and `-`; not on the block list (docs/protocol.md, §4)."""
    value = line(value, field="name", longest=15, what="the channel's name")
    if not _CHANNEL.fullmatch(value):
        raise Invalid("a channel's name has 3 to 15 letters (a to z), _ or -", field="name")
    if value.lower() in CHANNELS_BLOCKED:
        raise Invalid("this channel name is not allowed, choose another", field="name")
    return value


def name_key(value: str) -> str:
    """What two names have in common that differ only in case or in the form of their letters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())


def web_address(value: object, *, field: str, what: str, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """An address with one of the schemes and a dot in its host."""
    value = line(value, field=field, longest=500, what=what)
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    good_host = bool(_HOST.fullmatch(host)) or (host.isprintable() and not host.isascii())
    if parts.scheme not in schemes or "." not in host.strip(".") or not good_host or any(map(str.isspace, value)):
        starts = " or ".join(f"{scheme}://" for scheme in schemes[:2])
        raise Invalid(f"{what} must be a full address that begins with {starts}", field=field)
    return value


def way_to_connect(*, type: object, url: object = "", host: object = "", port: object = None) -> dict[str, Any]:
    """The columns of a way to connect: of type web with `url`, or telnet / secure telnet with `host` and `port`."""
    if type == "web":
        address = web_address(url, field="url", what="the address", schemes=("http", "https", "ws", "wss"))
        return {"type": "web", "url": address, "host": None, "port": None}
    if type not in ("telnet", "secure telnet"):
        raise Invalid("choose web, telnet or secure telnet", field="type")
    host = line(host, field="host", longest=253, what="the host")
    if not _HOST.fullmatch(host):
        raise Invalid("the host must be a name like mud.example.com or an IP address", field="host")
    if isinstance(port, str) and port.strip().isascii() and port.strip().isdecimal():
        port = int(port.strip()[:10])
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65_535:
        raise Invalid("the port must be a whole number from 1 to 65535", field="port")
    return {"type": type, "url": None, "host": host, "port": port}
