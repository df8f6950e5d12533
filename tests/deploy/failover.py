"""`python -m tests.deploy.failover`: what happens to players and visitors when a part of a larger network is lost.

Two sites and two workers behind HAProxy, as in deploy/haproxy; PostgreSQL with a standby; Valkey with a replica and
three Sentinels. Games send a line every third of a second, and a signed-in visitor opens a page all the time. One part
after the other is killed, frozen or promoted. Prints the rows of the table in docs/operating.md, "Several machines".
Takes about three minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import psycopg
import redis

from launcher.valkey import server_program
from shared import db
from tests.deploy.proxies import DEPLOY, HOST, Haproxy, replaced
from tests.support.accounts import unprivileged
from tests.support.client import SocketClient
from tests.support.factory import PASSWORD, Factory
from tests.support.processes import ROOT, ServerProcess, clean_environment, free_port
from tests.support.programs import find_postgres, find_program
from tests.support.servers import SECRET_KEY, RunningSite, RunningWorker
from tests.support.waiting import wait_until

GAMES = 8
LINE_SECONDS = 0.3


class Game:
    """A game that sends numbered lines, and connects again whenever its socket is lost."""

    def __init__(self, name: str, proxy: Haproxy, credentials: Any) -> None:
        self.name, self.proxy, self.credentials = name, proxy, credentials
        self.acknowledged: list[str] = []
        self.failures = self.drops = 0
        self.online_since = 0.0
        self.away_seconds: list[float] = []
        self.is_stopped = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def is_online(self) -> bool:
        return self.online_since > 0

    def _run(self) -> None:
        number, lost_at = 0, 0.0
        while not self.is_stopped:
            client: SocketClient | None = None
            try:
                context = {"context": self.proxy.context}
                client = SocketClient(f"wss://{HOST}:{self.proxy.tls_port}/socket", sslopt=context, seconds=4)
                client.authenticate(self.credentials.client_id, self.credentials.client_secret, channels=["gossip"])
                self.online_since = time.monotonic()
                if lost_at:
                    self.away_seconds.append(self.online_since - lost_at)
                while not self.is_stopped:
                    number += 1
                    text = f"{self.name} {number}"
                    line = {"channel": "gossip", "name": "Ann", "message": text}
                    if client.request("channels/send", line, seconds=20)["status"] == "success":
                        self.acknowledged.append(text)
                    else:
                        self.failures += 1
                    time.sleep(LINE_SECONDS)
            except Exception:
                if self.is_online:
                    self.drops += 1
                    lost_at = time.monotonic()
                self.online_since = 0.0
                time.sleep(0.3)
            finally:
                if client is not None:
                    client.close()


class Visitor:
    """Somebody who signs in once, and then opens a page all the time."""

    def __init__(self, proxy: Haproxy) -> None:
        self.url = f"https://{HOST}:{proxy.tls_port}"
        handlers = (urllib.request.HTTPSHandler(context=proxy.context), urllib.request.HTTPCookieProcessor(CookieJar()))
        self._opener = urllib.request.build_opener(*handlers)
        self.was_signed_out = False
        self.failures = self.pages = 0
        self.is_stopped = False
        token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', self._open("/sign-in"))
        assert token
        form = {"csrf_token": token[1], "login": "visitor", "password": PASSWORD}
        assert "visitor" in self._open("/sign-in", urllib.parse.urlencode(form).encode())
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _open(self, path: str, data: bytes | None = None) -> str:
        request = urllib.request.Request(self.url + path, data, {"Referer": self.url + path})
        text: str = self._opener.open(request, timeout=15).read().decode()
        return text

    def _run(self) -> None:
        while not self.is_stopped:
            try:
                self.was_signed_out = self.was_signed_out or "Sign out" not in self._open("/account")
                self.pages += 1
            except (OSError, urllib.error.URLError):
                self.failures += 1
            time.sleep(0.1)


class PostgresPair:
    """A primary and a streaming standby."""

    def __init__(self, folder: Path) -> None:
        programs = find_postgres()
        assert programs is not None
        self.programs, self.folder = (programs / "initdb").resolve().parent, folder  # with all tools of this version
        self.become = unprivileged(folder, "postgres")
        self.ports = [free_port(), free_port()]
        self._run("initdb", "-D", self._data(0), "-U", "tests", "--auth=trust", "--encoding=UTF8", "--locale=C")
        self.processes = [self._start(0)]
        self._wait(0)
        source = f"postgresql://tests@127.0.0.1:{self.ports[0]}/postgres"
        self._run("pg_basebackup", "-D", self._data(1), "-d", source, "-R", "-c", "fast", "-X", "stream")
        self.processes.append(self._start(1))
        self._wait(1)
        places = "&".join(f"host=127.0.0.1:{port}" for port in self.ports)
        self.url = f"postgresql://tests@/postgres?{places}&target_session_attrs=read-write"
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.libpq_url = f"postgresql://tests@{hosts}/postgres?target_session_attrs=read-write"

    def _data(self, number: int) -> str:
        return str(self.folder / f"data{number}")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, preexec_fn=self.become)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        options = (
            "-k",
            str(self.folder),
            "-c",
            "max_connections=80",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "wal_level=replica",
        )
        return subprocess.Popen(
            [str(self.programs / "postgres"), "-D", self._data(number), "-p", str(self.ports[number]), *options],
            cwd=self.folder,
            stderr=subprocess.DEVNULL,
            preexec_fn=self.become,
        )

    def _wait(self, number: int) -> None:
        def answers() -> bool:
            try:
                psycopg.connect(f"postgresql://tests@127.0.0.1:{self.ports[number]}/postgres").close()
            except psycopg.OperationalError:
                return False
            return True

        wait_until(answers, seconds=30, what="PostgreSQL answers")

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-D", self._data(1), "-w")

    def close(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            process.wait(20)


class ValkeyPair:
    """A primary, a replica and three Sentinels."""

    def __init__(self, folder: Path) -> None:
        self.ports = [free_port(), free_port()]
        self.processes = [self._start(folder, f"valkey{number}", port) for number, port in enumerate(self.ports)]
        for port in self.ports:
            wait_until(lambda port=port: self._answers(port), what="Valkey answers")  # type: ignore[misc]
        with redis.Redis(port=self.ports[1]) as replica:
            replica.execute_command("REPLICAOF", "127.0.0.1", str(self.ports[0]))  # type: ignore[no-untyped-call]
        for number in range(3):
            port = free_port()
            path = folder / f"sentinel{number}.conf"
            path.write_text(
                f"port {port}\ndir {folder}\nsentinel monitor gossip 127.0.0.1 {self.ports[0]} 2\n"
                "sentinel down-after-milliseconds gossip 3000\nsentinel failover-timeout gossip 10000\n"
            )
            self.processes.append(subprocess.Popen([str(server_program()), str(path), "--sentinel"], **_QUIET))
            wait_until(lambda port=port: self._answers(port), what="Sentinel answers")  # type: ignore[misc]

    def _start(self, folder: Path, name: str, port: int) -> subprocess.Popen[bytes]:
        place = folder / name
        place.mkdir()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(place), "--save", "", "--appendonly", "no"]
        return subprocess.Popen([str(server_program()), *options], **_QUIET)

    def _answers(self, port: int) -> bool:
        try:
            with redis.Redis(port=port) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


_QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Network:
    """The whole network, and those who use it."""

    def __init__(self, folder: Path) -> None:
        self.postgres = PostgresPair(folder / "postgres")
        self.valkey = ValkeyPair(folder / "valkey")
        self.redis_proxy_port, tls_port = free_port(), free_port()
        self.settings = {
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_proxy_port}/0",
            "SECRET_KEY": SECRET_KEY,
            "INSTANCE_PATH": str(folder / "instance"),
            "PUBLIC_URL": f"https://{HOST}:{tls_port}",
            "SOCKET_URL": f"wss://{HOST}:{tls_port}/socket",
            "RATE_LIMITS": "off",
            "LOG_FORMAT": "json",
            "SOCKET_PORT": "0",
        }
        self.redis_proxy = self._start_redis_proxy(folder)
        command = [sys.executable, "-m", "flask", "--app", "app.command_line:create_command_app", "db", "upgrade"]
        subprocess.run(command, cwd=ROOT, env=clean_environment(**self.settings), check=True, capture_output=True)
        self.sites = [RunningSite(self.settings), RunningSite(self.settings)]
        self.workers = [RunningWorker(self.settings), RunningWorker(self.settings)]
        for server in (*self.sites, *self.workers):
            server.wait_until_ready()
        self.proxy = Haproxy(
            folder,
            site_port=self.sites[0].port,
            worker_port=self.workers[0].port,
            tls_port=tls_port,
            changes={
                "# server site2 10.0.0.12:4100": f"server site2 127.0.0.1:{self.sites[1].port}",
                "# server worker2 10.0.0.12:4110": f"server worker2 127.0.0.1:{self.workers[1].port}",
            },
        )
        engine = db.make_engine(self.postgres.url.replace("postgresql://", "postgresql+psycopg://"))
        db.bind(engine)
        factory = Factory(db.transaction)
        factory.user("visitor", is_verified=True)
        factory.channel("gossip")
        owner = factory.user("keeper")
        credentials = [factory.game_with_credentials(f"Game{number}", owner=owner)[1] for number in range(GAMES)]
        engine.dispose()
        self.games = [Game(f"Game{number}", self.proxy, each) for number, each in enumerate(credentials)]
        self.visitor = Visitor(self.proxy)
        self.wait_all_online()

    def _start_redis_proxy(self, folder: Path) -> ServerProcess:
        changes = {
            "127.0.0.1:6380": f"127.0.0.1:{self.redis_proxy_port}",
            "10.0.0.21:6379": f"127.0.0.1:{self.valkey.ports[0]}",
            "10.0.0.22:6379": f"127.0.0.1:{self.valkey.ports[1]}",
        }
        path = folder / "redis.cfg"
        path.write_text(replaced((DEPLOY / "haproxy" / "redis.cfg").read_text(), changes))
        program = find_program("haproxy")
        assert program is not None
        return ServerProcess([program, "-db", "-f", str(path)], env=dict(os.environ))

    def wait_all_online(self) -> None:
        wait_until(lambda: all(game.is_online for game in self.games), seconds=60, what="all games are online")

    def restart_worker(self, number: int) -> None:
        self.workers[number] = RunningWorker({**self.settings, "SOCKET_PORT": str(self.workers[number].port)})
        self.workers[number].wait_until_ready()

    def restart_site(self, number: int) -> None:
        port = self.sites[number].port
        site = RunningSite.__new__(RunningSite)
        site.port = port
        env = clean_environment(**self.settings, WEB_PORT=str(port))
        ServerProcess.__init__(site, [sys.executable, "-m", "gunicorn", "wsgi:app"], env=env)
        site.wait_until_ready()
        self.sites[number] = site

    def lost_lines(self) -> list[str]:
        """Return the acknowledged lines that the database does not have."""
        acknowledged = [line for game in self.games for line in list(game.acknowledged)]
        with psycopg.connect(self.postgres.libpq_url) as connection:
            stored = {row[0] for row in connection.execute("SELECT text FROM messages")}
        return [line for line in acknowledged if line not in stored]

    def close(self) -> None:
        self.visitor.is_stopped = True
        for game in self.games:
            game.is_stopped = True
        self.proxy.close()
        for server in (*self.sites, *self.workers, self.redis_proxy):
            server.kill()
        self.valkey.close()
        self.postgres.close()


def report(network: Network, name: str, act: Callable[[], None], *, settle_seconds: float = 4.0) -> None:
    """Do something to the network, wait until all games send lines again, and print one row of the table."""
    visitor = network.visitor
    for game in network.games:
        game.drops = game.failures = 0
        game.away_seconds.clear()
    failures, pages = visitor.failures, visitor.pages
    act()
    time.sleep(settle_seconds)
    network.wait_all_online()
    counts = {game.name: len(game.acknowledged) for game in network.games}
    wait_until(
        lambda: all(len(game.acknowledged) > counts[game.name] for game in network.games), seconds=90, what="lines"
    )
    pages_before = visitor.pages
    wait_until(lambda: visitor.pages > pages_before, seconds=60, what="pages")
    drops = sum(game.drops for game in network.games)
    away = max((seconds for game in network.games for seconds in game.away_seconds), default=0.0)
    failed = visitor.failures - failures
    print(
        f"| {name} | {failed} of {failed + visitor.pages - pages} pages failed; "
        f"{'SIGNED OUT' if visitor.was_signed_out else 'signed in'} | {drops} of {GAMES} sockets lost, back after "
        f"{away:.1f} s at most; {sum(game.failures for game in network.games)} lines refused; "
        f"{len(network.lost_lines())} acknowledged lines missing |",
        flush=True,
    )


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="failover-"))
    for name in ("postgres", "valkey"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    network = Network(folder)
    try:
        report(network, "nothing", lambda: time.sleep(3))
        report(network, "a site is killed", network.sites[0].kill)
        network.restart_site(0)
        report(network, "a worker is killed", network.workers[0].kill, settle_seconds=8)
        network.restart_worker(0)
        time.sleep(3)
        report(network, "a worker is stopped (SIGTERM)", lambda: print(end=str(network.workers[1].stop() or "")))
        network.restart_worker(1)
        time.sleep(3)

        def freeze() -> None:
            network.workers[0].send_signal(signal.SIGSTOP)
            time.sleep(15)
            network.workers[0].send_signal(signal.SIGCONT)

        report(network, "a worker freezes for 15 s", freeze)
        report(network, "the primary Valkey is killed", network.valkey.processes[0].kill, settle_seconds=12)

        def lose_postgres() -> None:
            network.postgres.processes[0].kill()
            time.sleep(5)
            network.postgres.promote()

        report(network, "the primary PostgreSQL is killed; the standby is promoted after 5 s", lose_postgres)
    except BaseException:
        for server in (*network.sites, *network.workers):
            print("\n".join(server.lines[-15:]), file=sys.stderr)
        raise
    finally:
        network.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
