"""Replays a recording against any server: sends what the client sent, and waits for the answer to each `ref`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from gossip_client.console import plain
from gossip_client.errors import ConnectFailed
from gossip_client.explain import check_url, describe_close, explain
from gossip_client.frames import parse
from gossip_client.transcripts import Entry, read_recording

SHOWN_CHARACTERS = 160
_SECRET = re.compile(r'("client_secret"\s*:\s*")[^"]*')


def replay(
    url: str,
    path: Path,
    client_id: str | None,
    secret: str | None,
    *,
    seconds: float = 20.0,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> int:
    """Replay a recording, and print both sides.

    Args:
        client_id, secret: Replace those of the recording. None keeps them.
        seconds: How long to wait for each answer.

    Returns:
        The exit status: 0 if every frame was sent and every `ref` was answered, or else 1.

    Raises:
        GossipError: The recording cannot be read, or the server cannot be reached.
    """
    check_url(url)
    entries = list(read_recording(path))
    replayed = _Replay(url, client_id, secret, seconds, say)
    try:
        for entry in entries:
            replayed.play(entry)
    finally:
        replayed.close()
    say(
        f"\n{replayed.sent} frames sent, {replayed.answered} answered, {replayed.unanswered} without the answer to "
        f"their ref, {replayed.unsent} not sent because the server had closed the connection."
    )
    return 1 if replayed.unanswered or replayed.unsent else 0


class _Replay:
    def __init__(
        self, url: str, client_id: str | None, secret: str | None, seconds: float, say: Callable[[str], None]
    ) -> None:
        self._url = url
        self._credentials = {"client_id": client_id, "client_secret": secret}
        self._seconds = seconds
        self._say = say
        self._sockets: dict[int, ClientConnection] = {}
        self._stack = ExitStack()
        self.sent = self.answered = self.unanswered = self.unsent = 0

    def play(self, entry: Entry) -> None:
        """Do what the client did. Where the recorded server ended a connection, close it."""
        if entry.kind == "open":
            self._open(entry.connection)
            return
        socket = self._sockets.get(entry.connection)
        if socket is None:
            return
        if not entry.is_client:
            if entry.kind in ("close", "eof"):
                socket.close()
            return
        try:
            if entry.kind == "text":
                self._send(socket, entry)
            elif entry.kind == "ping":
                socket.ping(entry.data)
            elif entry.kind == "close":
                socket.close(1000 if entry.code is None else entry.code, entry.reason)
            elif entry.kind == "eof":
                socket.close_socket()
        except ConnectionClosed as closed:
            if entry.kind == "text":
                self.unsent += 1
                self._say(plain(f"{entry.connection} ! not sent: {describe_close(closed)[0]}"))

    def close(self) -> None:
        """Close what is still open."""
        self._stack.close()

    def _open(self, number: int) -> None:
        try:
            self._sockets[number] = self._stack.enter_context(
                connect(self._url, open_timeout=self._seconds, ping_interval=None, close_timeout=2, compression=None)
            )
        except (OSError, WebSocketException, EOFError, ImportError) as error:
            raise ConnectFailed(explain(error, self._url)) from None

    def _send(self, socket: ClientConnection, entry: Entry) -> None:
        text = self._with_credentials(entry.data)
        frame = parse(text)
        socket.send(text)
        self.sent += 1
        self._say(plain(f"{entry.connection} > {_shown(text)}"))
        is_authentication = frame is not None and frame.event == "authenticate"
        if frame is None or (frame.ref is None and not is_authentication) or frame.event == "heartbeat":
            return
        if self._read_until(socket, entry.connection, frame.event, frame.ref, is_authentication=is_authentication):
            self.answered += 1
        else:
            self.unanswered += 1
            self._say(plain(f"{entry.connection} ! no answer to {frame.event} within {self._seconds:g} s"))

    def _read_until(
        self, socket: ClientConnection, number: int, event: str, ref: Any, *, is_authentication: bool
    ) -> bool:
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                text = socket.recv(timeout=max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                return False
            frame = parse(text)
            self._say(plain(f"{number} < {_shown(str(text))}"))
            if frame is None:
                continue
            if frame.event == "heartbeat":
                socket.send('{"event":"heartbeat"}')
            elif frame.event in (event, "error") and (is_authentication or frame.ref == ref):
                return True

    def _with_credentials(self, text: str) -> str:
        """Return the message with the caller's credentials. Every other message stays as it is, byte for byte."""
        try:
            frame = json.loads(text)
            payload = frame["payload"]
            is_authentication = frame["event"] == "authenticate" and isinstance(payload, dict)
        except (ValueError, TypeError, KeyError):
            return text
        if not is_authentication:
            return text
        for name, value in self._credentials.items():
            if value is not None and name in payload:
                payload[name] = value
        return json.dumps(frame, ensure_ascii=False)


def _shown(text: str) -> str:
    """Return the beginning of a message, without the secret."""
    text = _SECRET.sub(r"\1***", text)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
