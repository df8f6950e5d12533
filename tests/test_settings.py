"""Settings are read, checked and described. An unusable one gives one clear line that names it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from shared import db
from shared.setting_types import mask_url
from shared.settings import MAX_SOCKET_PATH, Settings, SettingsError, embedded_redis_socket
from tests.support.processes import ROOT, clean_environment

KEY = "0123456789abcdef"


@pytest.fixture
def read(tmp_path):
    """Read settings from an environment with an instance folder and the given variables."""
    return lambda **env: Settings.from_environment({"INSTANCE_PATH": str(tmp_path / "instance"), **env})


def test_the_defaults(read, tmp_path):
    settings = read()
    instance = tmp_path / "instance"
    assert settings.database_url == f"sqlite:///{instance}/gossip.db" and settings.is_sqlite
    assert settings.redis_url == f"unix://{embedded_redis_socket(instance)}"
    assert settings.public_url == "http://127.0.0.1:4100"
    assert settings.socket_url == "ws://127.0.0.1:4110/socket"
    assert (settings.web_port, settings.socket_port, settings.bind) == (4100, 4110, "127.0.0.1")
    assert (settings.heartbeat_seconds, settings.authenticate_seconds, settings.offline_seconds) == (15, 60, 60)
    assert (settings.rate_limits, settings.outbound_bytes, settings.message_bytes) == (True, 1 << 20, 1 << 16)
    assert settings.log_format == "console"


def test_every_setting_is_read(read, tmp_path):
    """A value in the environment replaces the default of every setting."""
    environment = {
        "DATABASE_URL": "postgres://me@db.example.com/gossip",
        "REDIS_URL": "rediss://redis.example.com/3",
        "SECRET_KEY": KEY,
        "SECRET_KEY_FALLBACKS": f"{KEY[::-1]} {KEY * 2}",
        "MAIL_URL": "smtps://mail.example.com",
        "PUBLIC_URL": "https://gossip.example.com/",
        "SOCKET_URL": "wss://gossip.example.com/socket",
        "WEB_PORT": "1",
        "SOCKET_PORT": "65535",
        "GATEWAY_PORT": "4122",
        "GATEWAY_URL": "wss://gossip.example.com/play-socket",
        "BIND": "0.0.0.0",
        "RATE_LIMITS": "OFF",
        "TRUSTED_PROXIES": "192.0.2.1, 10.0.0.0/8",
        "ADDRESS_SOCKETS": "3",
        "GAME_SOCKETS": "3",
        "GAME_PLAYERS": "3",
        "HEARTBEAT_SECONDS": "0.5",
        "AUTHENTICATE_SECONDS": "2",
        "OFFLINE_SECONDS": "3e1",
        "OUTBOUND_BYTES": "65536",
        "MESSAGE_BYTES": "1024",
        "MESSAGE_FRAGMENTS": "1",
        "LOG_FORMAT": "Json",
        "TRACES_URL": "http://127.0.0.1:4318",
        "TRACES_SAMPLE": "0.25",
        "DATABASE_COMMENTS": "on",
        "PRESENCE_SECONDS": "5",
        "VERSION_DAYS": "3",
        "UNVERIFIED_DAYS": "3",
        "CHECK_PRIVATE_ADDRESSES": "on",
        "MESSAGE_DAYS": "4",
        "MODERATION_DAYS": "5",
        "LIMITS": "events:socket=7/1",
        "WEB_CONCURRENCY": "4",
        "METRICS_NETWORKS": "10.0.0.0/8",
        "WORKER_METRICS_PORT": "4120",
        "ADMIN_EMAIL": "me@example.com",
        "OPERATOR": "Wren Wright, Quay 3",
        "CONTACT_EMAIL": "hello@example.com",
        "CONTACT_FILE": __file__,
        "PRIVACY_FILE": __file__,
    }
    settings = read(**environment)
    assert settings.database_url == "postgresql+psycopg://me@db.example.com/gossip" and not settings.is_sqlite
    assert settings.public_url == "https://gossip.example.com"
    assert (settings.rate_limits, settings.log_format) == (False, "json")
    defaults = dataclasses.asdict(read())
    unchanged = {name for name, value in dataclasses.asdict(settings).items() if value == defaults[name]}
    assert unchanged == {"instance_path"}


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_value_counts_as_not_set(read, blank):
    assert read(WEB_PORT=blank, DATABASE_URL=blank, SECRET_KEY=blank).web_port == 4100


@pytest.mark.parametrize(
    ("bind", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("192.0.2.1", "192.0.2.1")]
)
def test_the_default_address_can_be_opened(read, bind, shown):
    assert read(BIND=bind).public_url == f"http://{shown}:4100"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("WEB_PORT", ["many", "-1", "65536", "4100.5", "٤١٠٠", "9" * 5000]),
        ("SOCKET_PORT", ["0x10", "99999"]),
        ("CHECK_PRIVATE_ADDRESSES", ["yes"]),
        ("UNVERIFIED_DAYS", ["0", "never"]),
        ("RATE_LIMITS", ["maybe", "1", "true"]),
        ("LOG_FORMAT", ["xml"]),
        ("TRUSTED_PROXIES", ["localhost", "10.0.0.0/33"]),
        ("HEARTBEAT_SECONDS", ["soon", "0", "-1", "nan", "inf", "1e9", "0.01"]),
        ("AUTHENTICATE_SECONDS", ["no"]),
        ("OFFLINE_SECONDS", ["no", "86401"]),
        ("OUTBOUND_BYTES", ["1", "1MiB", "-5", str(2**40)]),
        ("MESSAGE_BYTES", ["0", "1023", "64k"]),
        ("MESSAGE_FRAGMENTS", ["0", "-1", "lots"]),
        ("PUBLIC_URL", ["gossip.example.com", "ftp://gossip.example.com", "http://", "http://a:b", "http://[::1"]),
        ("SOCKET_URL", ["http://gossip.example.com", "ws:", "ws://:4110"]),
        (
            "DATABASE_URL",
            [
                "gossip.db",
                "mysql://db.example.com/gossip",
                "sqlite://",
                "sqlite:///",
                "://",
                "postgresql+psycopg2://x/y",
            ],
        ),
        ("REDIS_URL", ["localhost:6379", "http://redis.example.com", "redis", "redis://host:many", "redis://[::1"]),
        ("SECRET_KEY", ["short", "x" * 15]),
        ("SECRET_KEY_FALLBACKS", ["short", f"{'x' * 16} {'x' * 15}"]),
        ("WEB_CONCURRENCY", ["abc", "0", "-1"]),
        ("WORKER_METRICS_PORT", ["abc", "65536", "4100", "4110"]),
        ("CONTACT_FILE", ["/nowhere/contact.md", "/"]),
        ("CONTACT_EMAIL", ["keeper"]),
        ("ADMIN_EMAIL", ["keeper", "a@b@c", "Keeper <keeper@example.com>"]),
    ],
)
def test_an_unusable_setting_gives_one_line_that_names_it(read, name, values):
    for value in values:
        with pytest.raises(SettingsError) as refused:
            read(**{name: value})
        message = str(refused.value)
        assert name in message, (value, message)
        assert "\n" not in message and len(message) < 300


ODD_NUMBERS = ["٤", "４", "²", "1_0", "+5", "-5", "5 0", "0x1", "5.", "1,5", "nan", "inf", "9" * 5000, "\u200b5"]


@pytest.mark.parametrize("number", ODD_NUMBERS, ids=lambda number: ascii(number[:8]))
def test_numbers_that_only_python_would_read_are_refused_by_every_setting(read, number):
    """In each setting whose value is a number, and in each number of the limits."""
    described = read().describe({})
    numeric = [name for name, row in described.items() if isinstance(row["value"], int | float)]
    assert {"WEB_PORT", "HEARTBEAT_SECONDS", "TRACES_SAMPLE"} <= set(numeric)
    values = [(name, number) for name in numeric]
    values += [("LIMITS", f"events:socket={number}/1"), ("LIMITS", f"events:socket=1/{number}")]
    for name, value in values:
        with pytest.raises(SettingsError) as refused:
            read(**{name: value})
        assert name in str(refused.value) and len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://me:secret-word@db.example.com:many/gossip"),
        ("DATABASE_URL", "mysql://me:secret-word@db.example.com/gossip"),
        ("REDIS_URL", "http://:secret-word@redis.example.com"),
        ("REDIS_URL", "redis://:secret-word@redis.example.com:many"),
    ],
)
def test_the_line_never_contains_a_password(read, name, url):
    with pytest.raises(SettingsError) as refused:
        read(**{name: url})
    assert "secret-word" not in str(refused.value)


def test_site_and_socket_cannot_share_a_port(read):
    with pytest.raises(SettingsError, match="WEB_PORT and SOCKET_PORT are both 5000"):
        read(WEB_PORT="5000", SOCKET_PORT="5000")
    assert read(WEB_PORT="0", SOCKET_PORT="0")


def test_the_gateway_makes_way_unless_its_port_was_chosen(read):
    assert read().gateway_port == 4120
    assert read(WEB_PORT="4120", SOCKET_PORT="4121").gateway_url == "ws://127.0.0.1:4122/play-socket"
    assert read(WORKER_METRICS_PORT="4120").worker_metrics_port == 4120
    for name in ("WEB_PORT", "SOCKET_PORT", "WORKER_METRICS_PORT"):
        with pytest.raises(SettingsError, match="GATEWAY_PORT is 5000"):
            read(GATEWAY_PORT="5000", **{name: "5000"})


def test_an_instance_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="INSTANCE_PATH"):
        Settings.from_environment({"INSTANCE_PATH": str(tmp_path / "file" / "instance")})


def test_the_secret_key_is_generated_once(read, tmp_path):
    first = read().secret_key
    assert len(first) == 64 and read().secret_key == first
    assert (tmp_path / "instance" / "secret_key").stat().st_mode & 0o077 == 0
    assert read(SECRET_KEY=KEY).secret_key == KEY
    assert sorted(os.listdir(tmp_path / "instance")) == ["secret_key"]


def test_a_deep_instance_folder_gets_a_short_socket_path(tmp_path):
    deep = tmp_path / ("x" * 120)
    assert len(os.fsencode(embedded_redis_socket(deep))) <= MAX_SOCKET_PATH
    assert embedded_redis_socket(deep) == embedded_redis_socket(deep) != embedded_redis_socket(tmp_path / ("y" * 120))


def test_settings_are_described_with_their_sources(read):
    """Values are written as they would be in the environment."""
    rows = read(WEB_PORT="5000", BIND="  ").describe({"WEB_PORT": "5000", "BIND": "  "})
    assert rows["WEB_PORT"] == {"value": 5000, "source": "environment"}
    assert rows["BIND"] == {"value": "127.0.0.1", "source": "default"}
    assert rows["PUBLIC_URL"] == {"value": "http://127.0.0.1:5000", "source": "derived"}
    assert rows["SECRET_KEY"] == {"value": "***", "source": "key file"}
    assert rows["RATE_LIMITS"]["value"] == "on" and rows["HEARTBEAT_SECONDS"]["value"] == 15
    assert rows["LIMITS"]["value"].startswith("events:socket=400/20,")
    assert set(rows) == {field.name.upper() for field in dataclasses.fields(Settings)}


def test_a_described_value_can_be_set_again(read):
    settings = read(MAIL_FROM="Gossip <gossip@example.com>", LIMITS="events:socket=7/1", BIND="::1")
    values = {name: str(row["value"]) for name, row in settings.describe({}).items()}
    assert read(**values | {"SECRET_KEY": settings.secret_key}) == settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret-word@db.example.com/gossip", "postgresql://me:***@db.example.com/gossip"),
        ("postgresql://me@corp:secret/w@rd@host/gossip", "postgresql://me@corp:***@host/gossip"),
        (
            "postgresql://host/gossip?user=me&password=secret-word&x=1",
            "postgresql://host/gossip?user=me&password=***&x=1",
        ),
        ("redis://:secret-word@redis.example.com:6379/0", "redis://:***@redis.example.com:6379/0"),
        ("unix:///run/redis.sock?PASSWORD=secret-word", "unix:///run/redis.sock?PASSWORD=***"),
        (
            "smtp://me%40example.com:secret%3Aword@mail:587?starttls=1",
            "smtp://me%40example.com:***@mail:587?starttls=1",
        ),
        ("sqlite:////srv/gossip.db", "sqlite:////srv/gossip.db"),
        ("http://[::1]:4100", "http://[::1]:4100"),
    ],
)
def test_passwords_in_addresses_are_masked(url, shown):
    assert mask_url(url) == shown


def test_every_address_is_masked(read):
    urls = {
        "DATABASE_URL": "postgresql+psycopg://me:secret-word@db.example.com/gossip",
        "REDIS_URL": "redis://:secret-word@redis.example.com",
        "MAIL_URL": "smtps://me:secret-word@mail.example.com",
    }
    keys = {"SECRET_KEY": "secret-word" * 2, "SECRET_KEY_FALLBACKS": "secret-word" * 3 + " " + "secret-word" * 4}
    described = read(**keys, **urls).describe(urls)
    assert "secret-word" not in str(described)
    assert described["SECRET_KEY_FALLBACKS"]["value"] == "*** ***"


@pytest.mark.usefixtures("processes")
def test_nothing_starts_with_a_bad_setting(tmp_path):
    """The worker and the command line print one line on standard error and exit with an error status."""
    env = clean_environment(INSTANCE_PATH=str(tmp_path), HEARTBEAT_SECONDS="soon")
    for command in (["-m", "worker"], ["-m", "flask", "network", "status"]):
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and done.stdout == ""
        assert done.stderr.count("\n") == 1 and "HEARTBEAT_SECONDS is 'soon'" in done.stderr, done.stderr


def test_an_unreachable_or_empty_database_is_refused(tmp_path):
    """The message of `check_database` does not contain the password."""
    with pytest.raises(SettingsError) as refused:
        db.check_database(db.make_engine(f"sqlite:///{tmp_path}/missing/gossip.db"))
    assert "cannot be reached" in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(SettingsError, match="flask db upgrade"):
        db.check_database(db.make_engine(f"sqlite:///{tmp_path}/empty.db"))
    with pytest.raises(SettingsError) as refused:
        db.check_database(db.make_engine("postgresql+psycopg://me:secret-word@127.0.0.1:1/gossip"))
    assert "cannot be reached" in str(refused.value) and "secret-word" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", KEY),
        ("DATABASE_URL", "postgresql+psycopg://me:secret@db.example.com/gossip"),
        ("REDIS_URL", "redis://:secret@redis.example.com"),
        ("MAIL_URL", "smtps://me:secret@mail.example.com"),
    ],
)
def test_secrets_can_be_in_files(read, tmp_path, name, value):
    """The environment takes precedence, and `flask settings` says where a value is from."""
    path = tmp_path / "secret"
    path.write_text(f"{value}\n")
    settings = read(**{f"{name}_FILE": str(path)})
    assert getattr(settings, name.lower()) == value
    assert settings.describe({f"{name}_FILE": str(path)})[name]["source"] == "file"
    path.unlink()
    assert getattr(read(**{name: value, f"{name}_FILE": str(path)}), name.lower()) == value


@pytest.mark.parametrize("content", [f"\ufeff{KEY}\r\n".encode(), f"  {KEY}\n\n".encode(), KEY.encode()])
def test_byte_order_marks_and_line_ends_are_not_part_of_a_key(read, tmp_path, content):
    """Editors on other systems write them, in files that operators name and in the generated one."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert read(SECRET_KEY_FILE=str(path)).secret_key == KEY
    read()
    (tmp_path / "instance" / "secret_key").write_bytes(content)
    assert read().secret_key == KEY


def test_earlier_keys_can_be_in_a_file(read, tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"{KEY}1\r\n{KEY}2\r\n")
    settings = read(SECRET_KEY=KEY, SECRET_KEY_FALLBACKS_FILE=str(path))
    assert settings.signing_keys == [f"{KEY}1", f"{KEY}2", KEY]


@pytest.mark.parametrize("content", [b"", b"short", KEY.encode("utf-16")])
def test_a_damaged_key_file_gives_one_line(read, tmp_path, content):
    """An empty key would sign nothing, and a short one could be guessed."""
    read()
    (tmp_path / "instance" / "secret_key").write_bytes(content)
    with pytest.raises(SettingsError, match=r"SECRET_KEY: .* is damaged") as caught:
        read()
    assert "\n" not in str(caught.value)
    assert read(SECRET_KEY=KEY).secret_key == KEY


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"", "is empty"), (b"\xff\xfe", "not text")])
def test_an_unusable_secret_file_gives_one_line(read, tmp_path, content, reason):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=reason) as caught:
        read(SECRET_KEY_FILE=str(path))
    assert str(caught.value).startswith("SECRET_KEY_FILE: ") and "\n" not in str(caught.value)


def test_hosts_in_other_scripts_become_ascii(read):
    """As browsers write them in `Origin`, and mail servers understand them."""
    settings = read(PUBLIC_URL="https://Bücher.example:8443/gossip", SOCKET_URL="wss://straße.example/socket")
    assert settings.public_url == "https://xn--bcher-kva.example:8443/gossip"
    assert settings.socket_url == "wss://xn--strae-oqa.example/socket"
    assert settings.mail_from == "gossip@xn--bcher-kva.example"
    assert read(MAIL_FROM="Größe <a@bücher.example>").mail_from == "Größe <a@xn--bcher-kva.example>"


@pytest.mark.parametrize(
    "values",
    [
        {"PUBLIC_URL": f"https://{'ü' * 70}.example"},
        {"PUBLIC_URL": "https://a..example"},
        {"PUBLIC_URL": "https://example.com/a b"},
        {"PUBLIC_URL": "https://example.com/größe"},
        {"PUBLIC_URL": "https://exa mple.com"},
        {"SOCKET_URL": "wss://-.example/socket"},
        {"MAIL_URL": "smtp://me:p%C3%A4ssword@mail.example.com"},
        {"MAIL_FROM": "größe@example.com"},
        {"HEARTBEAT_SECONDS": "١٥"},
        {"HEARTBEAT_SECONDS": "1_5"},
    ],
)
def test_text_in_other_scripts_is_refused_where_nothing_can_use_it(read, values):
    (name,) = values
    with pytest.raises(SettingsError, match=f"^{name} is ") as caught:
        read(**values)
    assert "\n" not in str(caught.value) and "p%C3" not in str(caught.value)
