"""Fixtures for all tests: real databases, a real Valkey, the real site and worker, real sockets, a real browser.

Databases are built by running the migrations, once a run and kind; each test gets a copy that no other uses meanwhile.
What a test leaves in Redis is emptied before the next. Tests on both databases ask for `any_database`; all others run
on SQLite.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jinja2 import FileSystemBytecodeCache
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.support.browser import find_chromium, running_browser
from tests.support.client import SocketClient
from tests.support.copies import Copies
from tests.support.factory import Factory
from tests.support.mariadb import has_mariadb
from tests.support.postgres import Postgres, find_programs
from tests.support.processes import ROOT, clean_environment
from tests.support.servers import SECRET_KEY, RunningSite, RunningWorker
from tests.support.valkey import TestValkey

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from playwright.sync_api import Browser, Page

    from shared.settings import Settings

# What this machine has


def _missing() -> dict[str, str]:
    """What is not there, by the marker of the tests that need it."""
    missing = {}
    if not os.environ.get("TEST_DATABASE_URL", "").strip() and find_programs() is None:
        missing["postgres"] = "no PostgreSQL here (initdb, postgres; or set TEST_DATABASE_URL)"
    if not has_mariadb():
        missing["mariadb"] = "no MariaDB here (mariadbd, mariadb-install-db)"
    if find_chromium() is None:
        missing["browser"] = "no Chromium here (or name it with CHROMIUM)"
    return missing


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("CI") == "true" and (missing := _missing()):
        raise pytest.UsageError(f"CI=true, and nothing may be skipped: {'; '.join(missing.values())}")


def pytest_report_header() -> list[str]:
    return [f"skipping the tests marked {marker}: {reason}" for marker, reason in _missing().items()]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = _missing()
    if not config.getoption("--slow"):
        missing["slow"] = "slow: run with --slow"
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _localhost_only() -> Iterator[None]:
    """No test speaks to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host not in ("localhost", "::1") and not host.startswith("127."):
                raise AssertionError(f"a test tried to reach {host}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


# Databases and Redis


@pytest.fixture(scope="session")
def _session_valkey() -> Iterator[TestValkey]:
    valkey = TestValkey()
    try:
        valkey.start()
        yield valkey
    finally:
        valkey.close()


@pytest.fixture
def valkey(_session_valkey: TestValkey) -> TestValkey:
    """The run's Valkey, empty. Tests that stop it use `own_valkey`."""
    _session_valkey.empty()
    return _session_valkey


@pytest.fixture
def own_valkey() -> Iterator[TestValkey]:
    """A Valkey of this test alone, which it may stop and start."""
    valkey = TestValkey()
    try:
        valkey.start()
        yield valkey
    finally:
        valkey.close()


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """The address of Redis for this test: that of `own_valkey` where the test asks for one."""
    name = "own_valkey" if "own_valkey" in request.fixturenames else "valkey"
    return str(request.getfixturevalue(name).url)


def _migrate(database_url: str, instance_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi:app", "db", "upgrade"],
        cwd=ROOT,
        env=clean_environment(
            DATABASE_URL=database_url, INSTANCE_PATH=str(instance_path), SECRET_KEY=SECRET_KEY, RATE_LIMITS="off"
        ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"the migrations failed:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the tables, closed, to be copied; made by the first of the run's processes to need it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sqlite"
    folder.mkdir(exist_ok=True)
    path = folder / "migrated.db"
    with (folder / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not path.exists():
            draft = folder / "draft.db"
            draft.unlink(missing_ok=True)
            _migrate(f"sqlite:///{draft}", folder)
            draft.rename(path)
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The run's PostgreSQL."""
    server = Postgres()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def _migrated_postgres(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    url = postgres_server.create_database()
    _migrate(url, tmp_path_factory.mktemp("postgres"))
    return Copies(postgres_server, url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_database(request: pytest.FixtureRequest) -> str:
    """Runs the test twice, on SQLite and on PostgreSQL; every other fixture follows."""
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of this test's own migrated database."""
    kind = request.getfixturevalue("any_database") if "any_database" in request.fixturenames else "sqlite"
    if kind == "sqlite":
        path = tmp_path / "gossip.db"
        shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    copies: Copies = request.getfixturevalue("_migrated_postgres")
    url = copies.take()
    yield url
    copies.put_back(url)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on this test's database; `transaction()` and `reading()` use it too."""
    from shared import db

    engine = db.make_engine(database_url)
    db.bind(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A plain session that may be committed. On SQLite it holds the write lock from its first use to its commit."""
    from shared import db

    with db.SessionFactory() as session:
        yield session


@pytest.fixture
def make(session: Session) -> Factory:
    """Makes users, games, channels and applications in `session`, uncommitted."""
    return Factory(lambda: nullcontext(session))


@pytest.fixture
def stored(engine: Engine) -> Factory:
    """As `make`, but each is committed at once, for the site and the worker to see."""
    from shared import db

    return Factory(db.transaction)


# The site and the worker


@pytest.fixture
def environment(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """The settings of this test's network, as environment variables; a test may change them before a start."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": SECRET_KEY,
        "INSTANCE_PATH": str(tmp_path / "instance"),
        "WEB_PORT": "0",
        "SOCKET_PORT": "0",
        "RATE_LIMITS": "off",
        "LOG_FORMAT": "json",
    }


@pytest.fixture
def make_settings(environment: dict[str, str]) -> Callable[..., Settings]:
    """Settings for this test, with some changed: make_settings(RATE_LIMITS="on")."""
    from shared.settings import Settings

    return lambda **changed: Settings.from_environment({**environment, **changed})


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """The settings of this test's network, limits off."""
    return make_settings()


@pytest.fixture(scope="session")
def _compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """To compile the templates anew for each test's site would be a third of what those tests take."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def app(settings: Settings, engine: Engine, _compiled_templates: FileSystemBytecodeCache) -> Iterator[Flask]:
    """The site, in this process."""
    from app import create_app
    from shared import bus

    app = create_app(settings)
    app.testing = True
    app.jinja_env.bytecode_cache = _compiled_templates
    yield app
    bus.publish_after_commit(None)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without a window: keeps cookies, runs no scripts."""
    return app.test_client()


@pytest.fixture
def start_worker(environment: dict[str, str]) -> Iterator[Callable[..., RunningWorker]]:
    """Starts workers, `python -m worker` on ports of their own: start_worker(HEARTBEAT_SECONDS="0.2")."""
    started: list[RunningWorker] = []

    def start(**changed: str) -> RunningWorker:
        worker = RunningWorker({**environment, **changed})
        started.append(worker)
        worker.wait_until_ready()
        return worker

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture
def worker(start_worker: Callable[..., RunningWorker]) -> RunningWorker:
    """One running worker."""
    return start_worker()


@pytest.fixture
def start_site(environment: dict[str, str]) -> Iterator[Callable[..., RunningSite]]:
    """Starts the site as the Procfile does, on a port of its own."""
    started: list[RunningSite] = []

    def start(**changed: str) -> RunningSite:
        site = RunningSite({**environment, **changed})
        started.append(site)
        site.wait_until_ready()
        return site

    yield start
    for site in started:
        site.kill()


@pytest.fixture
def site(start_site: Callable[..., RunningSite]) -> RunningSite:
    """The running site."""
    return start_site()


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., SocketClient]]:
    """Opens sockets: connect() to `worker`, or connect(url). They are closed after the test."""
    opened: list[SocketClient] = []

    def open_socket(url: str | None = None, **options: Any) -> SocketClient:
        socket_client = SocketClient(url or request.getfixturevalue("worker").url, **options)
        opened.append(socket_client)
        return socket_client

    yield open_socket
    for socket_client in opened:
        if not socket_client.is_closed:
            socket_client.drop()


@pytest.fixture
def run_flask(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line: run_flask("channel", "create", "gossip")."""

    def run(*arguments: str, stdin: str | None = None, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flask", *arguments],
            cwd=ROOT,
            env=clean_environment(**{**environment, **changed}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


# The browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium for the whole run."""
    with running_browser() as browser:
        yield browser


@pytest.fixture
def new_page(browser: Browser, site: RunningSite) -> Iterator[Callable[[], Page]]:
    """Opens a page of `site` in a profile of its own, signed out: one a person."""
    contexts = []

    def open_page() -> Page:
        context = browser.new_context(base_url=site.url)
        context.set_default_timeout(10_000)
        contexts.append(context)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: Callable[[], Page]) -> Page:
    """One page in the browser."""
    return new_page()
