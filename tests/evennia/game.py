"""Makes and runs an Evennia game in a folder of its own, and talks to it by telnet as its superuser."""

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

PLUGIN = '''"""Started with the portal: tells the Grapevine client where the network is."""

from evennia.server.portal import grapevine

grapevine.GRAPEVINE_URI = "{url}"


def start_plugin_services(portal):
    """Evennia calls this; nothing else is to be started."""
'''


class EvenniaGame:
    """One game. programs: the folder that holds `evennia` and `python` of its environment."""

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

    def start(self) -> None:
        """Start portal and server, with the superuser made."""
        self._run("start")

    def wait_until_set_up(self, *, seconds: float = 90.0) -> None:
        """Wait for the second start of the server: its first one makes the superuser and Limbo, and ends."""
        wait_until(lambda: "restarted in 'reset' mode" in self.logs(), seconds=seconds, what="Evennia is set up")

    def stop(self) -> None:
        """Stop both."""
        self._run("stop", check=False)

    def logs(self) -> str:
        """What portal and server have logged."""
        return "\n".join(path.read_text() for path in sorted((self.folder / "server/logs").glob("*.log")))

    def _run(self, *arguments: str, cwd: Path | None = None, check: bool = True) -> None:
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
        if check and done.returncode:
            raise AssertionError(f"evennia {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")


class Telnet:
    """A player's connection. `text` is all that was shown, without colours and telnet commands."""

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

    def insist(self, line: str, wanted: str, *, times: int = 20) -> str:
        """Type a line until the text is shown."""
        for _ in range(times):
            self.say(line)
            try:
                return self.wait_for(wanted, seconds=3)
            except AssertionError as missing:
                print(missing)
        raise AssertionError(f"{line!r} never showed {wanted!r}, but:\n{self.text}")

    def wait_for(self, wanted: str, *, seconds: float = 30.0) -> str:
        """Read until the text is there; returns the line that it is in, and forgets what came before."""
        deadline = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < deadline, f"{wanted!r} was not shown, but:\n{self.text}"
            try:
                data = self._socket.recv(65_536)
            except TimeoutError:
                continue
            assert data, f"the game hung up before {wanted!r}:\n{self.text}"
            data = re.sub(rb"\xff[\xfb-\xfe].|\xff\xfa.*?\xff\xf0|\xff[\xf0-\xfa]", b"", data, flags=re.DOTALL)
            self.text += re.sub(r"\x1b\[[0-9;]*m", "", data.decode("utf-8", "replace"))
        before, _, after = self.text.partition(wanted)
        line = before.rpartition("\n")[2] + wanted + after.partition("\n")[0]
        self.text = after
        return line.strip()
