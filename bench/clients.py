"""Games that cost the load generator little: many fit into one process with asyncio."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PLAYERS = 20
SUPPORTS = ["channels", "players", "tells", "games"]


def masked(frame: dict[str, Any]) -> bytes:
    """Return a client's text frame; the mask is zero, so that the text goes as it is (RFC 6455, section 5.3)."""
    text = json.dumps(frame).encode()
    length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + struct.pack("!H", len(text))
    return b"\x81" + length + b"\0\0\0\0" + text


@dataclass
class Game(asyncio.Protocol):
    """One game's socket, which parses as little as possible."""

    number: int
    credentials: dict[str, str]
    user_agent: str
    channels: Sequence[str] = ("bench",)
    authenticated: asyncio.Event = field(default_factory=asyncio.Event)
    failed: str = ""
    received: bytearray = field(default_factory=bytearray)
    keeps: bool = False  # whether everything received is kept, for whoever looks into it
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake and `authenticate` together."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /socket HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.send(
            {
                "event": "authenticate",
                "payload": {
                    "client_id": self.credentials["client_id"],
                    "client_secret": self.credentials["client_secret"],
                    "supports": SUPPORTS,
                    "channels": list(self.channels),
                    "version": "2.3.0",
                    "user_agent": self.user_agent,
                },
            }
        )

    def send(self, frame: dict[str, Any]) -> None:
        """Send one frame."""
        assert self.transport is not None
        self.transport.write(masked(frame))

    def data_received(self, data: bytes) -> None:
        """Answer heartbeats; notice the answer to `authenticate`."""
        if not self.authenticated.is_set():
            self.received += data
            if b'"status":"success"' in self.received:
                self.authenticated.set()
                if not self.keeps:
                    self.received.clear()
            elif b'"status":"failure"' in self.received:
                self.failed = self.received.decode("utf-8", "replace")
                self.authenticated.set()
        elif self.keeps:
            self.received += data
        if b'"heartbeat"' in data:
            names = [f"player{number}of{self.number}" for number in range(PLAYERS)]
            self.send({"event": "heartbeat", "payload": {"players": names}})


async def open_game(port: int, game: Game) -> None:
    """Connect one game and wait until it is authenticated."""
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: game, "127.0.0.1", port)
    await asyncio.wait_for(game.authenticated.wait(), 120)
    if game.failed:
        raise RuntimeError(game.failed)
