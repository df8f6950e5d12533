"""A proxy for TCP and Unix sockets that can cut the connections which go through it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CHUNK = 65_536

Address = Path | int
"""A Unix socket, or a port of 127.0.0.1."""


class Proxy:
    """Forwards each connection to one of the targets.

    Args:
        targets: Returns the addresses to try, in this order.
    """

    def __init__(self, targets: Callable[[], list[Address]]) -> None:
        self._targets = targets
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def listen(self, address: Address = 0) -> int:
        """Listen on a path or a port, 0 for a free one. Return the port."""
        if isinstance(address, Path):
            self._server = await asyncio.start_unix_server(self._accept, str(address))
            address.chmod(0o777)
            return 0
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", address)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self, share: float, choices: random.Random) -> int:
        """Cut this share (0 to 1) of the connections. Return their number."""
        cut = [writer for writer in self._open.values() if choices.random() < share]
        for writer in cut:
            writer.transport.abort()
        return len(cut)

    async def close(self) -> None:
        """Stop listening, and cut everything."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._open.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for target in self._targets():
            try:
                if isinstance(target, Path):
                    ends = await asyncio.open_unix_connection(str(target))
                else:
                    ends = await asyncio.open_connection("127.0.0.1", target)
                break
            except OSError:
                continue
        else:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(self._copy(reader, ends[1]), self._copy(ends[0], writer))
        finally:
            writer.transport.abort()
            ends[1].transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward until either end is gone, then end the other direction too, once it has sent what is left."""
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                writer.write(data)
                await writer.drain()
        writer.close()
