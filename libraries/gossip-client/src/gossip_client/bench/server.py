"""The bench's sockets: accepts the client, answers it, and keeps everything that it does."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from gossip_client.bench import network
from gossip_client.bench.checks import Report
from gossip_client.bench.client_frames import check_authenticate, check_frame, fields_of
from gossip_client.transcripts import Recorder

PATH = "/socket"
LONGEST_MESSAGE = 64 * 1024
FAULTY_CLOSES = {
    1002: "the client violated the WebSocket protocol",
    1007: "the client sent text that is not UTF-8",
    1009: "the client sent a message of more than 64 KiB",
}
"""Closes that the WebSocket library starts."""


@dataclass
class Socket:
    """One connection of the client.

    Attributes:
        supports, channels, version: What it declared. `channels` changes with its subscriptions, and is in lower case.
        heartbeats: The heartbeats that the client has sent.
        requests: Its other frames, with the time at which they came.
        is_ready: Whether it has authenticated, and is open.
        is_cut: Whether the bench ended it without a close frame.
        closed_at: When it ended; None while it is open.
    """

    websocket: ServerConnection
    number: int
    opened_at: float
    supports: list[str] = field(default_factory=list)
    channels: set[str] = field(default_factory=set)
    version: str = "1.0.0"
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    is_ready: bool = False
    is_cut: bool = False
    closed_at: float | None = None


class BenchServer:
    """Listens for the client, in threads of its own.

    Attributes:
        sockets: Every connection of the client so far.
        on_authenticate: What to do with the next `authenticate`: `accept`, `fail` (close with 1011) or `refuse`.
        answer_seconds: How long answers to requests take.
        is_failing: Whether the next request fails, and answers then take `slow_seconds`. It is False again afterwards.
        slow_answers: How many answers are still to be sent.
        failed_requests, slow_requests: The requests that failed, and those that were answered slowly.
    """

    def __init__(self, host: str, port: int, report: Report, recorder: Recorder | None = None) -> None:
        self._report = report
        self._recorder = recorder
        self._news = threading.Condition(threading.RLock())
        self.sockets: list[Socket] = []
        self.on_authenticate = "accept"
        self.answer_seconds = 0.0
        self.slow_seconds = 0.0
        self.is_failing = False
        self.slow_answers = 0
        self.failed_requests: list[dict[str, Any]] = []
        self.slow_requests: list[dict[str, Any]] = []
        self._server: Server = serve(
            self._serve,
            host,
            port,
            process_request=self._check_path,
            compression=None,
            ping_interval=None,
            max_size=LONGEST_MESSAGE,
            server_header=None,
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        """Stop listening, and close every connection."""
        self._server.shutdown()
        for sock in list(self.sockets):
            self.cut(sock)

    def wait(self, condition: Callable[[], Any], seconds: float) -> Any:
        """Wait until the condition is true, or the time is over. Return its value."""
        with self._news:
            return self._news.wait_for(condition, seconds)

    def current(self) -> Socket | None:
        """Return the newest connection that has authenticated and is open."""
        return next((sock for sock in reversed(self.sockets) if sock.is_ready), None)

    def send(self, sock: Socket, frame: dict[str, Any]) -> None:
        """Send a frame. Does nothing if the connection has ended."""
        text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
        text = text.encode("utf-8", "replace").decode()  # a client's `ref` may contain half of a character
        self._note(sock, "text", "server", data=text)
        try:
            sock.websocket.send(text)
        except ConnectionClosed:
            pass

    def close_socket(self, sock: Socket, code: int, reason: str) -> None:
        """Close a connection as the network does."""
        with self._news:
            sock.is_ready = False
        sock.websocket.close(code, reason)

    def cut(self, sock: Socket) -> None:
        """End a connection without a close frame."""
        with self._news:
            sock.is_ready, sock.is_cut = False, True
        try:
            sock.websocket.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def ping(self, sock: Socket, seconds: float) -> bool:
        """Return whether the client answers a ping in time."""
        try:
            return sock.websocket.ping(b"bench").wait(seconds)
        except ConnectionClosed:
            return False

    def _check_path(self, connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        with self._news:
            self._report.record("path", path == PATH, f"it asked for {path}" if path != PATH else "")
        return None if path == PATH else connection.respond(404, f"the socket is at {PATH}\n")

    def _serve(self, websocket: ServerConnection) -> None:
        with self._news:
            sock = Socket(websocket, len(self.sockets) + 1, time.monotonic())
            self.sockets.append(sock)
            self._news.notify_all()
        self._note(sock, "open")
        try:
            for text in websocket:
                self._receive(sock, text)
        except ConnectionClosed:
            pass
        finally:
            with self._news:
                sock.is_ready, sock.closed_at = False, time.monotonic()
                self._news.notify_all()
            self._note_end(sock)

    def _note(self, sock: Socket, kind: str, direction: str = "client", **fields: Any) -> None:
        if self._recorder:
            self._recorder.note(sock.number, direction, kind, **fields)

    def _note_end(self, sock: Socket) -> None:
        protocol = sock.websocket.protocol
        if protocol.close_sent is not None and protocol.close_sent.code in FAULTY_CLOSES:
            self._fault(FAULTY_CLOSES[protocol.close_sent.code])
        if protocol.close_rcvd_then_sent and protocol.close_rcvd is not None:
            self._note(sock, "close", code=protocol.close_rcvd.code, reason=protocol.close_rcvd.reason)
        elif protocol.close_sent is not None:
            self._note(sock, "close", "server", code=protocol.close_sent.code, reason=protocol.close_sent.reason)
        else:
            self._note(sock, "eof", "server" if sock.is_cut else "client")

    def _receive(self, sock: Socket, text: str | bytes) -> None:
        if isinstance(text, bytes):
            self._fault("the client sent a binary message: send text")
            sock.websocket.close(1003, "send text")
            return
        self._note(sock, "text", data=text)
        try:
            frame = json.loads(text.removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            self._fault(f"not JSON: {text[:60]}")
            self.send(sock, network.failure("error", "bench-error", "not JSON", "not-json"))
            return
        if isinstance(frame, dict) and "event" not in frame and "events" in frame:
            frame["event"] = frame["events"]  # which one client sends
        with self._news:
            seconds = self.answer_seconds
            answers = self._handle(sock, frame)
            self._news.notify_all()
            if is_slow := seconds > 0 and answers != []:
                self.slow_answers += 1
        if is_slow:
            threading.Timer(seconds, self._send_slowly, (sock, answers)).start()
            return
        for answer in answers:
            self.send(sock, answer)

    def _send_slowly(self, sock: Socket, answers: list[dict[str, Any]]) -> None:
        for answer in answers:
            self.send(sock, answer)
        with self._news:
            self.slow_answers -= 1
            self._news.notify_all()

    def _handle(self, sock: Socket, frame: Any) -> list[dict[str, Any]]:
        if isinstance(frame, dict) and frame.get("event") == "authenticate":
            return self._authenticate(sock, frame)
        if not sock.is_ready:
            if not sock.supports and sock.closed_at is None:
                self._report.record("authenticate", False, f"it sent {str(frame)[:60]}")
            return []
        for fault in check_frame(frame, sock.supports):
            self._fault(fault.text, fault.is_refused)
        if not isinstance(frame, dict) or not isinstance(frame.get("event"), str):
            return []
        if frame["event"] == "heartbeat":
            sock.heartbeats.append(frame)
            return []
        sock.requests.append((time.monotonic(), frame))
        if self.is_failing and frame.get("ref") is not None:
            self.is_failing, self.answer_seconds = False, self.slow_seconds
            self.failed_requests.append(frame)
            limited = network.failure(frame["event"], frame["ref"], "rate limit exceeded", "rate-limited")
            return [{**limited, "retry_after_ms": 500}]
        if self.answer_seconds and frame.get("ref") is not None:
            self.slow_requests.append(frame)
        return network.answers_to(frame, sock.channels)

    def _authenticate(self, sock: Socket, frame: dict[str, Any]) -> list[dict[str, Any]]:
        if sock.is_ready:
            self._fault("authenticate a second time on one socket")
            return [network.failure("authenticate", frame.get("ref"), "already authenticated", "already-authenticated")]
        faults = check_authenticate(frame)
        for fault in faults:
            self._fault(fault.text, fault.is_refused)
        fields, ref = fields_of(frame), frame.get("ref")
        supports = fields.get("supports")
        sock.supports = [str(flag) for flag in supports] if isinstance(supports, list) else []
        channels = fields.get("channels")
        sock.channels = {str(name).lower() for name in channels} if isinstance(channels, list) else set()
        sock.version = str(fields.get("version", "1.0.0"))
        if any(fault.is_refused for fault in faults) or self.on_authenticate == "refuse":
            self._end_later(sock, network.refuse(ref), 4000, "invalid credentials")
            return []
        if self.on_authenticate == "fail":
            self._end_later(sock, None, 1011, "internal error")
            return []
        sock.is_ready = True
        sock.heartbeats.clear()
        fresh = fields.get("user_agent"), fields.get("version")
        self._report.record("authenticate", True)
        self._report.record("user-agent", isinstance(fresh[0], str) and fresh[0].strip() != "")
        self._report.record("version", fresh[1] is not None)
        return [network.accept(ref), {"event": "heartbeat"}]

    def _end_later(self, sock: Socket, answer: dict[str, Any] | None, code: int, reason: str) -> None:
        """Close the connection from another thread: this one must go on reading, to see the client's close."""

        def end() -> None:
            if answer is not None:
                self.send(sock, answer)
            sock.websocket.close(code, reason)

        threading.Thread(target=end, daemon=True).start()

    def _fault(self, text: str, is_refused: bool = True) -> None:
        with self._news:
            self._report.note(text)
            self._report.record("frames" if is_refused else "habits", False)
