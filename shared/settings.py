"""Every setting, read from the environment and checked in one place.

`Settings.from_environment` is called once, by `wsgi.py`, `worker/__main__.py`, the launcher and the CLI; a setting that
makes no sense raises SettingsError, a sentence to print on one line. What each means is listed in docs/operating.md.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from redis.connection import parse_url
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from shared.errors import Invalid
from shared.limits import DEFAULTS, Limit, parse_limits
from shared.mail import MailServer, check_sender
from shared.services import rules

MAX_SOCKET_PATH = 100  # bytes; the kernel's sockaddr_un holds 108


class SettingsError(Exception):
    """A setting makes no sense; the text names it and says what would do."""


@dataclass(frozen=True)
class Settings:
    """The settings of one process. Field names are the environment's names in lower case; seconds are floats."""

    database_url: str
    redis_url: str
    secret_key: str
    instance_path: Path
    public_url: str
    socket_url: str
    mail_url: str
    mail_from: str
    admin_email: str
    web_port: int = 4100
    socket_port: int = 4110
    bind: str = "127.0.0.1"
    rate_limits: bool = True
    heartbeat_seconds: float = 15.0
    authenticate_seconds: float = 60.0
    offline_seconds: float = 60.0
    presence_seconds: float = 45.0
    outbound_bytes: int = 1024 * 1024
    message_bytes: int = 64 * 1024
    message_fragments: int = 64
    limits: Mapping[str, Limit] = field(default_factory=lambda: DEFAULTS)
    version_days: int = 30
    unverified_days: int = 30
    check_private_addresses: bool = False
    message_days: int = 365
    moderation_days: int = 1825
    log_format: str = "console"
    web_concurrency: int = 1
    worker_metrics_port: int = 0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read, check and complete the settings. Makes the instance folder and, without SECRET_KEY, its key file.

        Raises SettingsError.
        """
        env = {name: value.strip() for name, value in environ.items() if value.strip()}
        instance_path = Path(env.get("INSTANCE_PATH", "instance")).absolute()
        try:
            instance_path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"INSTANCE_PATH: cannot make the folder {instance_path}: {error.strerror}") from None
        bind = env.get("BIND", cls.bind)
        web_port = _integer(env, "WEB_PORT", cls.web_port, 0, 65_535)
        socket_port = _integer(env, "SOCKET_PORT", cls.socket_port, 0, 65_535)
        if web_port == socket_port != 0:
            raise SettingsError(f"WEB_PORT and SOCKET_PORT are both {web_port}: the site and the socket each need one")
        shown_host = "127.0.0.1" if bind in ("0.0.0.0", "::") else f"[{bind}]" if ":" in bind else bind
        worker_metrics_port = _integer(env, "WORKER_METRICS_PORT", 0, 0, 65_535)
        if worker_metrics_port and worker_metrics_port in (web_port, socket_port):
            raise SettingsError(f"WORKER_METRICS_PORT is {worker_metrics_port}: the site or the socket has that port")
        public_url = _url(env, "PUBLIC_URL", f"http://{shown_host}:{web_port}", ("http", "https")).rstrip("/")
        return cls(
            database_url=_database_url(env.get("DATABASE_URL", f"sqlite:///{instance_path / 'gossip.db'}")),
            redis_url=_redis_url(env.get("REDIS_URL") or f"unix://{embedded_redis_socket(instance_path)}"),
            secret_key=_secret_key(env, instance_path),
            instance_path=instance_path,
            public_url=public_url,
            socket_url=_url(env, "SOCKET_URL", f"ws://{shown_host}:{socket_port}/socket", ("ws", "wss")),
            web_port=web_port,
            socket_port=socket_port,
            bind=bind,
            rate_limits=_choice(env, "RATE_LIMITS", "on", ("on", "off")) == "on",
            heartbeat_seconds=_seconds(env, "HEARTBEAT_SECONDS", cls.heartbeat_seconds),
            authenticate_seconds=_seconds(env, "AUTHENTICATE_SECONDS", cls.authenticate_seconds),
            offline_seconds=_seconds(env, "OFFLINE_SECONDS", cls.offline_seconds),
            presence_seconds=_seconds(env, "PRESENCE_SECONDS", cls.presence_seconds),
            outbound_bytes=_integer(env, "OUTBOUND_BYTES", cls.outbound_bytes, 64 * 1024, 1024 * 1024 * 1024),
            message_bytes=_integer(env, "MESSAGE_BYTES", cls.message_bytes, 1024, 16 * 1024 * 1024),
            message_fragments=_integer(env, "MESSAGE_FRAGMENTS", cls.message_fragments, 1, 65_536),
            limits=_limits(env),
            version_days=_integer(env, "VERSION_DAYS", cls.version_days, 1, 36_500),
            unverified_days=_integer(env, "UNVERIFIED_DAYS", cls.unverified_days, 1, 36_500),
            check_private_addresses=_choice(env, "CHECK_PRIVATE_ADDRESSES", "off", ("on", "off")) == "on",
            message_days=_integer(env, "MESSAGE_DAYS", cls.message_days, 1, 36_500),
            moderation_days=_integer(env, "MODERATION_DAYS", cls.moderation_days, 1, 36_500),
            log_format=_choice(env, "LOG_FORMAT", cls.log_format, ("console", "json")),
            mail_url=_mail_url(env),
            mail_from=_mail_from(env, public_url),
            web_concurrency=_integer(env, "WEB_CONCURRENCY", cls.web_concurrency, 1, 1_000),
            worker_metrics_port=worker_metrics_port,
            admin_email=_admin_email(env),
        )

    @property
    def is_socket_behind_proxy(self) -> bool:
        """True when SOCKET_URL is not where the worker itself listens: another port, or TLS, which it never speaks."""
        url = urlsplit(self.socket_url)
        port = {"ws": 80, "wss": 443}[url.scheme] if url.port is None else url.port
        return url.scheme == "wss" or port != self.socket_port

    @property
    def chat_socket_url(self) -> str:
        """Where browsers connect to chat: beside SOCKET_URL, at `chat-socket` instead of `socket`."""
        url = urlsplit(self.socket_url)
        folder = url.path.rpartition("/")[0]
        return f"{url.scheme}://{url.netloc}{folder}/chat-socket"

    @property
    def is_sqlite(self) -> bool:
        """True when the records live in an SQLite file."""
        return self.database_url.startswith("sqlite")


def embedded_redis_socket(instance_path: Path) -> Path:
    """Where the private Valkey of an instance listens: in the instance folder, or a short temporary path of its own.

    A Unix socket's path may hold some 100 bytes only, so a deep instance folder gets a path made from its hash.
    """
    path = instance_path / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(instance_path)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"gossip-{os.getuid()}-{digest}" / "valkey.sock"


def _integer(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 20) or not low <= int(text) <= high:
        raise SettingsError(f"{name} is {text[:100]!r}: it must be a whole number from {low} to {high}")
    return int(text)


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.05 <= value <= 86_400:
        raise SettingsError(f"{name} is {text!r}: it must be a number of seconds from 0.05 to 86400")
    return value


def _limits(env: Mapping[str, str]) -> Mapping[str, Limit]:
    try:
        return parse_limits(env.get("LIMITS", ""))
    except ValueError as error:
        raise SettingsError(f"LIMITS: {error}") from None


def _choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name, default).lower()
    if value not in allowed:
        raise SettingsError(f"{name} is {env[name]!r}: it must be one of {', '.join(allowed)}")
    return value


def _url(env: Mapping[str, str], name: str, default: str, schemes: tuple[str, ...]) -> str:
    value = env.get(name, default)
    try:
        parts = urlsplit(value)
        usable = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port >= 0)
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{name} is {value!r}: it must be an address that begins with {' or '.join(schemes)}://")
    return value


def _database_url(value: str) -> str:
    for prefix in ("postgres://", "postgresql://"):
        if value.startswith(prefix):
            value = "postgresql+psycopg://" + value.removeprefix(prefix)
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise SettingsError(
            "DATABASE_URL is not a database address: use sqlite:////path/to/file or postgresql://…"
        ) from None
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise SettingsError(f"DATABASE_URL begins with {url.drivername}: only sqlite and postgresql are supported")
    if url.drivername == "sqlite" and not url.database:
        raise SettingsError("DATABASE_URL names no file: SQLite in memory cannot be shared between site and worker")
    return value


def _redis_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("redis", "rediss", "unix") and (parts.port is None or parts.port >= 0)
        parse_url(value)
    except ValueError:  # a port or an option that is no number
        usable = False
    if not usable:  # it may hold a password, so it is not shown
        raise SettingsError("REDIS_URL is no address of Redis: it must begin with redis://, rediss:// or unix://")
    return value


def _mail_url(env: Mapping[str, str]) -> str:
    value = env.get("MAIL_URL", "")
    if value:
        try:
            MailServer.parse(value)
        except ValueError as error:
            raise SettingsError(f"MAIL_URL makes no sense: {error}") from None
    return value


def _mail_from(env: Mapping[str, str], public_url: str) -> str:
    """MAIL_FROM, or an address at the site's own host."""
    value = env.get("MAIL_FROM")
    if value is None:
        host = urlsplit(public_url).hostname or ""
        return f"gossip@{host if '.' in host and not host.replace('.', '').isdecimal() else 'localhost.localdomain'}"
    try:
        return check_sender(value)
    except ValueError as error:
        raise SettingsError(f"MAIL_FROM is {value!r}: {error}") from None


def _admin_email(env: Mapping[str, str]) -> str:
    try:
        return rules.email(env["ADMIN_EMAIL"]) if "ADMIN_EMAIL" in env else ""
    except Invalid as error:
        raise SettingsError(f"ADMIN_EMAIL is {env['ADMIN_EMAIL'][:100]!r}: {error.message}") from None


def _secret_key(env: Mapping[str, str], instance_path: Path) -> str:
    """SECRET_KEY, or the key kept in the instance folder: made once, whole before it is seen, by the first."""
    key = env.get("SECRET_KEY")
    if key is not None:
        if len(key) < 16:
            raise SettingsError("SECRET_KEY is too short: it must have 16 characters at least")
        return key
    path = instance_path / "secret_key"
    try:
        return _kept_secret_key(path)
    except OSError as error:
        raise SettingsError(
            f"INSTANCE_PATH: cannot keep the secret key in {path}: {error.strerror}; set SECRET_KEY, or another folder"
        ) from None


def _kept_secret_key(path: Path) -> str:
    if not path.exists():
        handle, draft = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
    return path.read_text().strip()
