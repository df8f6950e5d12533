"""Looks for the proof that an address is its owner's, when the owner asks for it.

The token may be in DNS, in the game's MSSP or on its login screen. Or the game is connected to our socket from the same
host: only the owner has its credentials.
"""

from __future__ import annotations

import asyncio

import dns.asyncresolver
import dns.exception
import dns.resolver
import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.game_connections import READ_BYTES, ConnectFailed, GameConnections
from gateway.telnet.client import Mssp, TelnetClient, Terminal, Text
from gateway.telnet.parser import DamagedCompression
from shared import __version__, peer_keys
from shared.bus import Bus
from shared.db import transaction, utc_now
from shared.presence import SocketPresence, list_sockets
from shared.services import play
from shared.services.play import Proof, ProofFailure, ProofTask

POLL_SECONDS = 2.0
AT_ONCE = 4
LISTEN_SECONDS = 10.0  # some games show their login screen only after the negotiation
MAX_BYTES = 64 * 1024
DNS_SECONDS = 5.0
DNS_LABEL = "_gossip"
MSSP_VARIABLES = ("GOSSIP", "CONTACT")

_log = structlog.get_logger(__name__)


class Proofs:
    """Takes the checks that owners ask for from the database.

    Args:
        resolver: Asks for TXT records.
    """

    def __init__(self, connections: GameConnections, bus: Bus, resolver: dns.asyncresolver.Resolver | None) -> None:
        self._connections = connections
        self._bus = bus
        self._resolver = resolver
        self.checked = 0

    async def run(self) -> None:
        """Check until this is cancelled."""
        while True:
            try:
                tasks = await asyncio.to_thread(_take)
                await asyncio.gather(*map(self._check, tasks))
            except SQLAlchemyError as error:
                _log.error("proofs of addresses are waiting for the database", error=str(error))
            await asyncio.sleep(POLL_SECONDS)

    async def _check(self, task: ProofTask) -> None:
        proof, failure = await self.find(task)
        self.checked += 1
        _log.info("address checked", connection=task.connection_id, proof=proof, failure=failure)

        def finish() -> None:
            with transaction() as session:
                play.finish_proof(session, task, proof=proof, failure=failure, now=utc_now())

        await asyncio.to_thread(finish)

    async def find(self, task: ProofTask) -> tuple[Proof | None, ProofFailure | None]:
        """Return the proof of an address, or why there is none."""
        try:
            addresses = await self._connections.resolve(task.host)
            if await self._is_on_socket(task, addresses):
                return Proof.SOCKET, None
            if await self._is_in_dns(task):
                return Proof.DNS, None
            tls_name = task.host if task.is_tls else None
            reader, writer = await self._connections.open_address(addresses, task.port, tls_name=tls_name)
        except ConnectFailed as failed:
            return None, failed.failure
        try:
            proof = await asyncio.wait_for(_listen(task, reader, writer), LISTEN_SECONDS)
        except (TimeoutError, OSError, DamagedCompression):
            proof = None
        finally:
            writer.close()
        return proof, None if proof else ProofFailure.NO_TOKEN

    async def _is_on_socket(self, task: ProofTask, addresses: list[str]) -> bool:
        peer = peer_keys.of_game(task.game_id)
        try:
            sockets: list[SocketPresence] = await asyncio.to_thread(list_sockets, self._bus.redis)
        except redis.RedisError:
            return False
        return any(socket.peer == peer and socket.address in addresses for socket in sockets)

    async def _is_in_dns(self, task: ProofTask) -> bool:
        if self._resolver is None:
            return False
        for name in (f"{DNS_LABEL}.{task.host}", task.host):
            try:
                answer = await self._resolver.resolve(name, "TXT", lifetime=DNS_SECONDS)
            except (dns.exception.DNSException, OSError, ValueError):
                continue
            if any(task.token.encode() in b"".join(record.strings) for record in answer):
                return True
        return False


def make_resolver() -> dns.asyncresolver.Resolver | None:
    """Return a resolver with the system's name servers. None if there are none."""
    try:
        return dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return None


async def _listen(task: ProofTask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Proof | None:
    """Read the login screen, and the MSSP if the game offers it. Return the proof as soon as it is there."""
    client = TelnetClient(Terminal(name="GOSSIP-CRAWLER", version=__version__, is_tls=task.is_tls))
    screen, total = "", 0
    while total < MAX_BYTES and (data := await reader.read(READ_BYTES)):
        total += len(data)
        for event in client.receive(data):
            if isinstance(event, Text):
                screen = (screen + event.text)[-MAX_BYTES:]
                if task.token in screen:
                    return Proof.LOGIN_SCREEN
            elif isinstance(event, Mssp):
                values = [value for name in MSSP_VARIABLES for value in event.variables.get(name, [])]
                if any(task.token in value for value in values):
                    return Proof.MSSP
        writer.write(client.take_output())
        await writer.drain()
    return None


def _take() -> list[ProofTask]:
    with transaction() as session:
        return play.take_proofs(session, now=utc_now(), at_most=AT_ONCE)
