"""Rules for names and texts that are stored. Each function returns the value as it is stored, or raises Invalid.

The error names the field at fault and, by `what`, the value in words: "the name is missing".
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any
from urllib.parse import urlsplit

from shared import grapevine, hosts
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
_TELNET = re.compile(r"\s*telnet[a-z+]*(?:://|\s)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def text(value: object, *, field: str, longest: int, what: str) -> str:
    """Return a text in NFC, stripped, with newlines as \\n. Refuses control characters and lone surrogates."""
    if not isinstance(value, str):
        raise Invalid(f"{what} must be text", field=field)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Invalid(f"{what} contains half of a character (a lone surrogate)", field=field) from None
    value = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n").strip())
    if _CONTROL.search(value):
        raise Invalid(f"{what} contains a control character", field=field)
    if len(value) > longest:
        raise Invalid(f"{what} is too long: it may have {longest:,} characters and has {len(value):,}", field=field)
    return value


def is_storable(value: str) -> bool:
    """Return False for a text that a database can neither store nor compare: with NUL or lone surrogates."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def line(value: object, *, field: str, longest: int, what: str) -> str:
    """Return a text of one line that is not empty. See `text`."""
    value = text(value, field=field, longest=longest, what=what)
    if not value:
        raise Invalid(f"{what} is missing", field=field)
    if "\n" in value:
        raise Invalid(f"{what} must be one line", field=field)
    return value


def username(value: object) -> str:
    """Return a username: 3 to 50 letters, digits, hyphens; not on the block list."""
    value = line(value, field="username", longest=50, what="the username")
    if not _USERNAME.fullmatch(value):
        raise Invalid("a username has 3 to 50 letters (a to z), digits or hyphens", field="username")
    if value.lower() in USERNAMES_BLOCKED:
        raise Invalid("this username is not allowed, choose another", field="username")
    return value


def email(value: object) -> str:
    """Return an email address, normalized. Does not check that the mailbox exists."""
    from email_validator import EmailNotValidError, validate_email  # slow to import

    value = line(value, field="email", longest=254, what="the email address")
    if not value.rpartition("@")[0].isascii():
        # Many mail servers refuse such addresses (RFC 6531), so their owners could never verify them.
        raise Invalid("before the @, an email address may only have the letters a to z", field="email")
    if "=?" in value:  # mail programs would decode it (RFC 2047) and find another address
        raise _not_an_email()
    try:
        return validate_email(value, check_deliverability=False, allow_smtputf8=False).normalized
    except EmailNotValidError:
        raise _not_an_email() from None


def _not_an_email() -> Invalid:
    return Invalid("this is not an email address: it looks like name@example.com", field="email")


def address_key(value: str) -> str:
    """Return what all spellings of one email address have in common; lower case for text that is not an address.

    Not `casefold`, which would make straße.example equal to strasse.example: they belong to different people.
    """
    try:
        value = email(value)
    except Invalid:
        value = value.strip()
    return value.lower()


def short_name(value: object) -> str:
    """Return a short name of a game or application: 1 to 15 letters and digits; not on the block list."""
    value = line(value, field="short_name", longest=15, what="the short name")
    if not _SHORT_NAME.fullmatch(value):
        raise Invalid("a short name has 1 to 15 letters (a to z) and digits, no spaces", field="short_name")
    if value.lower() in SHORT_NAMES_BLOCKED:
        raise Invalid("this short name is not allowed, choose another", field="short_name")
    return value


def channel_name(value: object) -> str:
    """Return a channel's name: 3 to 15 letters, `_` and `-`; not on the block list (docs/protocol.md, §4)."""
    value = line(value, field="name", longest=15, what="the channel's name")
    if not _CHANNEL.fullmatch(value):
        raise Invalid("a channel's name has 3 to 15 letters (a to z), _ or -", field="name")
    if value.lower() in CHANNELS_BLOCKED:
        raise Invalid("this channel name is not allowed, choose another", field="name")
    return value


def name_key(value: str) -> str:
    """Return what names have in common that differ only in case or Unicode form. For comparing and searching."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())


def web_address(value: object, *, field: str, what: str, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """Return a full address with one of these schemes and a dot in its host."""
    value = line(value, field=field, longest=500, what=what)
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    good_host = bool(_HOST.fullmatch(host)) or (host.isprintable() and not host.isascii())
    is_full = "." in host.strip(".") or ":" in host  # ":" only in an IPv6 address, which urlsplit has checked
    if parts.scheme not in schemes or not is_full or not good_host or any(map(str.isspace, value)):
        starts = " or ".join(f"{scheme}://" for scheme in schemes[:2])
        raise Invalid(f"{what} must be a full address that begins with {starts}", field=field)
    return value


def way_to_connect(*, type: object, url: object = "", host: object = "", port: object = None) -> dict[str, Any]:
    """Return the columns of a way to connect.

    Type web takes `url`; telnet and secure telnet take `host` and `port`, which may be a string. The host may also
    contain the port (see `hosts.parse_host`).
    """
    if type == "web":
        if isinstance(url, str) and _TELNET.match(url):
            raise Invalid("this is not the address of a page: choose the kind telnet for it", field="url")
        address = web_address(url, field="url", what="the address", schemes=("http", "https", "ws", "wss"))
        return {"type": "web", "url": address, "host": None, "port": None}
    if type not in ("telnet", "secure telnet"):
        raise Invalid("choose web, telnet or secure telnet", field="type")
    parsed = hosts.parse_host(line(host, field="host", longest=500, what="the host"))
    if parsed.is_tls and type != "secure telnet":
        raise Invalid("this address uses TLS: choose the kind secure telnet for it", field="type")
    if port in (None, "") and parsed.port is not None:
        port = parsed.port
    if isinstance(port, str) and port.strip().isascii() and port.strip().isdecimal():
        port = int(port.strip()[:10])
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65_535:
        raise Invalid("the port must be a whole number from 1 to 65535", field="port")
    if parsed.port not in (None, port):
        raise Invalid(f"the host says {parsed.port}, and the port {port}: write it only once", field="port")
    return {"type": type, "url": None, "host": parsed.name, "port": port}
