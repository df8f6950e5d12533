"""The servers that the worker is compared with. `install` puts those of Debian and npm into `installed/`."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bench.load import GOSSIP
from bench.machine import compile_c
from bench.servers.base import Server, simple, with_redis

HERE = Path(__file__).resolve().parent
DEBIAN = HERE / "installed" / "debian"
NODE = HERE / "installed" / "node"
LIBRARIES = f"{DEBIAN}/usr/lib/{platform.machine()}-linux-gnu:{DEBIAN}/lib/{platform.machine()}-linux-gnu"
INSTALL = "run bench/servers/install"

# It does not start without a listener that is not for WebSockets, and a root's folder is closed to other users.
MOSQUITTO = """
user root
listener 0 {folder}/mqtt.sock
listener {port} 127.0.0.1
protocol websockets
allow_anonymous true
max_queued_messages 0
persistence false
log_type error
"""
NATS = """
listen: "127.0.0.1:-1"
websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}
"""
NGIRCD = """
[Global]
Name = irc.bench.example
Listen = 127.0.0.1
Ports = {port}
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxNickLength = 20
MaxPenaltyTime = 0
[Options]
DNS = no
Ident = no
PAM = no
"""


def limits(folder: Path) -> list[Server]:
    """Return the C servers: the least that a server can do, with and without joining frames."""

    def start(*options: str) -> Callable[[], object]:
        return lambda: simple(folder, lambda port: [str(compile_c("climit", folder)), str(port), *options])

    compiler = lambda: _first_line("gcc", "--version")  # noqa: E731
    return [
        Server("c_one", "C, one send per delivery", start(), GOSSIP, compiler),  # type: ignore[arg-type]
        Server("c_joined", "C, pending frames joined", start("batch"), GOSSIP, compiler),  # type: ignore[arg-type]
    ]


def others(folder: Path) -> list[Server]:
    """Return the other chat servers, in the order of the table."""
    python, node = sys.executable, shutil.which("node") or "node"
    return [
        Server(
            "naive",
            "gevent-websocket, the obvious way",
            lambda: simple(folder, lambda port: [python, str(HERE / "naive_gevent.py"), str(port)]),
            version=lambda: version("gevent-websocket"),
        ),
        _debian_server(folder, "nats", "nats-server", "WebSocket", ["-c"], NATS, load="nats"),
        _debian_server(
            folder, "mosquitto", "mosquitto", "WebSocket", ["-c"], MOSQUITTO, load="mqtt", version_option="-h"
        ),
        _debian_server(folder, "ngircd", "ngircd", "IRC over TCP", ["-n", "-f"], NGIRCD, load="irc"),
        Server(
            "node_ws",
            "Node ws and ioredis",
            lambda: with_redis(
                folder,
                lambda port, redis: [node, str(HERE / "ws_redis.js"), str(port), str(redis.socket_path)],
                cwd=NODE,
            ),
            version=lambda: f"ws {_node_version('ws')}, ioredis {_node_version('ioredis')}",
            missing=lambda: _missing_package("ws") or _missing_package("ioredis"),
        ),
        Server(
            "socket_io",
            "socket.io",
            lambda: simple(folder, lambda port: [node, str(HERE / "socket_io.js"), str(port)], cwd=NODE),
            load=("--proto", "socketio"),
            version=lambda: _node_version("socket.io"),
            missing=lambda: _missing_package("socket.io"),
        ),
        Server(
            "asyncio",
            "Python websockets and Redis (asyncio)",
            lambda: with_redis(
                folder, lambda port, redis: [python, str(HERE / "asyncio_redis.py"), str(port), redis.url]
            ),
            version=lambda: f"websockets {version('websockets')}",
        ),
    ]


def _debian_server(
    folder: Path,
    key: str,
    program: str,
    transport: str,
    options: list[str],
    config: str,
    *,
    load: str,
    version_option: str = "--version",
) -> Server:
    """Return a server of Debian, which takes a file of settings after its options."""

    def command(port: int) -> list[str]:
        return [_debian(program), *options, _config(folder, config, port)]

    return Server(
        key,
        f"{program} ({transport})",
        lambda: simple(folder, command, library_path=LIBRARIES),
        load=("--proto", load),
        version=lambda: _first_line(_debian(program), version_option),
        missing=lambda: _missing_program(program),
    )


def _debian(name: str) -> str:
    """Return the path of a program: the machine's own, or the one that `install` has unpacked."""
    unpacked = DEBIAN / "usr" / "sbin" / name
    return str(unpacked) if unpacked.exists() else shutil.which(name) or name


def _config(folder: Path, text: str, port: int) -> str:
    path = folder / "server.conf"
    path.write_text(text.format(port=port, folder=folder))
    return str(path)


def _missing_program(name: str) -> str:
    return "" if shutil.which(_debian(name)) else f"not installed ({INSTALL})"


def _missing_package(name: str) -> str:
    if shutil.which("node") is None:
        return "Node.js is not installed"
    return "" if (NODE / "node_modules" / name).exists() else f"not installed ({INSTALL})"


def _node_version(package: str) -> str:
    text = (NODE / "node_modules" / package / "package.json").read_text()
    match = re.search(r'"version":\s*"([^"]+)"', text)
    return match[1] if match else ""


def _first_line(*command: str) -> str:
    environment = {"LD_LIBRARY_PATH": LIBRARIES, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0]
