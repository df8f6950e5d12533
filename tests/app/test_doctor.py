"""`flask doctor`: each check finds what is wrong, and says what to do about it."""

from __future__ import annotations

import errno
import http.server
import json
import resource
import socket
import sqlite3
import ssl
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import trustme
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.doctor import database, machine, web
from app.doctor.findings import Check, Finding, Findings, Status, run_checks
from app.doctor.mail import mail_check
from app.doctor.probe import HEADER, is_signed, sign
from app.doctor.redis import check_redis
from shared import db
from shared.settings import Settings
from tests.support.processes import free_port
from tests.support.valkey import TestValkey
from tests.test_mail import SmtpServer

FAILED, WARNING, OK = Status.FAILED, Status.WARNING, Status.OK
MakeSettings = Callable[..., Settings]


def run(check: Check, settings: Settings) -> list[Finding]:
    return list(run_checks([("x", check)], settings))


def assert_found(findings: list[Finding], status: Status, message: str, advice: str) -> None:
    """Check that there is one finding of this status with these words, and that it says what to do."""
    matching = [found for found in findings if found.status is status and message in found.message]
    assert len(matching) == 1, findings
    assert advice in matching[0].advice, matching


def assert_fine(findings: list[Finding]) -> None:
    assert findings and all(found.status is OK for found in findings), findings


# The report


def test_an_error_inside_a_check_is_a_finding(settings: Settings) -> None:
    def broken(settings: Settings, findings: Findings) -> None:
        findings.ok("the beginning")
        raise KeyError("what")

    beginning, fault = run(broken, settings)
    assert beginning.status is OK
    assert fault.status is FAILED and "KeyError" in fault.message and "--skip" in fault.advice


def test_the_report_is_one_line_of_json_and_lines_for_people(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs here, so the command fails. Texts of servers cannot act on the terminal."""

    def hostile(*_: object) -> None:
        raise OSError(errno.ECONNREFUSED, "\x1b[31mred")

    monkeypatch.setattr(web, "ask", hostile)
    result = app.test_cli_runner().invoke(args=["doctor", "--skip", "ports", "--skip", "tls"])

    assert result.exit_code == 1
    assert result.stdout.count("\n") == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    checks = [finding["check"] for finding in report["findings"]]
    assert list(dict.fromkeys(checks)) == ["database", "redis", "disk", "descriptors", "processes", "proxy", "mail"]
    assert all(finding["advice"] for finding in report["findings"] if finding["status"] != "ok")
    assert "FAILED   processes    the site does not answer" in result.stderr
    assert "\x1b" not in result.stderr and "Traceback" not in result.stderr


# The database


@pytest.mark.parametrize(
    "any_database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
def test_a_good_database(any_database: str, settings: Settings) -> None:
    assert_fine(run(database.check_database, settings))


def test_a_database_that_cannot_be_used(make_settings: MakeSettings, tmp_path: Path) -> None:
    away = make_settings(DATABASE_URL=f"postgresql://user:hidden@127.0.0.1:{free_port()}/name")
    findings = run(database.check_database, away)
    assert_found(findings, FAILED, "cannot be reached", "DATABASE_URL")
    assert "hidden" not in str(findings)

    missing = make_settings(DATABASE_URL=f"sqlite:///{tmp_path}/missing.db")
    assert_found(run(database.check_database, missing), FAILED, "there is no database", "flask db upgrade")
    assert not (tmp_path / "missing.db").exists()

    (tmp_path / "text.db").write_text("not a database, and long enough to be read as one " * 100)
    assert_found(
        run(database.check_database, make_settings(DATABASE_URL=f"sqlite:///{tmp_path}/text.db")), FAILED, "cannot", ""
    )

    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE other (id)")
    empty = make_settings(DATABASE_URL=f"sqlite:///{tmp_path}/empty.db")
    assert_found(run(database.check_database, empty), FAILED, "has no tables", "flask db upgrade")


@pytest.mark.parametrize(
    ("revision", "advice"), [("0001", "run: flask db upgrade"), ("9999", "restore the backup from before the upgrade")]
)
def test_a_database_at_another_revision(engine: Any, settings: Settings, revision: str, advice: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    assert_found(run(database.check_database, settings), FAILED, f"at revision {revision}", advice)


@pytest.mark.parametrize(
    ("code", "status", "message", "advice"),
    [
        ("SQLITE_READONLY", FAILED, "cannot be written to", "who owns the database file"),
        ("SQLITE_FULL", FAILED, "cannot be written to", "free some space"),
        ("SQLITE_BUSY", WARNING, "another process has been writing", "wait for it"),
    ],
)
def test_a_database_that_cannot_be_written_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, code: str, status: Status, message: str, advice: str
) -> None:
    def refuse() -> None:
        error = sqlite3.OperationalError("no")
        error.sqlite_errorname = code
        statement = db.BEGIN_WRITING if code == "SQLITE_BUSY" else "INSERT"
        raise OperationalError(statement, {}, error)

    monkeypatch.setattr(db, "check_writing", refuse)
    assert_found(run(database.check_database, settings), status, message, advice)


def test_a_database_with_another_encoding(settings: Settings) -> None:
    class Connection:
        dialect = SimpleNamespace(name="postgresql")

        def execute(self, _statement: object) -> Any:
            return SimpleNamespace(one=lambda: (datetime.now(UTC).timestamp(), "SQL_ASCII"))

    findings = Findings("database")
    database._check_server(Connection(), findings)  # type: ignore[arg-type]
    assert_found(findings.all, FAILED, "SQL_ASCII", "UTF8")


# Redis


def test_a_good_redis(settings: Settings) -> None:
    assert_fine(run(check_redis, settings))


def test_a_redis_that_is_away(make_settings: MakeSettings, environment: dict[str, str]) -> None:
    away = make_settings(REDIS_URL=f"redis://:hidden@127.0.0.1:{free_port()}")
    findings = run(check_redis, away)
    assert_found(findings, FAILED, "cannot be reached", "check REDIS_URL")
    assert "hidden" not in str(findings)

    del environment["REDIS_URL"]
    assert_found(run(check_redis, make_settings()), FAILED, "cannot be reached", "make run")


def test_a_redis_that_is_set_up_badly(own_valkey: TestValkey, settings: Settings) -> None:
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert_found(run(check_redis, settings), FAILED, "drops any key", "maxmemory-policy noeviction")
        client.config_set("maxmemory-policy", "volatile-ttl")
        assert_found(run(check_redis, settings), WARNING, "drops keys", "noeviction")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        assert_found(run(check_redis, settings), WARNING, "90 % of its memory", "raise maxmemory")
        client.config_set("maxmemory", "0")
        client.execute_command("ACL", "SETUSER", "default", "resetchannels")
        assert_found(run(check_redis, settings), FAILED, "signals cannot be sent", "ACL SETUSER")
        client.execute_command("ACL", "SETUSER", "default", "allchannels")
        client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        assert_found(run(check_redis, settings), FAILED, "is a replica", "REPLICAOF NO ONE")


def test_a_redis_that_is_old(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    info = redis.Redis.info
    monkeypatch.setattr(
        redis.Redis, "info", lambda self: {**info(self), "redis_version": "5.0.14", "valkey_version": ""}
    )
    assert_found(run(check_redis, settings), FAILED, "5.0.14 is too old", "upgrade")


# The machine


@pytest.mark.parametrize(("seconds", "status"), [(0.5, OK), (-5.0, WARNING), (90.0, FAILED)])
def test_clocks_are_compared(seconds: float, status: Status) -> None:
    findings = Findings("x")
    machine.check_clock("Redis", 1000 + seconds, 1000, findings)
    (finding,) = findings.all
    assert finding.status is status and f"{seconds:+.1f} s" in finding.message
    assert ("timedatectl" in finding.advice) == (status is not OK)


@pytest.mark.parametrize(("free", "status"), [(10**10, OK), (5 * 10**8, WARNING), (10**7, FAILED)])
def test_the_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, status: Status) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine, "disk_usage", lambda path: usage(10**11, 0, free))
    findings = run(machine.check_disk, settings)
    assert {found.status for found in findings} == {status}
    assert all(("free some space" in found.advice) == (status is not OK) for found in findings)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert {found.status for found in run(machine.check_disk, settings)} == {FAILED}


@pytest.mark.parametrize(("hard", "status"), [(65536, OK), (-1, OK), (1024, WARNING), (256, FAILED)])
def test_descriptors(settings: Settings, monkeypatch: pytest.MonkeyPatch, hard: int, status: Status) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, hard))
    (finding,) = run(machine.check_descriptors, settings)
    assert finding.status is status and ("LimitNOFILE" in finding.advice) == (status is not OK)


# Addresses


class CannedServer(http.server.ThreadingHTTPServer):
    """Answers each path with a status, headers and a JSON body, or what a function makes of the request's headers."""

    daemon_threads = True

    def __init__(self, answers: dict[str, Any], context: ssl.SSLContext | None = None) -> None:
        self.answers = answers
        super().__init__(("127.0.0.1", 0), _Handler)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients of these tests break connections on purpose."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = self.server.answers.get(self.path, (404, {}))  # type: ignore[attr-defined]
        status, body = answer(self.headers) if callable(answer) else answer
        text = json.dumps(body).encode()
        self.send_response(status)
        if status != 101:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if status != 101:
            self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., CannedServer]]:
    servers: list[CannedServer] = []

    def start(answers: dict[str, Any], context: ssl.SSLContext | None = None) -> CannedServer:
        servers.append(CannedServer(answers, context))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_processes(make_settings: MakeSettings, serve: Callable[..., CannedServer]) -> None:
    healthy = {"status": "ok", "version": web.__version__, "database": "ok", "redis": "ok"}
    server = serve({"/_health": (200, healthy)})
    other = serve({"/_health": (503, {**healthy, "version": "0.0.1", "redis": "down"})})
    settings = make_settings(WEB_PORT=str(server.port), SOCKET_PORT=str(other.port))
    findings = run(web.check_processes, settings)
    assert_found(findings, OK, "the site is healthy", "")
    assert_found(findings, FAILED, "redis is down", "Redis")
    assert_found(findings, WARNING, "runs version 0.0.1", "restart a worker")

    nothing = make_settings(WEB_PORT=str(server.port), SOCKET_PORT=str(free_port()))
    assert_found(run(web.check_processes, nothing), FAILED, "a worker does not answer", "SOCKET_PORT")


def test_ports(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., CannedServer]
) -> None:
    port = serve({}).port
    settings = make_settings(PUBLIC_URL=f"http://127.0.0.1:{port}", SOCKET_URL=f"ws://127.0.0.1:{free_port()}/socket")
    findings = run(web.check_ports, settings)
    assert_found(findings, WARNING, "only this machine can open", "set PUBLIC_URL")
    assert_found(findings, OK, f"port {port}", "")
    assert_found(findings, FAILED, "does not accept connections", "firewall")

    def no_address(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    settings = make_settings(PUBLIC_URL="https://a.example", SOCKET_URL="wss://a.example/socket")
    assert_found(run(web.check_ports, settings)[:1], FAILED, "has no address", "A or AAAA")


def make_proxied(
    make_settings: MakeSettings, serve: Callable[..., CannedServer], seen: dict[str, Any], **answers: Any
) -> Settings:
    """Return settings whose PUBLIC_URL is a server that reports `seen`, which may be changed by the headers."""
    server = serve({})
    address = f"127.0.0.1:{server.port}"
    usual = {"scheme": "http", "host": address, "address": "127.0.0.1", "is_forwarded": True}

    def health(headers: Any) -> tuple[int, dict[str, Any]]:
        assert is_signed(headers[HEADER], make_settings().secret_key)
        report = {key: value(headers) if callable(value) else value for key, value in (usual | seen).items()}
        return 200, {"version": web.__version__, "seen": report}

    server.answers.update({"/_health": health, "/socket": (101, {}), "/chat-socket": (426, {})} | answers)
    return make_settings(PUBLIC_URL=f"http://{address}", SOCKET_URL=f"ws://{address}/socket")


def test_a_good_proxy(make_settings: MakeSettings, serve: Callable[..., CannedServer]) -> None:
    assert_fine(run(web.check_proxy, make_proxied(make_settings, serve, {})))


@pytest.mark.parametrize(
    ("seen", "status", "message", "advice"),
    [
        ({"scheme": "https"}, FAILED, "takes requests for https", "X-Forwarded-Proto"),
        ({"host": "127.0.0.1:4100"}, FAILED, "for the host 127.0.0.1:4100", "X-Forwarded-Host"),
        ({"is_forwarded": False}, FAILED, "does not learn the addresses", "X-Forwarded-For"),
        (
            {"address": lambda headers: headers.get("X-Forwarded-For", "127.0.0.1")},
            WARNING,
            "make up its address",
            "replace X-Forwarded-For",
        ),
    ],
)
def test_a_proxy_with_wrong_headers(
    make_settings: MakeSettings,
    serve: Callable[..., CannedServer],
    seen: dict[str, Any],
    status: Status,
    message: str,
    advice: str,
) -> None:
    assert_found(run(web.check_proxy, make_proxied(make_settings, serve, seen)), status, message, advice)


@pytest.mark.parametrize(
    ("answers", "message", "advice"),
    [
        ({"/_health": (200, "Welcome to nginx!")}, "not answered by the site", "pass all paths"),
        ({"/_health": (200, {"version": web.__version__})}, "signature", "SECRET_KEY"),
        ({"/socket": (502, {})}, "opens no socket: status 502", "Upgrade"),
        ({"/chat-socket": (404, {})}, "the chat is not live", "/chat-socket"),
    ],
)
def test_a_proxy_that_leads_elsewhere(
    make_settings: MakeSettings,
    serve: Callable[..., CannedServer],
    answers: dict[str, Any],
    message: str,
    advice: str,
) -> None:
    settings = make_proxied(make_settings, serve, {}, **answers)
    assert_found(run(web.check_proxy, settings), FAILED, message, advice)


def test_public_metrics(
    make_settings: MakeSettings, serve: Callable[..., CannedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_is_local", lambda url: False)
    settings = make_proxied(make_settings, serve, {}, **{"/metrics": (200, "site_requests_total 1")})
    assert_found(run(web.check_proxy, settings), WARNING, "/metrics can be read", "refuse /metrics")


def test_a_site_that_is_away(make_settings: MakeSettings) -> None:
    port = free_port()
    settings = make_settings(PUBLIC_URL=f"http://127.0.0.1:{port}", SOCKET_URL=f"ws://127.0.0.1:{port}/socket")
    assert [finding.status for finding in run(web.check_proxy, settings)] == [FAILED, FAILED]


@pytest.mark.parametrize(
    ("fault", "status", "message", "advice"),
    [
        ("none", OK, "is valid until", ""),
        ("other name", FAILED, "is not valid: Hostname mismatch", "fullchain"),
        ("expired", FAILED, "is not valid: certificate has expired", "fullchain"),
        ("untrusted", FAILED, "is not valid: unable to get local issuer", "fullchain"),
        ("ends soon", WARNING, "days", "renewed"),
        ("no TLS", FAILED, "does not speak TLS", "configuration"),
    ],
)
def test_certificates(
    make_settings: MakeSettings,
    serve: Callable[..., CannedServer],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fault: str,
    status: Status,
    message: str,
    advice: str,
) -> None:
    authority, now = trustme.CA(), datetime.now(UTC)
    ends_at = {"expired": now - timedelta(days=1), "ends soon": now + timedelta(days=3)}.get(fault)
    name = "other.example" if fault == "other name" else "localhost"
    certificate = authority.issue_cert(name, not_before=now - timedelta(days=9), not_after=ends_at)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if fault != "untrusted":
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    port = serve({}, None if fault == "no TLS" else context).port
    settings = make_settings(PUBLIC_URL=f"https://localhost:{port}", SOCKET_URL=f"wss://localhost:{port}/socket")
    assert_found(run(web.check_tls, settings), status, message, advice)


def test_a_network_without_tls(settings: Settings) -> None:
    assert_found(run(web.check_tls, settings), WARNING, "without TLS", "proxy with a certificate")


# What the site answers


def test_the_site_answers_signed_questions_only(make_settings: MakeSettings, client: Any, settings: Settings) -> None:
    def seen(question: str) -> Any:
        return client.get("/_health", headers={HEADER: question} if question else {}).get_json().get("seen")

    assert seen(sign(settings.secret_key))["address"] == "127.0.0.1"
    for question in ("", "made up", sign("another key, which is long enough")):
        assert seen(question) is None


# Mail


def test_mail(make_settings: MakeSettings, settings: Settings) -> None:
    assert_found(run(mail_check(None), settings), WARNING, "MAIL_URL is not set", "set MAIL_URL")
    away = make_settings(MAIL_URL=f"smtp://me:hidden@127.0.0.1:{free_port()}")
    findings = run(mail_check("wren@example.com"), away)
    assert_found(findings, FAILED, "does not serve us", "host and the port")
    assert "hidden" not in str(findings)


def test_a_test_mail(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first connection checks the password, the second sends the mail."""
    ports = iter([SmtpServer(), SmtpServer(), SmtpServer(), SmtpServer(refuses=True)])
    from shared import mail

    parse = mail.MailServer.parse
    used = []

    def parse_with_next_port(url: str) -> Any:
        used.append(next(ports))
        return parse(url.replace(":25", f":{used[-1].port}"))

    settings = make_settings(MAIL_URL="smtp://127.0.0.1:25", PUBLIC_URL="https://gossip.example.com")
    monkeypatch.setattr(mail.MailServer, "parse", staticmethod(parse_with_next_port))
    assert_fine(run(mail_check("wren@example.com"), settings))
    assert b"gossip.example.com" in used[1].message
    assert_found(run(mail_check("wren@example.com"), settings), FAILED, "was not accepted", "MAIL_FROM")
    for server in used:
        server.close()
