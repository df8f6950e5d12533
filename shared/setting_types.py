"""The types of settings: how each is parsed from text, shown to operators and described in the documentation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared import hosts, validation
from shared.client_addresses import Network, parse_networks
from shared.errors import Invalid
from shared.limits import Limit, parse_limits
from shared.mail import MailServer, check_sender
from shared.numbers import decimal_number, whole_number
from shared.redis_urls import SCHEMES, node_url

MASK = "***"
MIN_SECRET = 16  # characters
_PATH = re.compile(r"[A-Za-z0-9._~/-]*")


class SettingsError(Exception):
    """A setting has an unusable value. The text is one line that names the setting and says what is allowed."""


@dataclass(frozen=True)
class SettingType:
    """How to read and show one type of setting.

    Attributes:
        parse: takes the setting's name and its text, and returns the value. Raises SettingsError.
        refused: the values that `parse` rejects, for the documentation.
        show: turns the value into a JSON scalar without secrets, written as it would be in the environment.
    """

    parse: Callable[[str, str], Any]
    refused: str
    show: Callable[[Any], str | int | float] = str


def mask_url(url: str) -> str:
    """Replace the passwords in an address. If the address is ambiguous, this masks more than the password."""
    url = re.sub(r"(://[^:]*):.*@", rf"\1:{MASK}@", url)
    return re.sub(r"([?&][^=&]*pass[^=&]*=)[^&]*", rf"\1{MASK}", url, flags=re.IGNORECASE)


def integer(low: int, high: int, *, refused: str = "") -> SettingType:
    """Return the type of whole numbers from `low` to `high`."""

    def parse(name: str, text: str) -> int:
        number = whole_number(text)
        if number is None or not low <= number <= high:
            raise SettingsError(f"{name} is {text[:100]!r}: it must be a whole number from {low} to {high}")
        return number

    return SettingType(parse, refused or f"under {low}, over {high}", int)


def choice(*allowed: str) -> SettingType:
    """Return the type of a choice between words, in any case."""

    def parse(name: str, text: str) -> str:
        if text.lower() not in allowed:
            raise SettingsError(f"{name} is {text!r}: it must be one of {', '.join(allowed)}")
        return text.lower()

    return SettingType(parse, f"anything but {' and '.join(f'`{word}`' for word in allowed)}")


def web_address(*schemes: str) -> SettingType:
    """Return the type of addresses with one of these schemes and a host.

    A host in another script becomes ASCII, as browsers write it in `Origin` and mail programs need it.
    """

    def parse(name: str, text: str) -> str:
        if not _has_host_and_port(text, schemes, needs_host=True):
            raise SettingsError(f"{name} is {text!r}: it must be an address that begins with {' or '.join(schemes)}://")
        text = _with_ascii_host(name, text)
        if not _PATH.fullmatch(urlsplit(text).path):
            raise SettingsError(f"{name} is {text!r}: its path may only have letters from a to z, digits and -._~/")
        return text.rstrip("/") if "http" in schemes else text

    prefixes = " or ".join(f"`{scheme}://`" for scheme in schemes)
    return SettingType(parse, f"an address that does not begin with {prefixes}", mask_url)


def _with_ascii_host(name: str, text: str) -> str:
    parts = urlsplit(text)
    host = parts.hostname or ""
    if ":" in host:
        return text
    try:
        ascii_host = hosts.clean_host(host)
    except Invalid as error:
        raise SettingsError(f"{name} is {text[:300]!r}: {error.message}") from None
    if host.isascii():
        return text
    before, at, _ = parts.netloc.rpartition("@")
    port = "" if parts.port is None else f":{parts.port}"
    return parts._replace(netloc=f"{before}{at}{ascii_host}{port}").geturl()


def _has_host_and_port(url: str, schemes: tuple[str, ...], *, needs_host: bool) -> bool:
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port >= 0  # reading `port` raises ValueError unless it is a number
    except ValueError:
        return False
    return parts.scheme in schemes and has_port and (bool(parts.hostname) or not needs_host)


def _parse_seconds(name: str, text: str) -> float:
    value = decimal_number(text)
    if value is None or not 0.05 <= value <= 86_400:
        raise SettingsError(f"{name} is {text[:100]!r}: it must be a number of seconds from 0.05 to 86400")
    return value


def _parse_folder(name: str, text: str) -> Path:
    path = Path(text).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{name}: cannot make the folder {path}: {error.strerror}") from None
    return path


def _parse_text_file(name: str, text: str) -> Path | None:
    if not text:
        return None
    path = Path(text).absolute()
    try:
        path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise SettingsError(f"{name}: cannot read {path}: {reason}") from None
    return path


# The libraries of the two addresses are imported when one is set: with them, `flask --help` would take twice as long.


def _parse_database_url(name: str, text: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    text = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise SettingsError(
            f"{name} is not a database address: use sqlite:////path/to/file or postgresql://…"
        ) from None
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise SettingsError(f"{name} begins with {url.drivername}: only sqlite and postgresql are supported")
    if url.drivername == "sqlite" and not url.database:
        raise SettingsError(f"{name} names no file: SQLite in memory cannot be shared between site and worker")
    return text


def _parse_redis_url(name: str, text: str) -> str:
    from redis.connection import parse_url

    is_usable = _has_host_and_port(text, SCHEMES, needs_host=False)
    try:
        parse_url(node_url(text))  # type: ignore[no-untyped-call]
    except ValueError:  # an option that is not a number
        is_usable = False
    if not is_usable:  # the address may hold a password, so the message does not quote it
        raise SettingsError(
            f"{name} is not a Redis address: it must begin with redis://, rediss://, unix:// or redis+cluster://"
        )
    return text


def _parse_mail_url(name: str, text: str) -> str:
    if text:
        try:
            MailServer.parse(text)
        except ValueError as error:
            raise SettingsError(f"{name} is not usable: {error}") from None
    return text


def _parse_traces_url(name: str, text: str) -> str:
    return str(web_address("http", "https").parse(name, text)) if text else ""


def _parse_share(name: str, text: str) -> float:
    value = decimal_number(text)
    if value is None or not 0 <= value <= 1:
        raise SettingsError(f"{name} is {text[:100]!r}: it must be a number from 0 to 1")
    return value


def _parse_sender(name: str, text: str) -> str:
    try:
        return check_sender(text)
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}: {error}") from None


def _parse_email(name: str, text: str) -> str:
    try:
        return validation.email(text) if text else ""
    except Invalid as error:
        raise SettingsError(f"{name} is {text[:100]!r}: {error.message}") from None


def _parse_limits(name: str, text: str) -> Mapping[str, Limit]:
    try:
        return parse_limits(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _show_limits(limits: Mapping[str, Limit]) -> str:
    return ",".join(f"{name}={limit.burst}/{limit.per_second:.12g}" for name, limit in limits.items())


def _parse_proxies(name: str, text: str) -> tuple[Network, ...] | None:
    """Return the networks; None for "", which leaves the choice to the other settings."""
    if not text:
        return None
    try:
        return () if text.lower() == "none" else parse_networks(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _show_proxies(networks: tuple[Network, ...] | None) -> str:
    return "" if networks is None else ",".join(map(str, networks)) or "none"


def _parse_networks(name: str, text: str) -> tuple[Network, ...]:
    return _parse_proxies(name, text) or ()


def _parse_secret(name: str, text: str) -> str:
    if len(text) < MIN_SECRET:
        raise SettingsError(f"{name} is too short: it must have at least {MIN_SECRET} characters")
    return text


def _parse_secrets(name: str, text: str) -> tuple[str, ...]:
    secrets = tuple(text.split())
    if any(len(secret) < MIN_SECRET for secret in secrets):
        raise SettingsError(f"{name} has a key that is too short: each must have at least {MIN_SECRET} characters")
    return secrets


def _parse_switch(name: str, text: str) -> bool:
    return bool(choice("on", "off").parse(name, text) == "on")


TEXT = SettingType(lambda name, text: text, "")
PORT = integer(0, 65_535, refused="anything but a port")
DAYS = integer(1, 36_500)
SECONDS = SettingType(_parse_seconds, "under 0.05, over 86400", float)
SWITCH = SettingType(_parse_switch, choice("on", "off").refused, lambda is_on: "on" if is_on else "off")
FOLDER = SettingType(_parse_folder, "a folder that cannot be made")
TEXT_FILE = SettingType(_parse_text_file, "a file that cannot be read", lambda path: str(path or ""))
SECRET = SettingType(_parse_secret, "fewer than 16 characters", lambda secret: MASK)
SECRETS = SettingType(
    _parse_secrets, "a key with fewer than 16 characters", lambda secrets: " ".join(MASK for _ in secrets)
)
DATABASE_URL = SettingType(_parse_database_url, "other databases; SQLite in memory", mask_url)
PROXIES = SettingType(_parse_proxies, "anything but addresses and networks, and `none`", _show_proxies)
NETWORKS = SettingType(_parse_networks, "anything but addresses and networks, and `none`", _show_proxies)
REDIS_URL = SettingType(_parse_redis_url, "other schemes", mask_url)
MAIL_URL = SettingType(_parse_mail_url, "other schemes and options", mask_url)
TRACES_URL = SettingType(_parse_traces_url, "an address that does not begin with `http://` or `https://`", mask_url)
SHARE = SettingType(_parse_share, "under 0, over 1", float)
SENDER = SettingType(_parse_sender, "anything but an address")
EMAIL = SettingType(_parse_email, "anything but an address")
LIMITS = SettingType(_parse_limits, "unknown names; a burst or a refill that is 0 or not a number", _show_limits)
