"""Fixtures for all tests: real databases, a real Valkey, the real site and worker, real sockets, a real browser.

The migrations run once for each kind of database; every test works on a copy of the result. Redis is emptied before
each test that uses it. Tests run on SQLite; those that ask for `any_database` run on PostgreSQL too.

Imports that not every test needs are inside the fixtures, so that a single file of tests starts quickly.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from playwright.sync_api import Browser, Page
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from shared.settings import Settings
    from tests.support.client import SocketClient
    from tests.support.copies import Copies
    from tests.support.factory import Factory
    from tests.support.postgres import Postgres
    from tests.support.servers import RunningGateway, RunningSite, RunningWorker
    from tests.support.sites import Sites
    from tests.support.valkey import TestValkey

_MISSING = pytest.StashKey[dict[str, str]]()
"""Why tests cannot run on this machine, by marker."""
_SLOW_MARKERS = ("slow", "postgres", "mariadb", "browser", "operating")

# Which tests run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--quick", action="store_true", help="run only the tests that start no process except Valkey")


def pytest_configure(config: pytest.Config) -> None:
    from tests.support.programs import missing_programs

    missing = missing_programs()
    config.stash[_MISSING] = missing
    if os.environ.get("CI") == "true" and missing:
        raise pytest.UsageError(f"CI=true, and nothing may be skipped: {'; '.join(missing.values())}")


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"skipping the tests marked {marker}: {reason}" for marker, reason in config.stash[_MISSING].items()]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        slower = [item for item in items if not _is_quick(item)]
        config.hook.pytest_deselected(items=slower)
        items[:] = [item for item in items if _is_quick(item)]
        sys.addaudithook(_refuse_processes)
    # First, because they take longest: the other processes run what is left of theirs meanwhile.
    items.sort(key=lambda item: item.path.name not in ("test_short_run.py", "test_every_page.py"))
    reasons = dict(config.stash[_MISSING])
    if not config.getoption("--slow"):
        reasons["slow"] = "slow: run with --slow"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _is_quick(item: pytest.Item) -> bool:
    if any(item.get_closest_marker(marker) for marker in _SLOW_MARKERS):
        return False
    if item.get_closest_marker("in_process"):
        return True
    return "processes" not in getattr(item, "fixturenames", ())


def _refuse_processes(event: str, arguments: tuple[Any, ...]) -> None:
    """Fail a test that starts a process without requesting the fixture `processes`, by which `--quick` skips it."""
    if event != "subprocess.Popen":
        return
    command = " ".join(str(word) for word in arguments[1])
    if "valkey-server" not in command and "flask --app app.command_line:create_command_app db upgrade" not in command:
        raise AssertionError(f"with --quick no test may start a process; this one needs `processes`: {command}")


@pytest.fixture(scope="session")
def processes() -> None:
    """Every test that starts a process requests this, directly or through a fixture, and `--quick` skips it."""


@pytest.fixture(scope="session", autouse=True)
def _localhost_only() -> Iterator[None]:
    """Let tests connect to this machine only."""
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
    from tests.support.valkey import TestValkey

    valkey = TestValkey()
    try:
        valkey.start()
        yield valkey
    finally:
        valkey.close()


@pytest.fixture
def valkey(_session_valkey: TestValkey) -> TestValkey:
    """The Valkey that all tests of a run share, emptied. Tests that stop Valkey use `own_valkey`."""
    _session_valkey.empty()
    return _session_valkey


@pytest.fixture
def own_valkey() -> Iterator[TestValkey]:
    """A Valkey for this test alone, which may stop and start it."""
    from tests.support.valkey import TestValkey

    valkey = TestValkey()
    try:
        valkey.start()
        yield valkey
    finally:
        valkey.close()


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """The address of Redis for this test: that of `own_valkey` if the test requests it."""
    name = "own_valkey" if "own_valkey" in request.fixturenames else "valkey"
    return str(request.getfixturevalue(name).url)


def _migrate(database_url: str, instance_path: Path) -> None:
    from tests.support.processes import ROOT, clean_environment
    from tests.support.servers import SECRET_KEY

    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app.command_line:create_command_app", "db", "upgrade"],
        cwd=ROOT,
        env=clean_environment(
            DATABASE_URL=database_url, INSTANCE_PATH=str(instance_path), SECRET_KEY=SECRET_KEY, RATE_LIMITS="off"
        ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"the migrations failed:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def _migrated_folder(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where migrated databases are kept: in pytest's cache, until a migration or a package changes."""
    cache = getattr(pytestconfig, "cache", None)
    return cache.mkdir("migrated") if cache else tmp_path_factory.getbasetemp().parent / "migrated"


@pytest.fixture(scope="session")
def _migrated_sqlite(_migrated_folder: Path) -> Path:
    """A migrated SQLite file to copy."""
    from tests.support.migrated import keep_migrated

    return keep_migrated(_migrated_folder, "sqlite.db", lambda path: _migrate(f"sqlite:///{path}", path.parent))


@pytest.fixture(scope="session")
def postgres_server(processes: None) -> Iterator[Postgres]:
    """The run's PostgreSQL."""
    from tests.support.postgres import Postgres

    server = Postgres()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def _migrated_postgres(
    postgres_server: Postgres, _migrated_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Copies:
    from tests.support.copies import Copies
    from tests.support.migrated import keep_migrated

    def create_dump(path: Path) -> None:
        migrated_url = postgres_server.create_database()
        _migrate(migrated_url, path.parent)
        postgres_server.dump(migrated_url, path)
        postgres_server.drop_database(migrated_url)

    url, dump_kind = postgres_server.create_database(), postgres_server.dump_kind
    if dump_kind is None:
        _migrate(url, tmp_path_factory.mktemp("postgres"))
    else:
        postgres_server.load(url, keep_migrated(_migrated_folder, dump_kind, create_dump))
    return Copies(postgres_server, url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_database(request: pytest.FixtureRequest) -> str:
    """Runs the test twice, on SQLite and on PostgreSQL; every other fixture follows."""
    return str(request.param)


@pytest.fixture(scope="session")
def _memory_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory if possible. On a busy disk, SQLite would wait long for each commit."""
    import shutil
    import tempfile

    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 200_000_000:
        yield tmp_path_factory.mktemp("memory")
        return
    with tempfile.TemporaryDirectory(prefix="gossip-tests-", dir=memory, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def _sqlite_path(_memory_folder: Path) -> Path:
    """The path of the current test's SQLite database. It is the same for all tests, so that they can share engines."""
    folder = _memory_folder / "sqlite"
    folder.mkdir()
    return folder / "gossip.db"


@pytest.fixture(scope="session")
def _close_connections() -> Iterator[Callable[[], None]]:
    """Closes connections that engines on SQLite keep. Requesting it makes engines share their compiled statements."""
    from tests.support.engines import share_compiled_statements

    with pytest.MonkeyPatch.context() as patch:
        yield share_compiled_statements(patch)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, _close_connections: Callable[[], None]) -> Iterator[str]:
    """The address of this test's own migrated database."""
    kind = request.getfixturevalue("any_database") if "any_database" in request.fixturenames else "sqlite"
    if kind == "sqlite":
        import shutil

        path: Path = request.getfixturevalue("_sqlite_path")
        _close_connections()
        for old in path.parent.iterdir():  # also the files that SQLite keeps beside it
            old.unlink()
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
    """A plain session that may commit. On SQLite it holds the write lock from its first use to its commit."""
    from shared import db

    with db.SessionFactory() as session:
        yield session


@pytest.fixture
def make(session: Session) -> Factory:
    """Creates users, games, channels and applications in `session`, uncommitted."""
    from tests.support.factory import Factory

    return Factory(lambda: nullcontext(session))


@pytest.fixture
def stored(engine: Engine) -> Factory:
    """Like `make`, but commits each at once, for the site and the worker to see."""
    from shared import db
    from tests.support.factory import Factory

    return Factory(db.transaction)


# The site and the worker


@pytest.fixture(scope="session")
def _instance_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("instances")


@pytest.fixture
def _instance_path(_instance_folder: Path) -> Path:
    """A path where nothing exists. It is the same for all tests, so that they can share a site."""
    import shutil

    path = _instance_folder / "instance"
    shutil.rmtree(path, ignore_errors=True)
    return path


@pytest.fixture
def environment(database_url: str, redis_url: str, _instance_path: Path) -> dict[str, str]:
    """The settings of this test's network, as environment variables; a test may change them before a start."""
    from tests.support.servers import SECRET_KEY

    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": SECRET_KEY,
        "INSTANCE_PATH": str(_instance_path),
        "WEB_PORT": "0",
        "SOCKET_PORT": "0",
        "GATEWAY_PORT": "0",
        "RATE_LIMITS": "off",
        "LOG_FORMAT": "json",
    }


@pytest.fixture
def make_settings(environment: dict[str, str]) -> Iterator[Callable[..., Settings]]:
    """Settings for this test, with some changed: make_settings(RATE_LIMITS="on")."""
    from shared import bus
    from shared.settings import Settings

    yield lambda **changed: Settings.from_environment({**environment, **changed})
    bus.publish_after_commit(None)  # a site with these settings publishes the commits of this process


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """The settings of this test's network, limits off."""
    return make_settings()


@pytest.fixture(scope="session")
def _sites(tmp_path_factory: pytest.TempPathFactory) -> Sites:
    from jinja2 import FileSystemBytecodeCache

    from tests.support.sites import Sites

    return Sites(FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates"))))


@pytest.fixture
def app(settings: Settings, engine: Engine, _sites: Sites) -> Flask:
    """The site, in this process."""
    return _sites.get(settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without a window: keeps cookies, runs no scripts."""
    return app.test_client()


@pytest.fixture
def start_worker(processes: None, environment: dict[str, str]) -> Iterator[Callable[..., RunningWorker]]:
    """Starts workers on free ports, with settings and constants changed: start_worker(HEARTBEAT_SECONDS="0.2")."""
    from tests.support.servers import RunningWorker

    started: list[RunningWorker] = []

    def start(constants: dict[str, float] | None = None, **changed: str) -> RunningWorker:
        worker = RunningWorker({**environment, **changed}, constants)
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
def start_gateway(processes: None, environment: dict[str, str]) -> Iterator[Callable[..., RunningGateway]]:
    """Starts gateways that may connect to this machine: start_gateway(GATEWAY_PORT="4120")."""
    from tests.support.servers import RunningGateway

    started: list[RunningGateway] = []

    def start(**changed: str) -> RunningGateway:
        gateway = RunningGateway({**environment, "CHECK_PRIVATE_ADDRESSES": "on", **changed})
        started.append(gateway)
        gateway.wait_until_ready()
        return gateway

    yield start
    for gateway in started:
        gateway.kill()


@pytest.fixture
def start_site(processes: None, environment: dict[str, str]) -> Iterator[Callable[..., RunningSite]]:
    """Starts the site as the Procfile does, on its own port."""
    from tests.support.servers import RunningSite

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
    from tests.support.client import SocketClient

    opened: list[SocketClient] = []

    def open_socket(url: str | None = None, **options: Any) -> SocketClient:
        socket_client = SocketClient(url or request.getfixturevalue("worker").url, **options)
        opened.append(socket_client)
        return socket_client

    yield open_socket
    for socket_client in opened:
        socket_client.drop()


@pytest.fixture
def run_flask(processes: None, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line: run_flask("channel", "create", "gossip")."""
    from tests.support.processes import run_command

    def run(*arguments: str, stdin: str = "", **changed: str) -> subprocess.CompletedProcess[str]:
        return run_command(*arguments, stdin=stdin, settings={**environment, **changed})

    return run


# The browser


@pytest.fixture(scope="session")
def browser(processes: None) -> Iterator[Browser]:
    """A Chromium for the whole run."""
    from tests.support.browser import running_browser

    with running_browser() as browser:
        yield browser


@pytest.fixture
def new_page(browser: Browser, site: RunningSite) -> Iterator[Callable[[], Page]]:
    """Opens a page of `site` in its own profile, signed out. Use one for each person."""
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
