"""Games: their players chat, come and go, and send tells. Every text is unique, so that the checker can follow it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from tests.faults.peer import Credentials, Frame, Peer, now
from tests.faults.recording import SUCCESS, Line, Reader, Received, Recording, Socket

CHANNELS = frozenset({"gossip", "chatter"})
FLAGS = ["channels", "players", "tells", "games"]
PLAYERS = ("Ann", "Bob")
CATCH_UP_SECONDS = 60.0  # docs/protocol.md, section 4: how far back lines may have arrived out of order
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Shelf:
    """One channel's lines as a game shows them. It catches up after a lost connection as docs/protocol.md says."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.is_complete = True
        self._ids: set[int] = set()
        self._arrivals: list[tuple[float, int]] = []  # the time, and the greatest id so far
        self._held: list[Received] = []

    def receive(self, line: Received) -> None:
        """Show a line that was broadcast, or hold it back while earlier lines are being read."""
        if self.is_complete:
            self.show(line)
        else:
            self._held.append(line)

    def show(self, line: Received) -> None:
        """Show a line unless it was shown before."""
        assert line.id is not None
        if line.id in self._ids:
            return
        self._ids.add(line.id)
        if not self._arrivals:
            self.reader.since = now()
        greatest = max(line.id, self._arrivals[-1][1] if self._arrivals else 0)
        self._arrivals.append((now(), greatest))
        self.reader.lines.append(line)

    def begin(self) -> int | None:
        """Return the id after which to read the history; None if no line has arrived yet."""
        self._held.clear()
        self.is_complete = not self._arrivals
        if not self._arrivals:
            return None
        before = self._arrivals[-1][0] - CATCH_UP_SECONDS
        return max((greatest for at, greatest in self._arrivals if at <= before), default=min(self._ids))

    def finish(self) -> None:
        """Show what was held back."""
        self.is_complete = True
        for line in self._held:
            self.show(line)
        self._held.clear()


class Game(Peer):
    """A game with two players who stay and visitors who come and go.

    Args:
        games: The short names of all games, to send tells to.
        has_ids: Whether it speaks version 2.4.0, and so catches up.
        lines_per_second: How much its players say.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        recording: Recording,
        *,
        games: list[str],
        has_ids: bool,
        lines_per_second: float,
        heartbeat_seconds: float,
        seed: int,
    ) -> None:
        super().__init__(url, credentials, heartbeat_seconds=heartbeat_seconds, seed=seed)
        self.visitors: set[str] = set()
        self._recording = recording
        self._games = games
        self._has_ids = has_ids
        self._pause = 1 / lines_per_second
        self._numbers = itertools.count(1)
        self._acting: list[asyncio.Task[None]] = []
        self._socket: Socket | None = None
        self._shelves: dict[str, Shelf] = {}
        if has_ids:
            self._shelves = {channel: Shelf(Reader(self.short_name, channel)) for channel in CHANNELS}
            recording.readers += [shelf.reader for shelf in self._shelves.values()]

    @property
    def players(self) -> set[str]:
        """Who is online in this game."""
        return {*PLAYERS, *self.visitors}

    def speak(self) -> None:
        """Start everything that players do."""
        works = (self._chat(), self._visit(), self._whisper(), self._found_channels())
        self._acting = [self.spawn(work) for work in works]

    def fall_silent(self) -> None:
        """Stop everything that players do. The game stays connected, without visitors."""
        for task in self._acting:
            task.cancel()

    # The connection

    def hello(self) -> dict[str, Any]:
        version = "2.4.0" if self._has_ids else "2.3.0"
        lists = {"channels": sorted(CHANNELS), "players": sorted(self.players)}
        return {"supports": FLAGS, "version": version, "user_agent": f"Faults of {self.short_name}", **lists}

    def heartbeat(self) -> dict[str, Any]:
        return {"players": sorted(self.players)}

    def opened(self) -> None:
        self._socket = self._recording.open_socket(self.short_name, CHANNELS, now())
        for channel, shelf in self._shelves.items():
            after = shelf.begin()
            if after is not None:
                self.spawn(self._catch_up(self.connections, channel, shelf, after))

    def closed(self) -> None:
        assert self._socket is not None
        self._socket.closed_at = now()
        self._socket = None

    def received(self, frame: Frame) -> None:
        assert self._socket is not None
        event, payload = frame["event"], frame.get("payload", {})
        if event == "channels/broadcast":
            line = Received(payload.get("id"), payload["channel"], payload["game"], payload["name"], payload["message"])
            self._socket.lines.append(line)
            if self._has_ids:
                self._shelves[line.channel].receive(line)
        elif event == "tells/receive":
            self._socket.tells.append(payload["message"])
        elif event in ("players/sign-in", "players/sign-out"):
            self._socket.notices.append((event, payload["game"], payload["name"]))
        elif event == "error":
            self._recording.faults.append(f"{self.short_name} received an error: {frame}")

    async def _catch_up(self, connection: int, channel: str, shelf: Shelf, after: int) -> None:
        while self.is_open and self.connections == connection:
            answer = await self.request("channels/history", {"channel": channel, "after": after, "limit": 100})
            if answer is None or self.connections != connection:
                return
            if answer["status"] != "success":
                await asyncio.sleep(1)
                continue
            for message in answer["payload"]["messages"]:
                after = message["id"]
                if message["game"] != self.short_name:
                    shelf.show(Received(message["id"], channel, message["game"], message["name"], message["message"]))
            if not answer["payload"]["more"]:
                shelf.finish()
                return

    # What players do

    async def _chat(self) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * self._pause)
            if self._socket is not None:
                self.spawn(self._say(self._socket.number))

    async def _say(self, socket: int) -> None:
        text = f"{self.short_name} says {next(self._numbers)}"
        channel, player = self.random.choice(sorted(CHANNELS)), self.random.choice(PLAYERS)
        line = Line(text, channel, self.short_name, player, socket, now())
        self._recording.lines[text] = line
        answer = await self.request("channels/send", {"channel": channel, "name": player, "message": text})
        if answer is not None:
            line.answered_at = now()
            line.outcome = SUCCESS if answer["status"] == SUCCESS else answer["code"]

    async def _visit(self) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(1, 5))
            if not self.is_open:
                continue
            name = f"Guest{next(self._numbers)}"
            self.visitors.add(name)
            try:
                await self.request("players/sign-in", {"name": name})
                await asyncio.sleep(self.random.uniform(1, 5))
            finally:
                self.visitors.discard(name)
            await self.request("players/sign-out", {"name": name})

    async def _whisper(self) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(1, 3))
            other = self.random.choice([game for game in self._games if game != self.short_name])
            if self.is_open:
                self.spawn(self._tell(other))

    async def _tell(self, other: str) -> None:
        text = f"{self.short_name} whispers {next(self._numbers)}"
        self._recording.tells[text] = None
        tell = {"from_name": "Ann", "to_game": other, "to_name": "Bob", "message": text}
        answer = await self.request("tells/send", tell)
        if answer is not None:
            self._recording.tells[text] = SUCCESS if answer["status"] == SUCCESS else answer["code"]

    async def _found_channels(self) -> None:
        """Now and then, create a channel by subscribing to it, and leave it again."""
        while True:
            await asyncio.sleep(self.random.uniform(10, 30))
            name = "".join(self.random.choices(LETTERS, k=12))
            answer = await self.request("channels/subscribe", {"channel": name})
            if answer is not None and answer["status"] == SUCCESS:
                self._recording.created_channels.add(name)
                await self.request("channels/unsubscribe", {"channel": name})
