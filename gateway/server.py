"""The gateway's server: the play socket, and `/_health` and `/metrics` on the same port."""

from __future__ import annotations

import asyncio
import http
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from gateway.crawler import Crawler
from gateway.game_connections import GameConnections
from gateway.play.sessions import NO_CAPS, Caps, Sessions
from gateway.play.socket import PlaySocket
from gateway.proofs import Proofs, make_resolver
from shared import __version__, db
from shared.bus import Bus
from shared.origins import site_origins
from shared.settings import Settings

PLAY_PATH = "/play-socket"
MESSAGE_BYTES = 32 * 1024
SOCKETS_PER_ADDRESS = 50
OPEN_SECONDS = 10.0
PING_SECONDS = 20.0
GOODBYE_SECONDS = 2.0

_log = structlog.get_logger(__name__)


class Gateway:
    """All parts of the gateway."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine = db.make_engine(settings.database_url)
        db.bind(self._engine)
        self._connections = GameConnections(
            allows_private=settings.check_private_addresses,
            own_ports=[settings.web_port, settings.socket_port],
        )
        self.sessions = Sessions(
            self._connections,
            signing_keys=settings.signing_keys,
            caps=Caps() if settings.rate_limits else NO_CAPS,
        )
        self._bus = Bus(settings.redis_url)
        self._proofs = Proofs(self._connections, self._bus, make_resolver())
        self._crawler = Crawler(self._connections)
        self._play = PlaySocket(self.sessions)
        self._origins = site_origins(settings.public_url)
        self._sockets_by_address: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._server: WebSocketServer | None = None

    async def start(self) -> int:
        """Listen. Return the port."""
        self._server = await serve(
            self._serve,
            self._settings.bind,
            self._settings.gateway_port,
            process_request=self._process_request,
            compression=None,  # it would need more memory than everything else of a session
            max_size=MESSAGE_BYTES,
            open_timeout=OPEN_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            server_header=None,
        )
        jobs = (self.sessions.sweep, self._proofs.run, self._crawler.run)
        self._tasks = [asyncio.create_task(job()) for job in jobs]
        port = int(next(iter(self._server.sockets)).getsockname()[1])
        self._connections.own_ports.add(port)
        _log.info("listening", port=port)
        return port

    async def stop(self) -> None:
        """Tell every page, close everything, and return when all of it is closed."""
        assert self._server is not None
        self.sessions.end_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        deadline = time.monotonic() + GOODBYE_SECONDS
        while self._sockets_by_address and time.monotonic() < deadline:  # pages are told why their session has ended
            await asyncio.sleep(0.02)
        self._server.close(code=1012, reason="the gateway is restarting")
        await self._server.wait_closed()
        self._connections.close()
        self._bus.redis.close()
        self._engine.dispose()

    async def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/_health":
            return await self._health()
        if path == "/metrics":
            return _respond(http.HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", self._metrics())
        if path != PLAY_PATH:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "There is nothing here.\n")
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._origins:
            return connection.respond(http.HTTPStatus.FORBIDDEN, "This page is not of this network.\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        address = self._address_of(socket)
        count = self._sockets_by_address.get(address, 0)
        if self._settings.rate_limits and count >= SOCKETS_PER_ADDRESS:
            await socket.close(1013, "too many connections from this address")
            return
        self._sockets_by_address[address] = count + 1
        try:
            await self._play.serve(socket, address)
        finally:
            self._sockets_by_address[address] -= 1
            if not self._sockets_by_address[address]:
                del self._sockets_by_address[address]

    def _address_of(self, socket: ServerConnection) -> str:
        assert socket.request is not None
        headers = socket.request.headers
        return self._settings.gateway_proxies.client_address(
            str(socket.remote_address[0]),
            forwarded_for=", ".join(headers.get_all("X-Forwarded-For")),
            forwarded=", ".join(headers.get_all("Forwarded")),
        )

    async def _health(self) -> Response:
        is_database_up = await asyncio.to_thread(_is_database_up)
        report = {
            "status": "ok" if is_database_up else "down",
            "version": __version__,
            "database": "ok" if is_database_up else "down",
        }
        status = http.HTTPStatus.OK if is_database_up else http.HTTPStatus.SERVICE_UNAVAILABLE
        return _respond(status, "application/json", msgspec.json.encode(report))

    def _metrics(self) -> bytes:
        registry = CollectorRegistry()
        for name, meaning, value in (
            ("sessions", "Play sessions open now", len(self.sessions)),
            ("pages", "Pages connected now", sum(self._sockets_by_address.values())),
            ("sessions_opened", "Play sessions opened since the start", self.sessions.opened),
            ("sessions_refused", "Play sessions refused since the start", self.sessions.refused),
            ("games_asked", "Games asked about themselves since the start", self._crawler.asked),
            ("games_answered", "Games that have answered since the start", self._crawler.answered),
            ("proofs_checked", "Addresses checked for a proof since the start", self._proofs.checked),
        ):
            Gauge(f"gateway_{name}", meaning, registry=registry).set(value)
        return generate_latest(registry)


async def run(settings: Settings, ready: Callable[[], None], until: Callable[[], Awaitable[object]]) -> None:
    """Run the gateway until `until` returns. ready: called when it listens."""
    gateway = Gateway(settings)
    await gateway.start()
    ready()
    await until()
    await gateway.stop()


def _is_database_up() -> bool:
    try:
        with db.reading() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def _respond(status: http.HTTPStatus, content_type: str, body: bytes) -> Response:
    headers = Headers({"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, body)
