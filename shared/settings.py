"""Every setting, in one table: the fields of `Settings`.

The table drives parsing and checking (`Settings.from_environment`, called once by each process), `flask settings`, and
the table in docs/operating.md (`python -m shared.settings_docs` writes it).
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared import setting_types as types
from shared.client_addresses import NO_PROXIES, PRIVATE_NETWORKS, Network, TrustedProxies, parse_networks
from shared.limits import Limit
from shared.setting_types import SettingsError, SettingType

__all__ = ["MAX_SOCKET_PATH", "Setting", "Settings", "SettingsError", "embedded_redis_socket"]

GATEWAY_PORT = 4120
MAX_SOCKET_PATH = 100  # bytes; the kernel's sockaddr_un holds 108

FROM_FILES = frozenset(["SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASE_URL", "REDIS_URL", "MAIL_URL"])
"""Settings that hold secrets. Each can be in a file, whose path is in the variable with `_FILE` at the end."""

Derive = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Attributes:
        default: the text to parse if the environment has none, or a function that returns the value from the settings
            above this one.
        shown_default, meaning, refused: cells of the documentation's table, in Markdown.
        default_source: what `flask settings` shows as the source of the default.
    """

    type: SettingType
    default: str | Derive
    meaning: str
    shown_default: str
    refused: str
    default_source: str


def setting(
    type: SettingType,
    default: str | Derive,
    meaning: str,
    *,
    shown_default: str = "",
    refused: str = "",
    source: str = "",
) -> Any:
    """Declare a field of `Settings`. The optional arguments default to what the type and the default imply."""
    is_derived = not isinstance(default, str)
    row = Setting(
        type=type,
        default=default,
        meaning=meaning,
        shown_default=shown_default or f"`{default}`",
        refused=refused or type.refused,
        default_source=source or ("derived" if is_derived else "default"),
    )
    return field(metadata={"setting": row})


def _host_to_show(values: Mapping[str, Any]) -> str:
    """Return the host for addresses that people can open: BIND, or 127.0.0.1 where BIND means all addresses."""
    bind: str = values["bind"]
    if bind in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{bind}]" if ":" in bind else bind


def _public_url(values: Mapping[str, Any]) -> Any:
    return types.web_address("http", "https").parse(
        "PUBLIC_URL", f"http://{_host_to_show(values)}:{values['web_port']}"
    )


def _socket_url(values: Mapping[str, Any]) -> Any:
    return types.web_address("ws", "wss").parse(
        "SOCKET_URL", f"ws://{_host_to_show(values)}:{values['socket_port']}/socket"
    )


def _gateway_port(values: Mapping[str, Any]) -> Any:
    taken = (values["web_port"], values["socket_port"])
    return next(port for port in (GATEWAY_PORT, GATEWAY_PORT + 1, GATEWAY_PORT + 2) if port not in taken)


def _gateway_url(values: Mapping[str, Any]) -> Any:
    return types.web_address("ws", "wss").parse(
        "GATEWAY_URL", f"ws://{_host_to_show(values)}:{values['gateway_port']}/play-socket"
    )


def _mail_from(values: Mapping[str, Any]) -> str:
    host = urlsplit(values["public_url"]).hostname or ""
    is_domain = "." in host and not host.replace(".", "").isdecimal()
    return f"gossip@{host if is_domain else 'localhost.localdomain'}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. A field has the environment's name in lower case; seconds are floats."""

    instance_path: Path = setting(  # noqa: RUF009 -- it calls `dataclasses.field`
        types.FOLDER,
        "instance",
        "the folder of the data: the SQLite file, the secret key, the private Valkey's socket",
    )
    database_url: str = setting(
        types.DATABASE_URL,
        lambda values: f"sqlite:///{values['instance_path'] / 'gossip.db'}",
        "`sqlite:////path/to/file`, or `postgres://…` or `postgresql://user:password@host/name`",
        shown_default="`sqlite:///` and `gossip.db` in the instance folder",
    )
    redis_url: str = setting(
        types.REDIS_URL,
        lambda values: f"unix://{embedded_redis_socket(values['instance_path'])}",
        "`redis://`, `rediss://` or `unix://`; `redis+cluster://` or `rediss+cluster://`: a node of a cluster; if it "
        "is set, `make run` starts no Valkey",
        shown_default="the private Valkey's socket",
    )
    secret_key: str = setting(
        types.SECRET,
        lambda values: _stored_secret_key(values["instance_path"]),
        "signs sessions, forms, and the tokens of the chat; must be the same for all processes, workers too",
        shown_default="generated on the first start and stored in `secret_key` in the instance folder",
        source="key file",
    )
    secret_key_fallbacks: tuple[str, ...] = setting(
        types.SECRETS,
        "",
        "[earlier values of `SECRET_KEY`](#credentials), with spaces or line ends between them: what they have signed "
        "is still accepted",
        shown_default="none",
    )
    web_port: int = setting(
        types.PORT,
        "4100",
        "where the site listens; 0: any free port",
        refused="anything but a port; the same as `SOCKET_PORT`",
    )
    socket_port: int = setting(
        types.PORT,
        "4110",
        "where workers listen; 0: any free port",
        refused="anything but a port; the same as `WEB_PORT`",
    )
    gateway_port: int = setting(
        types.PORT,
        _gateway_port,
        "where [the gateway](#the-gateway) listens; 0: any free port. `make run` takes a free one if neither this nor "
        "`GATEWAY_URL` is set and the default is in use",
        shown_default="4120, or the next one if the site or the socket has that port",
        refused="anything but a port; the port of the site or the socket",
    )
    bind: str = setting(
        types.TEXT,
        "127.0.0.1",
        "the address all of them listen on; `0.0.0.0` or `::` for all",
        refused="an address that is not this machine's",
    )
    public_url: str = setting(
        types.web_address("http", "https"),
        _public_url,
        "the site's address as people type it, with a path if it has one: `https://example.com/gossip`. With "
        "`https://`, or a port other than `WEB_PORT`, the site believes the headers of "
        "[trusted proxies](#behind-a-tls-proxy); with `https://`, cookies are secure and HSTS is sent",
        shown_default="`http://`, `BIND`, `WEB_PORT`",
    )
    socket_url: str = setting(
        types.web_address("ws", "wss"),
        _socket_url,
        "what pages tell owners to connect to",
        shown_default="`ws://`, `BIND`, `SOCKET_PORT`, `/socket`",
    )
    gateway_url: str = setting(
        types.web_address("ws", "wss"),
        _gateway_url,
        "where pages connect to play a game in the browser",
        shown_default="`ws://`, `BIND`, `GATEWAY_PORT`, `/play-socket`",
    )
    trusted_proxies: tuple[Network, ...] | None = setting(
        types.PROXIES,
        "",
        "[proxies](#behind-a-tls-proxy) whose `X-Forwarded-*` and `Forwarded` headers are believed: addresses and "
        "networks with commas between them, or `none`",
        shown_default="this machine and private networks, if `PUBLIC_URL` (for the site), `SOCKET_URL` (for workers) "
        "or `GATEWAY_URL` (for the gateway) says that there is a proxy",
    )
    rate_limits: bool = setting(
        types.SWITCH, "on", "`off` switches all limits off: of sign-ins, registrations, and the socket's"
    )
    heartbeat_seconds: float = setting(
        types.SECONDS, "15", "between heartbeats; after three unanswered ones the socket closes"
    )
    authenticate_seconds: float = setting(types.SECONDS, "60", "how long a new socket may take to authenticate")
    offline_seconds: float = setting(
        types.SECONDS, "60", "how long a game has no socket before other games are notified that it disconnected"
    )
    presence_seconds: float = setting(
        types.SECONDS,
        "45",
        "how long the sockets of a worker that was killed still count as online; each worker renews its own three "
        "times in this time",
    )
    outbound_bytes: int = setting(
        types.integer(64 * 1024, 1024**3, refused="under 64 KiB, over 1 GiB"),
        "1048576",
        "how much may wait to be sent to one socket before it is closed as too slow",
    )
    message_bytes: int = setting(
        types.integer(1024, 16 * 1024**2, refused="under 1 KiB, over 16 MiB"),
        "65536",
        "the longest message a socket may send",
    )
    message_fragments: int = setting(types.integer(1, 65_536), "64", "how many fragments a message may have")
    address_sockets: int = setting(
        types.integer(1, 1_000_000),
        lambda values: 256 if values["rate_limits"] else 1_000_000,
        "how many connections from one address (or /64 of IPv6) may be open at a worker that have not authenticated; "
        "the addresses of trusted proxies are not counted",
        shown_default="`256`; no limit with `RATE_LIMITS=off`",
    )
    game_sockets: int = setting(
        types.integer(1, 1_000_000),
        lambda values: 20 if values["rate_limits"] else 1_000_000,
        "how many sockets one game or application may have open on the network",
        shown_default="`20`; no limit with `RATE_LIMITS=off`",
    )
    game_players: int = setting(
        types.integer(1, 100_000),
        "5000",
        "how many players one game may list over all its sockets; their names may have at most 128 KiB",
    )
    limits: Mapping[str, Limit] = setting(
        types.LIMITS, "", "[rate limits of the socket](#limits) to change", shown_default="none are changed"
    )
    message_days: int = setting(
        types.DAYS, "365", "how many days messages are kept; one worker deletes older ones once a day"
    )
    moderation_days: int = setting(
        types.DAYS,
        "1825",
        "how many days decided reports and appeals, and sanctions that are over, are kept. The audit trail is never "
        "deleted",
    )
    version_days: int = setting(
        types.DAYS, "30", "how many days of changes applications can resume from; older ones start over"
    )
    unverified_days: int = setting(
        types.DAYS,
        "30",
        "how long an account is kept if its address was never verified, nobody signed in to it again, and it has no "
        "game, character, channel or offer of a game; its username is free after that",
    )
    check_private_addresses: bool = setting(
        types.SWITCH,
        "off",
        "`on` lets [connection checks](#connection-checks) and [the gateway](#the-gateway) connect to addresses that "
        "are not public: for networks that run inside one",
    )
    mail_url: str = setting(
        types.MAIL_URL,
        "",
        "the mail server: `smtp://user:password@host:587?starttls=1`, `smtps://user:password@host`, `smtp://localhost`",
        shown_default="none: mails are [written, not sent](#mail)",
    )
    mail_from: str = setting(
        types.SENDER,
        _mail_from,
        "the sender of mails: `gossip@example.com` or `Gossip <gossip@example.com>`",
        shown_default="`gossip@` and the host of `PUBLIC_URL`",
    )
    log_format: str = setting(
        types.choice("console", "json"), "console", "`console` for people, `json` for one object a line"
    )
    traces_url: str = setting(
        types.TRACES_URL,
        "",
        "where [traces](#traces) go: the address of an OpenTelemetry collector (OTLP over HTTP), "
        "`http://127.0.0.1:4318`. Needs the packages of `requirements-traces.txt`",
        shown_default="none: nothing is traced",
    )
    traces_sample: float = setting(
        types.SHARE, "1", "which share of requests and messages is traced: 0.01 is one in a hundred"
    )
    database_comments: bool = setting(
        types.SWITCH,
        "off",
        "`on` adds [the ids of requests and sockets](#logs) to each statement that PostgreSQL receives, as a comment. "
        "Statements then differ, so PostgreSQL prepares each of them anew",
    )
    web_concurrency: int = setting(
        types.integer(1, 1_000),
        "1",
        "how many gunicorn processes serve the site, with 8 threads each (if you start `gunicorn` yourself, its "
        "message about a bad value is less clear)",
    )
    metrics_networks: tuple[Network, ...] = setting(
        types.NETWORKS,
        "127.0.0.0/8,::1",
        "who may read the site's [`/metrics`](#health-metrics-logs): addresses and networks with commas between them, "
        "or `none`. Others get 404",
    )
    worker_metrics_port: int = setting(
        types.PORT,
        "0",
        "a port of this worker alone for [`/_health` and `/metrics`](#health-metrics-logs), for several workers on one "
        "`SOCKET_PORT`; 0: none",
        refused="anything but a port; the port of the site or the socket",
    )
    admin_email: str = setting(
        types.EMAIL,
        "",
        "the address of the admin that the very first `make run` creates; without one, set it under *Account*: until "
        "then a lost password cannot be reset by mail",
        shown_default="none",
    )

    operator: str = setting(
        types.TEXT,
        "",
        "who runs this network, on the pages [*Contact* and *Privacy*](#contact-and-privacy): a person or an "
        "organisation, with a postal address where the law wants one",
        shown_default="none",
    )
    contact_email: str = setting(
        types.EMAIL,
        "",
        "the address on the pages [*Contact* and *Privacy*](#contact-and-privacy)",
        shown_default="none: people can only report and appeal",
    )
    contact_file: Path | None = setting(  # noqa: RUF009
        types.TEXT_FILE,
        "",
        "a Markdown file with more to say on the page [*Contact*](#contact-and-privacy)",
        shown_default="none",
    )
    privacy_file: Path | None = setting(  # noqa: RUF009
        types.TEXT_FILE,
        "",
        "a Markdown file with more to say on the page [*Privacy*](#contact-and-privacy), such as what your proxy and "
        "your backups keep",
        shown_default="none",
    )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read, check and complete the settings. Makes the instance folder and, without SECRET_KEY, its key file.

        Raises:
            SettingsError: A setting is unusable.
        """
        values: dict[str, Any] = {}
        for name, row in cls.table():
            text = environ.get(name, "").strip() or _read_file(environ, name)
            if text or isinstance(row.default, str):
                values[name.lower()] = row.type.parse(name, text or str(row.default))
            else:
                values[name.lower()] = row.default(values)
        web_port, socket_port, metrics_port, gateway_port = (
            values[port] for port in ("web_port", "socket_port", "worker_metrics_port", "gateway_port")
        )
        if web_port == socket_port != 0:
            raise SettingsError(f"WEB_PORT and SOCKET_PORT are both {web_port}: the site and the socket each need one")
        if metrics_port and metrics_port in (web_port, socket_port):
            raise SettingsError(f"WORKER_METRICS_PORT is {metrics_port}: the site or the socket has that port")
        if _source(environ, "GATEWAY_PORT") and gateway_port and gateway_port in (web_port, socket_port, metrics_port):
            raise SettingsError(f"GATEWAY_PORT is {gateway_port}: the site or the socket has that port")
        return cls(**values)

    @classmethod
    def table(cls) -> Iterator[tuple[str, Setting]]:
        """Yield each setting's name in the environment and its row."""
        for row in dataclasses.fields(cls):
            yield row.name.upper(), row.metadata["setting"]

    def describe(self, environ: Mapping[str, str] = os.environ) -> dict[str, dict[str, str | int | float]]:
        """Return each setting's `value`, with secrets masked, and its `source`, by its name in the environment.

        Args:
            environ: The environment that these settings were read from.
        """
        return {
            name: {
                "value": row.type.show(getattr(self, name.lower())),
                "source": _source(environ, name) or row.default_source,
            }
            for name, row in self.table()
        }

    @property
    def signing_keys(self) -> list[str]:
        """All keys whose signatures are accepted. The last one signs, as itsdangerous expects."""
        return [*self.secret_key_fallbacks, self.secret_key]

    @property
    def site_proxies(self) -> TrustedProxies:
        """The proxies whose headers the site believes."""
        return self._proxies(self.public_url, self.web_port)

    @property
    def socket_proxies(self) -> TrustedProxies:
        """The proxies whose headers workers believe."""
        return self._proxies(self.socket_url, self.socket_port)

    @property
    def gateway_proxies(self) -> TrustedProxies:
        """The proxies whose headers the gateway believes."""
        return self._proxies(self.gateway_url, self.gateway_port)

    def _proxies(self, url: str, port: int) -> TrustedProxies:
        """Return TRUSTED_PROXIES, or the default for a server with this public address that listens on this port.

        There is a proxy if the address is not the server's own: it has another port, or TLS, which the server never
        speaks.
        """
        if self.trusted_proxies is not None:
            return TrustedProxies(self.trusted_proxies)
        public = urlsplit(url)
        is_tls = public.scheme in ("https", "wss")
        public_port = (443 if is_tls else 80) if public.port is None else public.port
        return TrustedProxies(parse_networks(PRIVATE_NETWORKS)) if is_tls or public_port != port else NO_PROXIES

    @property
    def public_path(self) -> str:
        """The path of PUBLIC_URL, which every address on the site begins with. Empty if it has none."""
        return urlsplit(self.public_url).path

    @property
    def public_origin(self) -> str:
        """PUBLIC_URL without its path, to put in front of paths from `url_for`."""
        return self.public_url.removesuffix(self.public_path)

    @property
    def chat_socket_url(self) -> str:
        """Where browsers connect to chat: SOCKET_URL with `chat-socket` as the last part of its path."""
        url = urlsplit(self.socket_url)
        folder = url.path.rpartition("/")[0]
        return f"{url.scheme}://{url.netloc}{folder}/chat-socket"

    @property
    def is_sqlite(self) -> bool:
        """True when the records live in an SQLite file."""
        return self.database_url.startswith("sqlite")


def _read_file(environ: Mapping[str, str], name: str) -> str:
    """Return a setting's text from the file that NAME_FILE names, or "". For secrets."""
    path = environ.get(f"{name}_FILE", "").strip()
    if name not in FROM_FILES or not path:
        return ""
    try:
        text = Path(path).read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"{name}_FILE: cannot read {path}: {reason}") from None
    if not text:
        raise SettingsError(f"{name}_FILE: {path} is empty")
    return text


def _source(environ: Mapping[str, str], name: str) -> str:
    if environ.get(name, "").strip():
        return "environment"
    return "file" if name in FROM_FILES and environ.get(f"{name}_FILE", "").strip() else ""


def embedded_redis_socket(instance_path: Path) -> Path:
    """Return where the private Valkey of an instance listens: in the instance folder, or at a short temporary path.

    The path of a Unix socket holds only some 100 bytes, so a deep instance folder gets a path made from its hash.
    """
    return instance_socket(instance_path, "valkey.sock")


def instance_socket(instance_path: Path, name: str) -> Path:
    """Return where a Unix socket of an instance is: in the instance folder, or at a short temporary path."""
    path = instance_path / name
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(instance_path)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"gossip-{os.getuid()}-{digest}" / name


def _stored_secret_key(instance_path: Path) -> str:
    """Return the key stored in the instance folder. Create it if there is none.

    Processes that start together agree on one key: each writes a draft, and only the first can link its own into place.
    """
    path = instance_path / "secret_key"
    try:
        if not path.exists():
            handle, draft = tempfile.mkstemp(dir=instance_path)
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(secrets.token_hex(32))
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                os.unlink(draft)
        key = path.read_text("utf-8-sig").strip()
    except UnicodeDecodeError:
        key = ""
    except OSError as error:
        raise SettingsError(
            f"INSTANCE_PATH: cannot keep the secret key in {path}: {error.strerror}; set SECRET_KEY, or another folder"
        ) from None
    if len(key) < types.MIN_SECRET:
        raise SettingsError(
            f"SECRET_KEY: the key in {path} is damaged: put back the original from a backup, or delete the file, which "
            "signs everybody out"
        )
    return key
