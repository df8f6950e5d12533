"""A small server of the protocols 1.0 to 2.3: it has no codes and no history, and does not mark the end of lists."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Collection
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

PLAYERS = {"Riverbend": ["Ann", "Bert"], "Hollow": []}
KNOWN_FLAGS = {"1.0.0": {"channels"}, "2.3.0": {"channels", "players", "tells", "games"}}


class OldServer:
    """Listens at `url`. `frames` has all frames received, `sockets` the authenticated connections that are open."""

    def __init__(
        self,
        version: str = "2.3.0",
        *,
        secret: str = "secret",
        answers: bool = True,
        unanswered: Collection[str] = (),
        tls: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.version = version
        self.secret = secret
        self.answers = answers
        self.unanswered = unanswered
        self.frames: list[dict[str, Any]] = []
        self.sockets: list[ServerConnection] = []
        listener = listener or socket.create_server(("127.0.0.1", 0))
        self._server: Server = serve(self._serve, sock=listener, ssl=tls)
        scheme = "ws" if tls is None else "wss"
        self.url = f"{scheme}://127.0.0.1:{self._server.socket.getsockname()[1]}/socket"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self.drop()

    def drop(self) -> None:
        """Cut every connection without a close frame."""
        for connection in self.sockets:
            try:
                connection.socket.shutdown(2)
            except OSError:
                pass  # it is closed already
        self.sockets.clear()

    def tell(self, event: str, payload: dict[str, Any] | None = None) -> None:
        """Send an event to all clients."""
        for connection in self.sockets:
            _send(connection, event, payload)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the frames of an event received so far."""
        return [frame for frame in list(self.frames) if frame["event"] == name]

    def _serve(self, connection: ServerConnection) -> None:
        try:
            for text in connection:
                frame = json.loads(text)
                self.frames.append(frame)
                self._answer(connection, frame["event"], frame.get("ref"), frame.get("payload") or {})
        except ConnectionClosed:
            pass

    def _answer(self, connection: ServerConnection, event: str, ref: Any, payload: dict[str, Any]) -> None:
        if event == "authenticate":
            if unknown := set(payload["supports"]) - KNOWN_FLAGS[self.version]:
                _send(connection, event, status="failure", error=f"unknown support: {sorted(unknown)[0]}")
            elif payload["client_secret"] != self.secret:
                _send(connection, event, status="failure", error="invalid credentials")
            else:
                self.sockets.append(connection)
                _send(connection, event, {"unicode": "✔️", "version": self.version}, status="success")
                _send(connection, "heartbeat")
        elif not self.answers or event in self.unanswered:
            return
        elif event == "players/status":
            for game, players in PLAYERS.items():
                if payload.get("game") in (None, game):
                    _send(connection, event, {"game": game, "players": players}, ref=ref)
        elif event == "games/status":
            for game in PLAYERS:
                if payload.get("game") in (None, game):
                    _send(
                        connection,
                        event,
                        {"game": game, "display_name": f"The {game}", "player_online_count": 2},
                        ref=ref,
                    )
        elif event == "tells/send":
            _send(connection, event, ref=ref, status="failure", error="game offline")
        elif event == "channels/subscribe" and payload["channel"] == "bad name":
            _send(connection, event, ref=ref, status="failure", error="Could not subscribe to 'bad name'")
        elif event != "heartbeat" and ref is not None:
            _send(connection, event, ref=ref, status="success")


def _send(connection: ServerConnection, event: str, payload: dict[str, Any] | None = None, **more: Any) -> None:
    frame = {"event": event, **more} | ({} if payload is None else {"payload": payload})
    connection.send(json.dumps({key: value for key, value in frame.items() if value is not None}))
