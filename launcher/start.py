"""The order of a start and of a stop.

A start checks the settings, takes the lock, ends leftovers, and checks the ports and the database. Then it starts
Valkey, migrates, fills a new database, and starts the site, the worker and the gateway. A stop goes the other way
round: Valkey stops last, because the others use it while they shut down.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from launcher import checks
from launcher.errors import LaunchError, Stopped
from launcher.first_start import Admin, prepare
from launcher.processes import end_leftovers, ending_with_launcher, forget, remember
from launcher.supervisor import StopSignals, Supervisor
from launcher.valkey import Valkey
from shared import db
from shared.settings import Settings, SettingsError, embedded_redis_socket
from shared.takeover import Outcome, write_outcome

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
STATUS_STOPPED, STATUS_FAILED, STATUS_SETTINGS = 0, 1, 2


def main() -> int:
    """Run until stopped. Return the exit status: 0 after a requested stop, 2 for a bad setting, otherwise 1."""
    os.chdir(ROOT)
    os.umask(0o077)  # the instance folder holds keys and password hashes
    try:
        return _run(_settings(), StopSignals())
    except Stopped:
        return STATUS_STOPPED
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return STATUS_SETTINGS
    except LaunchError as error:
        print(f"error: {error}", file=sys.stderr)
        return STATUS_FAILED


def _settings() -> Settings:
    """Return the settings, with a port of 0 replaced by a free port, in the environment too."""
    settings = Settings.from_environment()
    for name, port in _ports(settings):
        if port == 0:
            os.environ[name] = str(checks.free_port(settings.bind))
    return Settings.from_environment()


def with_gateway_port(settings: Settings) -> Settings:
    """Return the settings with a free port for the gateway if nobody chose one and the default is in use.

    Two networks on one machine thus need only the ports of their sites and sockets.
    """
    is_chosen = any(os.environ.get(name, "").strip() for name in ("GATEWAY_PORT", "GATEWAY_URL"))
    if is_chosen or checks.is_port_free(settings.bind, settings.gateway_port):
        return settings
    os.environ["GATEWAY_PORT"] = str(checks.free_port(settings.bind))
    print(
        f"Port {settings.gateway_port} is in use, so the gateway listens on port {os.environ['GATEWAY_PORT']}. "
        "Set GATEWAY_PORT to choose one.",
        flush=True,
    )
    return Settings.from_environment()


def _ports(settings: Settings) -> list[tuple[str, int]]:
    """Return what is listened on, by the name of its setting."""
    return [
        ("WEB_PORT", settings.web_port),
        ("SOCKET_PORT", settings.socket_port),
        ("GATEWAY_PORT", settings.gateway_port),
    ]


def _run(settings: Settings, signals: StopSignals) -> int:
    has_own_redis = any(os.environ.get(name, "").strip() for name in ("REDIS_URL", "REDIS_URL_FILE"))
    with ExitStack() as stack:
        stack.enter_context(checks.lock_instance(settings.instance_path))
        run_path = settings.instance_path / "run"
        run_path.mkdir(exist_ok=True)
        for name in end_leftovers(run_path):
            print(f"Ended {name}, which an earlier, killed start had left running.", flush=True)
        settings = with_gateway_port(settings)
        for name, port in _ports(settings):
            checks.require_free_port(name, settings.bind, port)
        checks.require_database(settings)
        if has_own_redis:
            checks.require_redis(settings.redis_url)

        signals.install()
        valkey = None if has_own_redis else _start_valkey(settings, signals, run_path, stack)
        environment = _environment(settings)
        _migrate(environment, signals, run_path)
        admin_lines = _admin_lines(_first_start(settings))
        try:
            return _serve(settings, signals, run_path, environment, valkey, admin_lines)
        finally:  # the password must be seen once, even when the start fails after the admin was created
            if admin_lines:
                print(*admin_lines, sep="\n", flush=True)


def _serve(
    settings: Settings,
    signals: StopSignals,
    run_path: Path,
    environment: dict[str, str],
    valkey: Valkey | None,
    admin_lines: list[str],
) -> int:
    """Run the site, the worker and the gateway until they end. Clears admin_lines once they are printed."""

    def report(outcome: Outcome) -> None:
        write_outcome(settings.instance_path, os.getpid(), outcome)

    supervisor = Supervisor(
        signals,
        run_path,
        prepare_upgrade=lambda: _migrate(environment, signals, run_path),
        report_upgrade=report,
    )

    def watch() -> None:
        _wait_until_ready(supervisor, settings)
        if not supervisor.is_stopping:
            supervisor.print(_banner(settings, has_valkey=valkey is not None, admin_lines=admin_lines))
            admin_lines.clear()
        while valkey and valkey.process and not supervisor.is_stopping:
            if (status := valkey.process.poll()) is not None:
                supervisor.fail(f"valkey ended by itself (status {status})")
            time.sleep(0.2)

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    failure = supervisor.run(ROOT / "Procfile", environment, when_started=watcher.start)
    watcher.join()
    if failure:
        print(f"Stopped: {failure}.", file=sys.stderr, flush=True)
        return STATUS_FAILED
    return STATUS_STOPPED


def _start_valkey(settings: Settings, signals: StopSignals, run_path: Path, stack: ExitStack) -> Valkey:
    """Start the private Valkey; the stack stops it."""
    socket_path = embedded_redis_socket(settings.instance_path)
    valkey = Valkey(socket_path, log_path=run_path / "valkey.log", kept_path=run_path / "valkey.rdb")
    if socket_path.parent != settings.instance_path:
        stack.callback(_remove_if_empty, socket_path.parent)
    stack.callback(forget, run_path, "valkey")
    stack.callback(valkey.stop)
    valkey.start(check=signals.check, started=lambda pid: remember(run_path, "valkey", pid))
    return valkey


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment of the programs: the settings as resolved here, and .venv first in PATH."""
    programs = Path(sys.executable).parent
    return {
        **{name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},  # only the launcher is a unit
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "SECRET_KEY": settings.secret_key,
        "INSTANCE_PATH": str(settings.instance_path),
        "WEB_PORT": str(settings.web_port),
        "SOCKET_PORT": str(settings.socket_port),
        "GATEWAY_PORT": str(settings.gateway_port),
        "BIND": settings.bind,
    }


def _migrate(environment: dict[str, str], signals: StopSignals, run_path: Path) -> None:
    """Bring the tables up to date. Raises LaunchError with the last line of the output."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ending_with_launcher(
                sys.executable, "-m", "flask", "--app", "app.command_line:create_command_app", "db", "upgrade"
            ),
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        remember(run_path, "migrate", process.pid)
        try:
            while process.poll() is None:
                signals.check()
                time.sleep(0.02)
        except Stopped:
            process.terminate()
            process.wait()
            raise
        finally:
            forget(run_path, "migrate")
        if process.returncode:
            output.seek(0)
            log = run_path / "migrate.log"
            log.write_bytes(output.read())
            lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise LaunchError(f"the migrations failed: {lines[-1] if lines else 'no reason given'} (more in {log})")


def _first_start(settings: Settings) -> Admin | None:
    engine = db.make_engine(settings.database_url)
    try:
        db.bind(engine)
        with db.transaction() as session:
            return prepare(session, admin_email=settings.admin_email)
    finally:
        engine.dispose()


def _wait_until_ready(supervisor: Supervisor, settings: Settings) -> None:
    """Return when all programs answer, or when everything is being stopped."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind, settings.bind)
    ports = {
        "the site": settings.web_port,
        "the socket worker": settings.socket_port,
        "the gateway": settings.gateway_port,
    }
    faults = dict.fromkeys(ports, "no answer")
    deadline = time.monotonic() + READY_SECONDS
    while faults and not supervisor.is_stopping:
        for name in list(faults):
            faults[name] = _health_fault(host, ports[name])
            if not faults[name]:
                del faults[name]
        if faults and time.monotonic() > deadline:
            supervisor.fail("; ".join(f"{name} is not ready: {fault}" for name, fault in faults.items()))
        time.sleep(0.1)


def _health_fault(host: str, port: int) -> str:
    """Return what is wrong with a server; an empty string if it is healthy."""
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


def _admin_lines(admin: Admin | None) -> list[str]:
    if admin is None:
        return []
    return [
        "",
        f"  First admin    {admin.username}",
        f"  Password       {admin.password}",
        "                 (shown only once: keep it safe)",
        f"  Email          {admin.email or 'none: set yours under Account, or you cannot reset a lost password'}",
    ]


def _banner(settings: Settings, *, has_valkey: bool, admin_lines: list[str]) -> str:
    lines = [
        "",
        "The network is running.",
        "",
        f"  Site           {settings.public_url}/",
        f"  Socket         {settings.socket_url}",
        f"  Data           {settings.instance_path}{'' if settings.is_sqlite else ' and the database of DATABASE_URL'}",
        f"  Redis          {'private (Valkey)' if has_valkey else 'the server of REDIS_URL'}",
        *admin_lines,
        "",
        "  Ctrl-C stops it; the data stays.",
        "",
        "",
    ]
    return "\n".join(lines)
