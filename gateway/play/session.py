"""One play session: reads from the game, keeps what the page needs, and sends what the player types."""

from __future__ import annotations

import asyncio
import secrets
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

from gateway.game_connections import READ_BYTES
from gateway.play import messages as m
from gateway.play.access import Access
from gateway.play.backlog import Backlog
from gateway.telnet import client as telnet
from gateway.telnet.client import TelnetClient, Terminal
from gateway.telnet.parser import DamagedCompression
from shared.encodings import ENCODINGS
from shared.services.play import PlayTarget

LINES_PER_SECOND = 20
LINES_AT_ONCE = 100
WRITE_SECONDS = 30.0  # how long a game may take to read what was sent


class PlaySession:
    """A connection to a game, with or without a page.

    Attributes:
        secret: what a page needs to go on with the session.
        attachment: counts the pages that have taken the session, so that an earlier page knows that it lost it.
        detached_at: since when it has no page, in monotonic time; None while it has one.
        typed_at: when the player last did something.
    """

    def __init__(
        self, target: PlayTarget, access: Access, terminal: Terminal, reader: StreamReader, writer: StreamWriter
    ) -> None:
        self.target = target
        self.access = access
        self.secret = secrets.token_urlsafe(24)
        self.backlog = Backlog()
        self.attachment = 0
        self.detached_at: float | None = None
        self.typed_at = time.monotonic()
        self.is_hidden = False
        self.has_ended = False
        self._client = TelnetClient(terminal)
        self._reader = reader
        self._writer = writer
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._allowance = float(LINES_AT_ONCE)
        self._allowance_at = time.monotonic()
        self._task = asyncio.create_task(self._run())

    @property
    def encoding(self) -> str:
        """The encoding that is read and written."""
        return self._client.terminal.encoding

    async def messages(self, position: int) -> AsyncIterator[bytes]:
        """Yield the messages after a position, encoded, until the session has ended or another page has taken it."""
        attachment = self.attachment
        while self.attachment == attachment:
            self._changed.clear()
            for number, encoded in self.backlog.after(position):
                yield encoded
                position = number
                if self.attachment != attachment:
                    return
            if position == self.backlog.last:
                if self.has_ended:
                    return
                await self._changed.wait()

    def attach(self) -> int:
        """Give the session to a page. Return its number; the page before loses the session."""
        self.attachment += 1
        self.detached_at = None
        self._changed.set()
        return self.attachment

    def detach(self, attachment: int) -> None:
        """Note that a page has gone, unless another one has the session."""
        if attachment == self.attachment:
            self.detached_at = time.monotonic()

    def confirm(self, position: int) -> None:
        """Note that the page has all messages up to a position. If there is room again, read on."""
        self.backlog.confirm(position)
        if not self.backlog.is_full:
            self._has_room.set()

    async def handle(self, message: m.Incoming) -> None:
        """Do what the page asks for. Waits while the game does not read."""
        if isinstance(message, m.Received):
            self.confirm(message.position)
            return
        if isinstance(message, m.Line):
            await self._wait_for_allowance()
            self.typed_at = time.monotonic()
            self._client.send_line(message.text)
        elif isinstance(message, m.Resize):
            self._client.resize(message.columns, message.rows)
        elif isinstance(message, m.ChooseEncoding) and message.encoding in ENCODINGS:
            self._client.set_encoding(message.encoding)
        elif isinstance(message, m.Close):
            self.end("closed", "you have disconnected")
        await self._flush()

    def end(self, code: str, text: str) -> None:
        """End the session. text: a sentence for the player. The page is told, and the game's connection is closed."""
        if self.has_ended:
            return
        self.has_ended = True
        self._add(lambda position: m.Ended(position, code, text))
        self._task.cancel()
        self._writer.close()

    async def _run(self) -> None:
        """Read from the game until either end is gone."""
        try:
            while data := await self._reader.read(READ_BYTES):
                for event in self._client.receive(data):
                    while self.backlog.is_full:
                        self._has_room.clear()
                        await self._has_room.wait()
                    self._take(event)
                await self._flush()
            self.end("game-closed", "the game has closed the connection")
        except DamagedCompression:
            self.end("unreadable", "the game sent compressed text that is damaged")
        except OSError:
            self.end("game-lost", "the connection to the game was lost")

    def _take(self, event: telnet.Event) -> None:
        if isinstance(event, telnet.Text):
            self._add(lambda position: m.Text(position, event.text))
        elif isinstance(event, telnet.Prompt):
            self._add(m.Prompt)
        elif isinstance(event, telnet.Echo):
            self.is_hidden = event.is_hidden
            self._add(lambda position: m.Echo(position, event.is_hidden))
        elif isinstance(event, telnet.Gmcp):
            self._add(lambda position: m.Gmcp(position, event.package, event.data))
        elif isinstance(event, telnet.Encoding):
            self._add(lambda position: m.EncodingChanged(position, event.encoding))

    def _add(self, make: m.MakeNumbered) -> None:
        self.backlog.add(make)
        self._changed.set()

    async def _flush(self) -> None:
        output = self._client.take_output()
        if not output or self.has_ended:
            return
        self._writer.write(output)
        try:
            await asyncio.wait_for(self._writer.drain(), WRITE_SECONDS)
        except (OSError, TimeoutError):
            self.end("game-lost", "the connection to the game was lost")

    async def _wait_for_allowance(self) -> None:
        """Wait while the player, or a script on the page, sends more than people can type."""
        now = time.monotonic()
        self._allowance = min(LINES_AT_ONCE, self._allowance + (now - self._allowance_at) * LINES_PER_SECOND)
        self._allowance_at = now
        self._allowance -= 1
        if self._allowance < 0:
            await asyncio.sleep(-self._allowance / LINES_PER_SECOND)
