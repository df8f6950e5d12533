"""The order of a start and of a stop.

Settings, lock, leftovers, ports, database; then Valkey, migrations, first start, site and worker. Stopped the other way
round, Valkey last, so that the site and the worker can say goodbye.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from launcher import checks
from launcher.errors import LaunchError, Stopped
from launcher.first_start import Admin, prepare
from launcher.processes import die_with_parent, end_leftovers, forget, remember
from launcher.supervisor import StopSignals, Supervisor
from launcher.valkey import Valkey
from shared import db
from shared.settings import Settings, SettingsError, embedded_redis_socket

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
STATUS_STOPPED, STATUS_FAILED, STATUS_SETTINGS = 0, 1, 2


def main() -> int:
    """Run until stopped; returns the exit status: 0 after a stop that was asked for, 2 for a bad setting, else 1."""
    os.chdir(ROOT)
    os.umask(0o077)  # the instance folder holds keys and password hashes
    try:
        settings = _settings()
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return STATUS_SETTINGS
    signals = StopSignals()
    try:
        return _run(settings, signals)
    except Stopped:
        return STATUS_STOPPED
    except LaunchError as error:
        print(f"error: {error}", file=sys.stderr)
        return STATUS_FAILED


def _settings() -> Settings:
    """The settings, with a port of 0 replaced by a free one; the environment holds what the children need of them."""
    settings = Settings.from_environment()
    for name, port in (("WEB_PORT", settings.web_port), ("SOCKET_PORT", settings.socket_port)):
        if port == 0:
            os.environ[name] = str(checks.free_port(settings.bind))
    return Settings.from_environment()


def _run(settings: Settings, signals: StopSignals) -> int:
    with ExitStack() as stack:
        stack.enter_context(checks.lock_instance(settings.instance_path))
        run_path = settings.instance_path / "run"
        run_path.mkdir(exist_ok=True)
        for name in end_leftovers(run_path):
            print(f"Ended {name}, left running by an earlier start that was killed.", flush=True)
        checks.require_free_port("WEB_PORT", settings.bind, settings.web_port)
        checks.require_free_port("SOCKET_PORT", settings.bind, settings.socket_port)
        checks.require_database(settings)
        if os.environ.get("REDIS_URL", "").strip():
            checks.require_redis(settings.redis_url)

        signals.install()
        valkey = None
        if not os.environ.get("REDIS_URL", "").strip():
            valkey = _start_valkey(settings, signals, run_path, stack)
        environment = _environment(settings)
        _migrate(environment, settings, signals, run_path)
        admin = _first_start(settings)
        try:
            return _serve(settings, signals, run_path, environment, valkey, admin)
        finally:
            admin.show_if_unseen()


class _NewAdmin:
    """The first admin's password must be seen once, even when the start fails after making it."""

    def __init__(self, admin: Admin | None) -> None:
        self.admin = admin

    def lines(self) -> list[str]:
        admin, self.admin = self.admin, None
        if admin is None:
            return []
        return [
            "",
            f"  First admin    {admin.username}",
            f"  Password       {admin.password}",
            "                 (shown this once: keep it safe)",
            *(
                ["  Email          none: set yours under Account, or a lost password is lost"]
                if not admin.email
                else [f"  Email          {admin.email}"]
            ),
        ]

    def show_if_unseen(self) -> None:
        for line in self.lines():
            print(line, flush=True)


def _serve(
    settings: Settings,
    signals: StopSignals,
    run_path: Path,
    environment: dict[str, str],
    valkey: Valkey | None,
    admin: _NewAdmin,
) -> int:
    supervisor = Supervisor(signals, run_path)
    supervisor.add_procfile(ROOT / "Procfile", environment)

    def watch() -> None:
        _wait_until_ready(supervisor, settings)
        if not supervisor.is_stopping:
            print(_banner(settings, valkey, admin), flush=True)
        while valkey and valkey.process and not supervisor.is_stopping:
            if (status := valkey.process.poll()) is not None:
                supervisor.fail(f"valkey ended by itself (status {status})")
            time.sleep(0.2)

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    supervisor.loop(when_started=watcher.start)
    watcher.join()
    if supervisor.failure:
        print(f"Stopped: {supervisor.failure}.", file=sys.stderr, flush=True)
        return STATUS_FAILED
    return STATUS_STOPPED


def _start_valkey(settings: Settings, signals: StopSignals, run_path: Path, stack: ExitStack) -> Valkey:
    socket_path = embedded_redis_socket(settings.instance_path)
    valkey = Valkey(socket_path, log_path=run_path / "valkey.log", kept_path=run_path / "valkey.rdb")
    if socket_path.parent != settings.instance_path:
        stack.callback(_remove_if_empty, socket_path.parent)
    stack.callback(forget, run_path, "valkey")
    stack.callback(valkey.stop)
    valkey.start(check=_stop_check(signals), started=lambda pid: remember(run_path, "valkey", pid))
    return valkey


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass


def _stop_check(signals: StopSignals) -> Callable[[], None]:
    def check() -> None:
        if signals.asked:
            raise Stopped

    return check


def _environment(settings: Settings) -> dict[str, str]:
    """What the site and the worker are started with: the settings as resolved here, and .venv first on the PATH."""
    programs = Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "SECRET_KEY": settings.secret_key,
        "INSTANCE_PATH": str(settings.instance_path),
        "WEB_PORT": str(settings.web_port),
        "SOCKET_PORT": str(settings.socket_port),
        "BIND": settings.bind,
    }


def _migrate(environment: dict[str, str], settings: Settings, signals: StopSignals, run_path: Path) -> None:
    """Bring the tables up to date. Raises LaunchError with the last line of what went wrong."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi:app", "db", "upgrade"],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signum=15),
        )
        remember(run_path, "migrate", process.pid)
        while process.poll() is None:
            if signals.asked:
                process.terminate()
                process.wait()
                forget(run_path, "migrate")
                raise Stopped
            time.sleep(0.02)
        forget(run_path, "migrate")
        if process.returncode:
            output.seek(0)
            log = run_path / "migrate.log"
            log.write_bytes(output.read())
            lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise LaunchError(f"the migrations failed: {lines[-1] if lines else 'no reason given'} (more in {log})")


def _first_start(settings: Settings) -> _NewAdmin:
    engine = db.make_engine(settings.database_url)
    try:
        db.bind(engine)
        with db.transaction() as session:
            admin = prepare(session, admin_email=settings.admin_email)
        return _NewAdmin(admin)
    finally:
        engine.dispose()


def _wait_until_ready(supervisor: Supervisor, settings: Settings) -> None:
    """Return when the site and the worker answer, or when everything is being stopped."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind, settings.bind)
    waiting = {"the site": settings.web_port, "the socket worker": settings.socket_port}
    answers = dict.fromkeys(waiting, "no answer")
    deadline = time.monotonic() + READY_SECONDS
    while waiting and not supervisor.is_stopping:
        for name, port in list(waiting.items()):
            answers[name] = _health(host, port)
            if answers[name] == "":
                del waiting[name]
        if waiting and time.monotonic() > deadline:
            supervisor.fail("; ".join(f"{name} is not ready: {answers[name]}" for name in waiting))
        time.sleep(0.1)


def _health(host: str, port: int) -> str:
    """Empty when all is well, else what is wrong."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/_health")
        response = connection.getresponse()
        body = response.read(500).decode("utf-8", "replace").strip()
        return "" if response.status == 200 else f"status {response.status} {body}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()


def _banner(settings: Settings, valkey: Valkey | None, admin: _NewAdmin) -> str:
    lines = [
        "",
        "The network is running.",
        "",
        f"  Site           {settings.public_url}/",
        f"  Socket         {settings.socket_url}",
        f"  Data           {settings.instance_path}{'' if settings.is_sqlite else ' and the database of DATABASE_URL'}",
        f"  Redis          {'private (Valkey)' if valkey else 'the server of REDIS_URL'}",
        *admin.lines(),
        "",
        "  Ctrl-C stops it; the data stays.",
        "",
    ]
    return "\n".join(lines)
