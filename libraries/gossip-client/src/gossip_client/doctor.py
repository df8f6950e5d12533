"""Checks a game's connection step by step, and gives advice on the first step that fails."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import SplitResult, urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from gossip_client import requests
from gossip_client.console import plain
from gossip_client.core import PROTOCOL_VERSION, Config, Core
from gossip_client.errors import AuthenticationFailed, ConnectFailed, GossipError, RequestFailed
from gossip_client.explain import check_url, describe_close, explain, proxy_of, without_password
from gossip_client.frames import Frame, parse
from gossip_client.requests import Request


class _StepFailed(Exception):
    """A step failed: why, and what to do about it."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.advice = advice


Step = tuple[str, Callable[[], str]]


def examine(
    url: str,
    client_id: str,
    secret: str,
    channel: str = "gossip",
    *,
    seconds: float = 20.0,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> int:
    """Check each step and report it in one line.

    Args:
        url: The network's socket.
        client_id: The game's client id.
        secret: The game's client secret.
        channel: A channel to subscribe to.
        seconds: How long each step may take.
        say: Prints a line.

    Returns:
        The exit status: 0 if every step succeeded, or else 1.
    """
    with ExitStack() as stack:
        for name, step in _Examination(url, client_id, secret, channel, seconds, stack).steps():
            try:
                say(plain(f"ok    {name:<14} {step()}"))
            except _StepFailed as failure:
                say(plain(f"FAIL  {name:<14} {failure}"))
                say(f"      {'':<14} {failure.advice}")
                return 1
    say("All is well: a game with these settings can connect.")
    return 0


class _Examination:
    def __init__(self, url: str, client_id: str, secret: str, channel: str, seconds: float, stack: ExitStack) -> None:
        self.url = url
        self.channel = channel
        self.seconds = seconds
        self.stack = stack
        self.core = Core(Config(client_id, secret, keeps_view=False, sync=lambda: False))
        self.tcp: socket.socket | None = None
        self.ws: ClientConnection | None = None
        self.frames: list[Frame] = []

    def steps(self) -> Iterator[Step]:
        yield "address", self.check_address
        if proxy_of(self.url) is not None:
            yield "proxy", self.check_proxy
        else:
            yield "name (DNS)", self.resolve_name
            yield "TCP", self.connect_tcp
            if self.parts.scheme == "wss":
                yield "TLS", self.connect_tls
        yield "WebSocket", self.open_websocket
        yield "credentials", self.authenticate
        yield "heartbeat", self.answer_heartbeat
        yield "channel", self.subscribe
        yield "version", self.compare_versions

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def port(self) -> int:
        return self.parts.port or (443 if self.parts.scheme == "wss" else 80)

    def check_address(self) -> str:
        try:
            check_url(self.url)
        except ConnectFailed as error:
            raise _StepFailed(
                str(error), "Copy the socket's address from the site. It looks like wss://host/socket."
            ) from None
        if self.parts.scheme == "ws" and self.parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            return f"{without_password(self.url)} (not encrypted: others may read the secret on the way; prefer wss://)"
        return without_password(self.url)

    def check_proxy(self) -> str:
        return f"{proxy_of(self.url)}, which the environment sets, will be used"

    def resolve_name(self) -> str:
        try:
            addresses = socket.getaddrinfo(self.parts.hostname, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _StepFailed(
                explain(error, self.url),
                "Check the spelling of the host, and that this machine has a working name server.",
            ) from None
        return ", ".join(sorted({str(address[4][0]) for address in addresses}))

    def connect_tcp(self) -> str:
        try:
            self.tcp = socket.create_connection((self.parts.hostname or "", self.port), timeout=self.seconds)
        except ConnectionRefusedError as error:
            raise _StepFailed(explain(error, self.url), "Is the port right, and is the server running?") from None
        except OSError as error:
            raise _StepFailed(
                explain(error, self.url),
                "Check the firewall: it must allow outgoing connections to this port.",
            ) from None
        self.stack.callback(self.tcp.close)
        return f"connected to port {self.port}"

    def connect_tls(self) -> str:
        assert self.tcp is not None
        try:
            context = ssl.create_default_context()
            with context.wrap_socket(self.tcp, server_hostname=self.parts.hostname) as tls:
                return f"{tls.version()}, the certificate is valid"
        except ssl.SSLCertVerificationError as error:
            raise _StepFailed(
                explain(error, self.url),
                "If a browser accepts the certificate, update this machine's root certificates and check its clock.",
            ) from None
        except OSError as error:
            raise _StepFailed(
                explain(error, self.url), "If the server does not use TLS, write ws:// instead of wss://."
            ) from None

    def open_websocket(self) -> str:
        if self.tcp is not None:
            self.tcp.close()
        try:
            self.ws = self.stack.enter_context(
                connect(self.url, open_timeout=self.seconds, ping_interval=None, close_timeout=2, compression=None)
            )
        except (OSError, WebSocketException, EOFError, ImportError) as error:
            advice = "Another program listens there. The site and the socket may have different hosts or ports."
            if proxy_of(self.url) is not None:
                advice = "Is the proxy right? If this host needs none, add it to the environment variable no_proxy."
            elif isinstance(error, InvalidStatus):
                advice = "Copy the whole address with its path from the site. A reverse proxy must forward upgrades."
            raise _StepFailed(explain(error, self.url), advice) from None
        return "the server opened a WebSocket"

    def authenticate(self) -> str:
        self.core.opened(time.monotonic())
        try:
            self._read_until(lambda: self.core.is_ready or self.core.close_reason is not None)
        except _StepFailed as failure:
            raise _StepFailed(str(failure), "The server may be overloaded, or is not a Gossip server.") from None
        refusal = self.core.refusal
        if isinstance(refusal, AuthenticationFailed):
            raise _StepFailed(
                f"refused: {refusal.text}",
                "Copy the id and the secret again from the game's page on the site, or regenerate the secret there.",
            )
        if not self.core.is_ready:
            raise _StepFailed(self.core.close_reason or "not accepted", "This is not the address of a Gossip socket.")
        return "the server accepted them"

    def answer_heartbeat(self) -> str:
        try:
            self._read_until(lambda: any(frame.event == "heartbeat" for frame in self.frames))
        except _StepFailed as failure:
            raise _StepFailed(
                f"no heartbeat arrived ({failure})",
                "A proxy may hold frames back. A game that does not answer three heartbeats is disconnected.",
            ) from None
        return "received, and answered"

    def subscribe(self) -> str:
        request: Request[Any] = requests.subscribe(self.channel)
        self.core.ask(request, time.monotonic())
        self._read_until(lambda: request.is_done)
        try:
            request.result()
        except RequestFailed as error:
            raise _StepFailed(
                error.text, "Names have 3 to 15 letters, - or _. The site lists the public channels."
            ) from None
        except GossipError as error:
            raise _StepFailed(
                str(error), "The server accepted the client, but does not answer. Try again later."
            ) from None
        return f"subscribed to {self.channel}"

    def compare_versions(self) -> str:
        version = self.core.server_version
        if self.core.has_history:
            return f"the server speaks {version}, this client {PROTOCOL_VERSION}"
        return f"the server speaks {version}: older than this client ({PROTOCOL_VERSION}); it has no history, but works"

    def _read_until(self, condition: Callable[[], bool]) -> None:
        assert self.ws is not None
        deadline = time.monotonic() + self.seconds
        try:
            while True:
                for frame in self.core.frames():
                    self.ws.send(frame)
                if condition():
                    return
                text = self.ws.recv(timeout=max(0.0, deadline - time.monotonic()))
                if (parsed := parse(text)) is not None:
                    self.frames.append(parsed)
                self.core.received(text, time.monotonic())
        except TimeoutError:
            raise _StepFailed(f"no answer within {self.seconds:g} s", "The server is slow. Try again later.") from None
        except ConnectionClosed as error:
            raise _StepFailed(describe_close(error)[0], "The server closed the connection for this reason.") from None
