"""A gateway in this process, scripted games, and pages. All of them run in one event loop."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from gateway import server
from gateway.play import sessions
from gateway.server import Gateway
from shared import db, play_tokens
from shared.db import utc_now
from shared.services import play
from shared.services.authority import actors
from shared.services.play import Proof

SECONDS = 10.0


class Page:
    """The page's end of a play socket. Confirms what it receives, unless told otherwise."""

    def __init__(self, socket: ClientConnection, *, confirms: bool = True) -> None:
        self.socket = socket
        self.session = ""
        self.position = 0
        self.text = ""
        self.messages: list[dict[str, Any]] = []
        self._confirms = confirms

    async def send(self, event: str, **payload: Any) -> None:
        await self.socket.send(json.dumps({"event": event, **payload}))

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(self.socket.recv(), SECONDS))
        self.messages.append(message)
        if message["event"] == "opened":
            self.session = message["session"]
        elif message["event"] == "resumed":
            self.position = message["position"]
        elif "position" in message:
            assert message["position"] == self.position + 1, (message, self.position)
            self.position = message["position"]
            self.text += message.get("text", "") if message["event"] == "text" else ""
            if self._confirms:
                await self.send("received", position=self.position)
        return message

    async def wait_for(self, event: str) -> dict[str, Any]:
        while (message := await self.receive())["event"] != event:
            assert message["event"] not in ("refused", "ended"), message
        return message

    async def wait_for_end(self) -> dict[str, Any]:
        while (message := await self.receive())["event"] != "ended":
            pass
        return message

    async def wait_for_text(self, text: str) -> None:
        while text not in self.text:
            await self.receive()


class Game:
    """A scripted game. script: what it does with each connection; afterwards it reads on until the end."""

    def __init__(self, script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]) -> None:
        self._script = script
        self.connections = 0
        self.received = b""
        self.closed = asyncio.Event()
        self.got = asyncio.Event()
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writer = writer
        try:
            await self._script(reader, writer)
            while data := await reader.read(4096):
                self.received += data
                self.got.set()
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()
            self.closed.set()

    async def wait_for(self, content: bytes) -> None:
        while content not in self.received:
            self.got.clear()
            await asyncio.wait_for(self.got.wait(), SECONDS)


def says(*parts: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return a script that sends these parts."""

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        await writer.drain()

    return script


class World:
    """A network with one owner, and what tests do on it."""

    def __init__(self, settings: Any, stored: Any) -> None:
        self.settings = settings
        self.stored = stored
        self.owner = stored.user("keeper")
        self.port = 0
        self.gateway: Gateway

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        self.gateway = Gateway(self.settings)
        self.port = await self.gateway.start()
        try:
            yield self
        finally:
            await self.gateway.stop()

    @asynccontextmanager
    async def game(
        self,
        script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]],
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        is_allowed: bool = True,
        allows_guests: bool = True,
        sends_address: bool = False,
        encoding: str = "utf-8",
        is_asked: bool = False,
    ) -> AsyncIterator[Game]:
        """Run a game that can be played: registered, allowed and proved.

        Args:
            is_asked: Whether the crawler may connect to it too.
        """
        game = Game(script)
        listener = await asyncio.start_server(game.serve, "127.0.0.1", 0, ssl=tls)
        game.port = port or listener.sockets[0].getsockname()[1]
        record = self.stored.game(owner=self.owner)
        way = self.stored.connection(record, type="secure telnet" if tls else "telnet", host=host, port=game.port)
        game.id, game.short_name, game.way_id = record.id, record.short_name, way.id
        with db.transaction() as session:
            actor = actors.of_user(session, self.owner.id)
            play.set_switches(
                session,
                actor,
                short_name=record.short_name,
                is_allowed=is_allowed,
                allows_guests=allows_guests,
                sends_address=sends_address,
                is_asked=is_asked,
            )
            play.set_encoding(session, actor, connection_id=way.id, encoding=encoding)
            play.ask_for_proof(session, actor, connection_id=way.id, now=utc_now())
            (task,) = play.take_proofs(session, now=utc_now(), at_most=1)
            play.finish_proof(session, task, proof=Proof.DNS, failure=None, now=utc_now())
        try:
            yield game
        finally:
            listener.close()

    def token(self, game: Game, user: Any = None, session_number: str = "") -> str:
        account = {} if user is None else {"user_id": user.id, "session_token": user.session_token}
        return play_tokens.make_token(
            self.settings.signing_keys, game_id=game.id, session_number=session_number, **account
        )

    @asynccontextmanager
    async def page(self, *, confirms: bool = True, **headers: str) -> AsyncIterator[Page]:
        url = f"ws://127.0.0.1:{self.port}/play-socket"
        async with connect(url, additional_headers=headers, proxy=None, compression=None) as socket:
            yield Page(socket, confirms=confirms)

    @asynccontextmanager
    async def playing(
        self, game: Game, user: Any = None, *, confirms: bool = True, **options: Any
    ) -> AsyncIterator[Page]:
        """Open a session, and wait until the game has answered."""
        async with self.page(confirms=confirms) as page:
            await page.send("open", token=self.token(game, user), **options)
            await page.wait_for("opened")
            yield page

    @asynccontextmanager
    async def resuming(self, session: str, position: int) -> AsyncIterator[Page]:
        async with self.page() as page:
            page.session = session
            await page.send("resume", session=session, position=position)
            yield page

    async def refusal(self, token: str, **options: Any) -> str:
        """Try to open a session. Return the code of the refusal."""
        async with self.page() as page:
            await page.send("open", token=token, **options)
            return (await page.receive()).get("code", "opened")


@pytest.fixture
def world(make_settings, stored, monkeypatch) -> World:
    """Addresses of this machine count as public, and what is checked now and then is checked often."""
    monkeypatch.setattr(sessions, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(server, "make_resolver", lambda: None)
    return World(make_settings(CHECK_PRIVATE_ADDRESSES="on", PUBLIC_URL="http://127.0.0.1:4100"), stored)
