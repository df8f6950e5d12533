"""Flood the site and a worker from many addresses, and print how long honest games and readers wait meanwhile.

    python -m bench.floods [--attackers 500] [--each 1] [--honest 50] [--seconds 20] [--addresses 500]

Honest games say a line every two seconds, and the delay is the time until each of the others has it. Honest readers
open a page every two seconds. Once a second a new game connects and authenticates. Each attack is a process of its own,
whose clients come from other loopback addresses and come back whenever the server drops them:

    heads     half a request line to the site
    bodies    a form to the site without its body
    silent    a connection to the worker that sends nothing
    sockets   an upgraded socket of the worker that never authenticates
    messages  the same, with half a message of 60 KB
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from bench.machine import quantile
from bench.stack import ROOT, Stack
from tests.support.servers import RunningSite

EVERY_SECONDS = 2.0
GIVE_UP_SECONDS = 20.0
PAGES = ("/conduct", "/games", "/chat", "/")
UPGRADE = (
    "GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(b'x' * 16).decode()}\r\n\r\n"
).encode()
FORM = (
    b"POST /sign-in HTTP/1.1\r\nHost: x\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"
)
HALF_MESSAGE = b"\x01\xfe" + (60_000).to_bytes(2, "big") + b"mask" + b"x" * 60_000  # a fragment, which is not the last
ATTACKS = {
    "heads": ("site", b"GET / HT"),
    "bodies": ("site", FORM),
    "silent": ("worker", b""),
    "sockets": ("worker", UPGRADE),
    "messages": ("worker", UPGRADE + HALF_MESSAGE),
}

Delays = dict[str, list[float]]


async def attack(port: int, data: bytes, *, clients: int, addresses: int) -> None:
    """Hold connections until this process is killed."""

    async def hold(number: int) -> None:
        source = f"127.{2 + number % addresses // 200}.0.{1 + number % addresses % 200}"
        while True:
            writer = None
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.wait_for(
                    asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)), GIVE_UP_SECONDS
                )
                writer.write(data)
                while await reader.read(1000):
                    pass
            if writer is not None:
                writer.close()
            await asyncio.sleep(0.2)

    await asyncio.gather(*(hold(number) for number in range(clients)))


class Honest:
    """Games that chat, readers of pages, and games that come back.

    Attributes:
        delays: Seconds, by what was waited for. What was given up counts as GIVE_UP_SECONDS.
    """

    def __init__(self, site: RunningSite, socket_url: str, credentials: list[dict[str, str]]) -> None:
        self._site = site
        self._socket_url = socket_url
        self._credentials = credentials
        self.delays: Delays = defaultdict(list)

    async def run(self, seconds: float, count: int) -> None:
        """Play and read for some time."""
        games = [await self._enter(number) for number in range(count)]
        listening = [asyncio.create_task(self._listen(game)) for game in games]
        deadline = time.monotonic() + seconds
        acting = [self._repeat(deadline, 0, lambda: self._come_back(count), every=1.0)]
        for number, game in enumerate(games):
            acting.append(self._repeat(deadline, number / count, partial(self._say, game)))
            acting.append(self._repeat(deadline, number / count, partial(self._read, number)))
        await asyncio.gather(*acting)
        await asyncio.sleep(1)
        for task, game in zip(listening, games, strict=True):
            task.cancel()
            await game.close()

    async def _repeat(
        self, deadline: float, phase: float, act: Callable[[], Awaitable[None]], *, every: float = EVERY_SECONDS
    ) -> None:
        await asyncio.sleep(phase * every)
        while (now := time.monotonic()) < deadline:
            await act()
            await asyncio.sleep(max(0.0, now + every - time.monotonic()))

    async def _enter(self, number: int) -> ClientConnection:
        game = await connect(self._socket_url, open_timeout=GIVE_UP_SECONDS, ping_interval=None)
        credentials = self._credentials[number]
        payload = {
            "client_id": credentials["client_id"],
            "client_secret": credentials["client_secret"],
            "supports": ["channels"],
            "channels": ["gossip"],
            "version": "2.4.0",
        }
        await game.send(json.dumps({"event": "authenticate", "payload": payload}))
        answer = json.loads(await asyncio.wait_for(game.recv(), GIVE_UP_SECONDS))
        assert answer["status"] == "success", answer
        return game

    async def _say(self, game: ClientConnection) -> None:
        line = {"channel": "gossip", "name": "Wren", "message": repr(time.monotonic())}
        await game.send(json.dumps({"event": "channels/send", "payload": line, "ref": "1"}))

    async def _listen(self, game: ClientConnection) -> None:
        async for text in game:
            frame: dict[str, Any] = json.loads(text)
            if frame["event"] == "channels/broadcast":
                self.delays["lines"].append(time.monotonic() - float(frame["payload"]["message"]))
            elif frame["event"] == "heartbeat":
                await game.send(json.dumps({"event": "heartbeat", "payload": {}}))

    async def _come_back(self, number: int) -> None:
        started = time.monotonic()
        try:
            game = await asyncio.wait_for(self._enter(number), GIVE_UP_SECONDS)
        except Exception:
            self.delays["entering"].append(GIVE_UP_SECONDS)
            return
        self.delays["entering"].append(time.monotonic() - started)
        await game.close()

    async def _read(self, number: int) -> None:
        started = time.monotonic()
        try:
            await asyncio.wait_for(self._get(PAGES[number % len(PAGES)]), GIVE_UP_SECONDS)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, AssertionError):
            self.delays["pages"].append(GIVE_UP_SECONDS)
            return
        self.delays["pages"].append(time.monotonic() - started)

    async def _get(self, path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._site.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        page = await reader.read()
        writer.close()
        assert page.startswith(b"HTTP/1.1 200 "), page[:100]


def measure(options: argparse.Namespace, attack_name: str | None) -> Delays:
    """Return the delays during one attack on a fresh network, or without one."""
    with Stack(RATE_LIMITS="on", ADDRESS_SOCKETS="256", GAME_SOCKETS="20", WEB_CONCURRENCY="1") as stack:
        stack.flask("channel", "create", "gossip", "--visible")
        credentials = stack.games(options.honest + 1)
        worker = stack.worker()
        site = RunningSite(stack.settings)
        site.wait_until_ready()
        attacker = None
        try:
            if attack_name is not None:
                port = {"site": site.port, "worker": worker.port}[ATTACKS[attack_name][0]]
                numbers = [str(options.attackers * options.each), str(options.addresses), str(port)]
                attacker = subprocess.Popen(
                    [sys.executable, "-m", "bench.floods", "--attack", attack_name, *numbers], cwd=ROOT
                )
                time.sleep(3)  # time is the subject: honest clients meet an attack in full swing
            honest = Honest(site, worker.url, credentials)
            try:
                asyncio.run(honest.run(options.seconds, options.honest))
            except (OSError, TimeoutError) as error:
                print(f"{attack_name}: the games could not connect: {error!r}")
            return honest.delays
        finally:
            if attacker is not None:
                attacker.kill()
                attacker.wait()
            site.stop()


def main() -> None:
    """Run the attacks one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--attackers", type=int, default=500)
    parser.add_argument("--each", type=int, default=1, help="connections of each attacker")
    parser.add_argument("--honest", type=int, default=50, help="games, and readers")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--addresses", type=int, default=500, help="addresses of the attackers")
    parser.add_argument("--only", choices=ATTACKS, action="append", help="only this attack")
    parser.add_argument("--attack", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        name, clients, addresses, port = options.attack
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        asyncio.run(attack(int(port), ATTACKS[name][1], clients=int(clients), addresses=int(addresses)))
        return
    calm: Delays = {}
    print(f"{options.attackers * options.each} connections from {options.addresses} addresses; {os.cpu_count()} cores")
    print(f"{'attack':9} {'waiting for':12} {'count':>6} {'p50 ms':>9} {'p99 ms':>9} {'p50':>8} {'p99':>8}")
    for name in (None, *(options.only or ATTACKS)):
        delays = measure(options, name)
        calm = calm or delays
        for what in ("lines", "entering", "pages"):
            values = delays.get(what) or [GIVE_UP_SECONDS]
            p50, p99 = (quantile(values, share) for share in (0.5, 0.99))
            ratios = [value / quantile(calm[what], share) for value, share in ((p50, 0.5), (p99, 0.99))]
            print(
                f"{name or 'none':9} {what:12} {len(delays.get(what, ())):6} {p50 * 1000:9.1f} {p99 * 1000:9.1f}"
                f" {ratios[0]:7.2f}x {ratios[1]:7.2f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
