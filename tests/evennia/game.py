"""Create and run an Evennia game in its own folder, and talk to it by telnet as its superuser."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from pathlib import Path

from tests.support.processes import free_port
from tests.support.waiting import wait_until

SUPERUSER = "keeper"
PASSWORD = "of-the-realm-1"

SETTINGS = """
# What this test needs beyond Evennia's defaults.
TELNET_PORTS = [{telnet}]
WEBSERVER_PORTS = [({web}, {proxied})]
WEBSOCKET_CLIENT_PORT = {websocket}
AMP_PORT = {amp}
GRAPEVINE_ENABLED = True
GRAPEVINE_CHANNELS = ["gossip"]
GRAPEVINE_CLIENT_ID = "{client_id}"
GRAPEVINE_CLIENT_SECRET = "{client_secret}"
"""

PLUGIN = '''"""The portal loads this at its start; it sets the network's address for the Grapevine client."""

from evennia.server.portal import grapevine

grapevine.GRAPEVINE_URI = "{url}"


def start_plugin_services(portal):
    """Evennia calls this; there is nothing else to start."""
'''


class EvenniaGame:
    """One game.

    Args:
        programs: The folder that holds `evennia` and `python` of Evennia's environment.
        folder: Where the game's own folder is created.
    """

    def __init__(self, programs: Path, folder: Path, *, url: str, client_id: str, client_secret: str) -> None:
        self._programs = programs
        self.folder = folder / "realm"
        self.port = free_port()
        self._run("--init", "realm", cwd=folder)
        ports = {name: free_port() for name in ("web", "proxied", "websocket", "amp")}
        with (self.folder / "server/conf/settings.py").open("a") as file:
            file.write(SETTINGS.format(telnet=self.port, client_id=client_id, client_secret=client_secret, **ports))
        (self.folder / "server/conf/portal_services_plugins.py").write_text(PLUGIN.format(url=url))
        self._run("migrate")

    def start(self, *, seconds: float = 600.0) -> None:
        """Start portal and server. The server creates the superuser.

        `evennia start` gives the portal ten seconds to come up, and starts no server if that was not enough. Calling it
        again starts what is missing.
        """
        deadline = time.monotonic() + seconds
        while not _has_server(output := self._run("start", check=False)):
            print("evennia start:", output)
            if time.monotonic() > deadline:
                raise AssertionError(f"Evennia did not start within {seconds:g} s:\n{self.describe()}")
            self._wait_for_portal()

    def wait_until_set_up(self, *, seconds: float = 600.0) -> None:
        """Wait for the second start of the server: the first one creates the superuser and Limbo, and ends.

        That takes half a minute on an idle machine, and several minutes on a busy one.
        """
        try:
            wait_until(lambda: "restarted in 'reset' mode" in self.logs(), seconds=seconds, what="Evennia is set up")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None

    def stop(self) -> None:
        """Stop both."""
        self._run("stop", check=False)

    def describe(self) -> str:
        """Return which of the two run, the load of the machine, and the end of each log."""
        load = "load: " + " ".join(f"{average:.1f}" for average in os.getloadavg())
        tails = [f"{path.name}:\n{path.read_text()[-3000:]}" for path in self._log_paths()]
        return "\n".join([self._run("status", check=False), load, *tails])

    def logs(self) -> str:
        """Return everything that portal and server have logged."""
        return "\n".join(path.read_text() for path in self._log_paths())

    def _log_paths(self) -> list[Path]:
        return sorted((self.folder / "server/logs").glob("*.log"))

    def _wait_for_portal(self) -> None:
        """Wait while the portal is coming up, so that no second one is started. Gives up on one that has died."""
        try:
            wait_until(
                lambda: "Portal: RUNNING" in self._run("status", check=False), seconds=120, what="the portal runs"
            )
        except AssertionError as error:
            print(error)

    def _run(self, *arguments: str, cwd: Path | None = None, check: bool = True) -> str:
        environment = {
            **os.environ,
            "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}",
            "EVENNIA_SUPERUSER_USERNAME": SUPERUSER,
            "EVENNIA_SUPERUSER_PASSWORD": PASSWORD,
            "EVENNIA_SUPERUSER_EMAIL": "keeper@example.com",
        }
        done = subprocess.run(
            [str(self._programs / "evennia"), *arguments],
            cwd=cwd or self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        output = f"{done.stdout}\n{done.stderr}"
        if check and done.returncode:
            raise AssertionError(f"evennia {' '.join(arguments)} failed:\n{output}")
        return output


def _has_server(output: str) -> bool:
    """Return whether `evennia start` says that the server runs."""
    return "Server started" in output or "Server is already running" in output


class Telnet:
    """A player's connection. `text` is everything the game has shown, without colours and telnet commands."""

    def __init__(self, port: int, *, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), timeout=1)
                break
            except OSError:
                assert time.monotonic() < deadline, "the game does not answer"
        self._socket.settimeout(0.2)
        self.text = ""

    def say(self, line: str) -> None:
        """Type a line."""
        self._socket.sendall(line.encode() + b"\r\n")

    def insist(self, line: str, expected: str, *, times: int = 20) -> str:
        """Type a line again and again until the game shows the expected text. Returns the line that shows it."""
        for _ in range(times):
            self.say(line)
            try:
                return self.wait_for(expected, seconds=3)
            except AssertionError as missing:
                print(missing)
        raise AssertionError(f"{line!r} never showed {expected!r}, but:\n{self.text}")

    def wait_for(self, expected: str, *, seconds: float = 30.0) -> str:
        """Read until the text appears. Returns the line that contains it, and drops everything up to it."""
        deadline = time.monotonic() + seconds
        while expected not in self.text:
            assert time.monotonic() < deadline, f"{expected!r} was not shown, but:\n{self.text}"
            try:
                data = self._socket.recv(65_536)
            except TimeoutError:
                continue
            assert data, f"the game hung up before {expected!r}:\n{self.text}"
            data = re.sub(rb"\xff[\xfb-\xfe].|\xff\xfa.*?\xff\xf0|\xff[\xf0-\xfa]", b"", data, flags=re.DOTALL)
            self.text += re.sub(r"\x1b\[[0-9;]*m", "", data.decode("utf-8", "replace"))
        before, _, after = self.text.partition(expected)
        line = before.rpartition("\n")[2] + expected + after.partition("\n")[0]
        self.text = after
        return line.strip()
