"""Checks a game's connection step by step, with plain advice on the first thing that is wrong."""

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

from gossip_client.console import plain
from gossip_client.core import PROTOCOL_VERSION, Config, Core
from gossip_client.errors import AuthenticationFailed, ConnectFailed, GossipError, RequestFailed
from gossip_client.explain import check_url, describe_close, explain, proxy_of, without_password
from gossip_client.frames import Frame, parse
from gossip_client.requests import Request, subscribe


class _Wrong(Exception):
    """A step failed; what is wrong, and what to do about it."""

    def __init__(self, wrong: str, advice: str) -> None:
        super().__init__(wrong)
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
    """Say one line a step. Returns the exit status: 0 when all is well."""
    with ExitStack() as stack:
        for name, step in _Examination(url, client_id, secret, channel, seconds, stack).steps():
            try:
                say(plain(f"ok    {name:<14} {step()}"))
            except _Wrong as wrong:
                say(plain(f"FAIL  {name:<14} {wrong}"))
                say(f"      {'':<14} {wrong.advice}")
                return 1
    say("All is well: a game with these settings can connect.")
    return 0


class _Examination:
    def __init__(self, url: str, client_id: str, secret: str, channel: str, seconds: float, stack: ExitStack) -> None:
        self.url = url
        self.channel = channel
        self.seconds = seconds
        self.stack = stack
        self.core = Core(
            Config(client_id, secret, user_agent="gossip-client doctor", keeps_view=False, sync=lambda: False)
        )
        self.tcp: socket.socket | None = None
        self.ws: ClientConnection | None = None
        self.frames: list[Frame] = []

    def steps(self) -> Iterator[Step]:
        yield "address", self.address
        if proxy_of(self.url) is not None:
            yield "proxy", self.pass_on
        else:
            yield "name (DNS)", self.name
            yield "TCP", self.reach
            if self.parts.scheme == "wss":
                yield "TLS", self.encrypt
        yield "WebSocket", self.open
        yield "credentials", self.authenticate
        yield "heartbeat", self.heartbeat
        yield "channel", self.hear
        yield "version", self.version

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def port(self) -> int:
        return self.parts.port or (443 if self.parts.scheme == "wss" else 80)

    def address(self) -> str:
        try:
            check_url(self.url)
        except ConnectFailed as error:
            raise _Wrong(str(error), "The site shows the socket's address: it looks like wss://host/socket.") from None
        if self.parts.scheme == "ws" and self.parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            return f"{without_password(self.url)} (not encrypted: the secret can be read on the way; prefer wss://)"
        return without_password(self.url)

    def pass_on(self) -> str:
        return f"{proxy_of(self.url)}, which the environment names, is to pass the connection on"

    def name(self) -> str:
        try:
            found = socket.getaddrinfo(self.parts.hostname, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _Wrong(
                explain(error, self.url),
                "Check the spelling of the host, and that this machine has a working name server.",
            ) from None
        return ", ".join(sorted({str(address[4][0]) for address in found}))

    def reach(self) -> str:
        try:
            self.tcp = socket.create_connection((self.parts.hostname or "", self.port), timeout=self.seconds)
        except ConnectionRefusedError as error:
            raise _Wrong(explain(error, self.url), "Is the port right, and is the server running?") from None
        except OSError as error:
            raise _Wrong(
                explain(error, self.url),
                "A firewall may be in between: it must let connections to this port out.",
            ) from None
        self.stack.callback(self.tcp.close)
        return f"connected to port {self.port}"

    def encrypt(self) -> str:
        assert self.tcp is not None
        try:
            context = ssl.create_default_context()
            with context.wrap_socket(self.tcp, server_hostname=self.parts.hostname) as tls:
                return f"{tls.version()}, the certificate is valid"
        except ssl.SSLCertVerificationError as error:
            raise _Wrong(
                explain(error, self.url),
                "If the network's certificate is good in a browser, this machine's root certificates or clock are old.",
            ) from None
        except OSError as error:
            raise _Wrong(
                explain(error, self.url), "A server without TLS is reached with ws:// instead of wss://."
            ) from None

    def open(self) -> str:
        if self.tcp is not None:
            self.tcp.close()
        try:
            self.ws = self.stack.enter_context(
                connect(self.url, open_timeout=self.seconds, ping_interval=None, close_timeout=2, compression=None)
            )
        except (OSError, WebSocketException, EOFError, ImportError) as error:
            advice = "Something else listens there: the site and the socket may have different ports or hosts."
            if proxy_of(self.url) is not None:
                advice = "Is the proxy right? Where none is needed, name the host in the variable no_proxy."
            elif isinstance(error, InvalidStatus):
                advice = "The site shows the whole address, with its path; a proxy in between must pass upgrades on."
            raise _Wrong(explain(error, self.url), advice) from None
        return "the server opened a WebSocket"

    def authenticate(self) -> str:
        self.core.opened(time.monotonic())
        try:
            self._until(lambda: self.core.is_ready or self.core.close_reason is not None)
        except _Wrong as wrong:
            raise _Wrong(str(wrong), "The server may be overloaded, or is no server of this network.") from None
        failure = self.core.refusal
        if isinstance(failure, AuthenticationFailed):
            raise _Wrong(
                f"refused: {failure.text}",
                "Copy id and secret again from the game's page on the site; a lost secret is regenerated there.",
            )
        if not self.core.is_ready:
            raise _Wrong(self.core.close_reason or "not let in", "This address is not that of a Gossip socket.")
        return "the server let us in"

    def heartbeat(self) -> str:
        try:
            self._until(lambda: any(frame.event == "heartbeat" for frame in self.frames))
        except _Wrong as wrong:
            raise _Wrong(
                f"no heartbeat came ({wrong})",
                "A game must answer each heartbeat with one of its own, or it is disconnected after three.",
            ) from None
        return "came, and was answered"

    def hear(self) -> str:
        request: Request[Any] = subscribe(self.channel)
        self.core.ask(request, time.monotonic())
        self._until(lambda: request.is_done)
        try:
            request.result()
        except RequestFailed as error:
            raise _Wrong(
                error.text, "Channels have 3 to 15 letters, - and _; the site lists those that everyone can hear."
            ) from None
        except GossipError as error:
            raise _Wrong(str(error), "The server let us in, but does not answer: try again later.") from None
        return f"subscribed to {self.channel}"

    def version(self) -> str:
        theirs = self.core.server_version
        if self.core.has_history:
            return f"the server speaks {theirs}, this client {PROTOCOL_VERSION}"
        return f"the server speaks {theirs}: older than this client ({PROTOCOL_VERSION}), without a history; that works"

    def _until(self, condition: Callable[[], bool]) -> None:
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
            raise _Wrong(
                f"no answer within {self.seconds:g} s", "The server is there, but slow: try again later."
            ) from None
        except ConnectionClosed as error:
            raise _Wrong(describe_close(error)[0], "The server closed the connection: its reason is above.") from None
