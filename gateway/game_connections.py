"""Opens connections to games. The host's name is resolved once, and only public addresses are connected to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from shared.public_addresses import is_public
from shared.services.play import ProofFailure, is_port_allowed

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 10.0
RESOLVERS = 8
MAX_ADDRESSES = 3
READ_BYTES = 16 * 1024


class ConnectFailed(Exception):
    """The game cannot be reached. The text is a sentence for players, without a full stop."""

    def __init__(self, failure: ProofFailure, text: str) -> None:
        super().__init__(text)
        self.failure = failure
        self.text = text


class GameConnections:
    """Resolves and connects.

    Args:
        allows_private: Whether addresses that are not public are connected to.
        own_ports: The ports that this network listens on.
    """

    def __init__(self, *, allows_private: bool, own_ports: Collection[int]) -> None:
        self._allows_private = allows_private
        self.own_ports = set(own_ports)
        self._resolvers = ThreadPoolExecutor(RESOLVERS, "resolve")  # a broken name server must not block other threads

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Built once, since it reads all of the system's certificates."""
        return ssl.create_default_context()

    async def resolve(self, host: str) -> list[str]:
        """Return the addresses of a host, all of them public. Raises ConnectFailed."""
        loop = asyncio.get_running_loop()
        lookup = loop.run_in_executor(self._resolvers, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        try:
            rows = await asyncio.wait_for(lookup, RESOLVE_SECONDS)
        except (OSError, UnicodeError, TimeoutError):
            raise ConnectFailed(ProofFailure.UNKNOWN_NAME, "the game's host has no address at the moment") from None
        addresses = list(dict.fromkeys(str(row[4][0]) for row in rows))
        if not self._allows_private and not all(map(is_public, addresses)):
            raise ConnectFailed(ProofFailure.NOT_PUBLIC, "the game's host is not on the public internet")
        return addresses[:MAX_ADDRESSES]

    async def open(self, host: str, port: int, *, is_tls: bool) -> tuple[StreamReader, StreamWriter]:
        """Connect to a game. Raises ConnectFailed."""
        return await self.open_address(await self.resolve(host), port, tls_name=host if is_tls else None)

    async def open_address(
        self, addresses: list[str], port: int, *, tls_name: str | None
    ) -> tuple[StreamReader, StreamWriter]:
        """Connect to the first address that answers. Raises ConnectFailed.

        Args:
            addresses: As `resolve` has returned them.
            tls_name: The name that the certificate must be valid for. None for a connection without TLS.
        """
        if not is_port_allowed(port, self.own_ports):
            raise ConnectFailed(ProofFailure.PORT, "the gateway does not connect to this port")
        failure = ConnectFailed(ProofFailure.UNREACHABLE, "the game does not answer")
        for address in addresses:
            opening = asyncio.open_connection(
                address,
                port,
                limit=READ_BYTES,
                ssl=self._tls if tls_name else None,
                server_hostname=tls_name,
            )
            try:
                return await asyncio.wait_for(opening, CONNECT_SECONDS)
            except ssl.SSLError:
                failure = ConnectFailed(
                    ProofFailure.CERTIFICATE, "the game's certificate is not valid, so the connection would not be safe"
                )
            except (OSError, TimeoutError):
                continue
        raise failure

    def close(self) -> None:
        """Stop resolving."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)
