"""A socket client that uses `websocket-client`. It shares no code with the worker, so the two check each other."""

from __future__ import annotations

import json
import socket
import time
import uuid
from typing import Any

import websocket

Frame = dict[str, Any]


class Closed(AssertionError):
    """The worker closed the socket while the test waited for a frame."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"the socket was closed: {code} {reason}")
        self.code = code
        self.reason = reason


class SocketClient:
    """One socket. Keeps all frames of the worker in `frames`, in order, and answers heartbeats."""

    def __init__(self, url: str, *, answers_heartbeats: bool = True, seconds: float = 10.0, **options: Any) -> None:
        self._prepare(answers_heartbeats=answers_heartbeats)
        self._socket = websocket.create_connection(url, timeout=seconds, enable_multithread=True, **options)

    def _prepare(self, *, answers_heartbeats: bool) -> None:
        self.frames: list[Frame] = []
        self.close_code: int | None = None
        self.close_reason = ""
        self.is_closed = False
        self.answers_heartbeats = answers_heartbeats
        self.players: list[str] | None = None
        self._taken: set[int] = set()

    # Outgoing

    def send(self, event: str, payload: Any = None, *, ref: Any = None, **other: Any) -> Any:
        """Send a frame, without `payload` and `ref` if they are None. Return the ref."""
        frame: Frame = {"event": event, **other}
        if payload is not None:
            frame["payload"] = payload
        if ref is not None:
            frame["ref"] = ref
        self.send_text(json.dumps(frame))
        return ref

    def send_text(self, text: str) -> None:
        """Send a text message as it is, JSON or not."""
        self._socket.send(text)

    def send_raw(self, data: bytes, *, opcode: int = websocket.ABNF.OPCODE_TEXT, fin: bool = True) -> None:
        """Send one WebSocket frame of any kind, well-formed or not."""
        self._socket.send_frame(websocket.ABNF(1 if fin else 0, 0, 0, 0, opcode, 1, data))

    def request(self, event: str, payload: Any = None, *, seconds: float = 5.0) -> Frame:
        """Send a frame with a new ref, and return the answer."""
        ref = str(uuid.uuid4())
        self.send(event, payload, ref=ref)
        return self.wait_for(event, seconds=seconds, ref=ref)

    def authenticate(
        self,
        client_id: str,
        client_secret: str,
        *,
        supports: list[str] | None = None,
        channels: list[str] | None = None,
        check: bool = True,
        **payload: Any,
    ) -> Frame:
        """Authenticate, and return the answer, which must be a success unless `check` is False."""
        payload = {
            "client_id": client_id,
            "client_secret": client_secret,
            "supports": ["channels"] if supports is None else supports,
            **({} if channels is None else {"channels": channels}),
            **payload,
        }
        self.send("authenticate", payload)
        answer = self.wait_for("authenticate")
        if check:
            assert answer.get("status") == "success", answer
        return answer

    # Incoming

    def wait_for(self, event: str, *, seconds: float = 5.0, **matching: Any) -> Frame:
        """Return the next frame of this event whose keys match.

        Other frames stay for later calls.

        Args:
            matching: Keys of the frame and their values; for `payload`, the fields that it must have at least.

        Raises:
            Closed: The worker closed the socket first.
        """
        deadline = time.monotonic() + seconds
        position = 0
        while True:
            for index in range(position, len(self.frames)):
                if index not in self._taken and _matches(self.frames[index], event, matching):
                    self._taken.add(index)
                    return self.frames[index]
            position = len(self.frames)
            if self.is_closed:
                raise Closed(self.close_code, self.close_reason)
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"no {event} {matching or ''} within {seconds:g} s; received: {self.frames[-20:]}")

    def wait_closed(self, *, seconds: float = 10.0) -> int | None:
        """Wait until the socket is closed. Return the worker's close code, or None if it sent none."""
        deadline = time.monotonic() + seconds
        while not self.is_closed:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"not closed within {seconds:g} s; received: {self.frames[-20:]}")
            self._read(left)
        return self.close_code

    def settle(self) -> list[Frame]:
        """Send a request, and return the frames that came before its answer. They stay in `frames` too.

        The worker answers in order, so this shows that nothing else came, without waiting for a fixed time.
        """
        before = len(self.frames)
        ref = str(uuid.uuid4())
        self.send("channels/unsubscribe", {"channel": "nobody-is-here"}, ref=ref)
        self.wait_for("channels/unsubscribe", ref=ref)
        return [frame for frame in self.frames[before:] if frame.get("ref") != ref]

    def events(self, event: str) -> list[Frame]:
        """Return all frames of an event received so far."""
        return [frame for frame in self.frames if frame.get("event") == event]

    # The end

    def close(self, code: int = 1000) -> None:
        """Close with a close frame, whatever the state of the socket."""
        try:
            self._socket.close(status=code, timeout=1)
        except (OSError, websocket.WebSocketException):
            pass
        self.is_closed = True

    def drop(self) -> None:
        """Close the connection without a close frame."""
        self._socket.shutdown()
        self.is_closed = True

    @property
    def raw(self) -> socket.socket:
        """The TCP socket below."""
        assert self._socket.sock is not None
        return self._socket.sock

    def _read(self, seconds: float) -> bool:
        """Read one message. Return False if none came in time."""
        if seconds <= 0:
            return False
        self._socket.settimeout(seconds)
        try:
            opcode, data = self._socket.recv_data(control_frame=True)
        except (TimeoutError, websocket.WebSocketTimeoutException):
            return False
        except (OSError, websocket.WebSocketConnectionClosedException):
            self.is_closed = True
            return True
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.is_closed = True
            if len(data) >= 2:
                self.close_code = int.from_bytes(data[:2], "big")
                self.close_reason = data[2:].decode()
            return True
        if opcode != websocket.ABNF.OPCODE_TEXT:
            return True
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        frame = json.loads(data)
        assert isinstance(frame, dict) and isinstance(frame.get("event"), str), f"not a frame: {data!r}"
        self.frames.append(frame)
        if frame["event"] == "heartbeat" and self.answers_heartbeats:
            self.send("heartbeat", None if self.players is None else {"players": self.players})


def _matches(frame: Frame, event: str, matching: dict[str, Any]) -> bool:
    if frame.get("event") != event:
        return False
    for key, expected in matching.items():
        value = frame.get(key)
        if key == "payload" and isinstance(value, dict) and isinstance(expected, dict):
            if any(name not in value or value[name] != part for name, part in expected.items()):
                return False
        elif value != expected:
            return False
    return True
