"""Why a connection could not be made, as one sentence for a person."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)

from gossip_client.errors import ConnectFailed


def check_url(url: str) -> None:
    """Raises ConnectFailed for what is no address of a socket."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
    except ValueError:
        raise ConnectFailed(f"{without_password(url)} is no address: its host cannot be one") from None
    try:
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        port_is_good = False
    if parts.scheme not in ("ws", "wss"):
        raise ConnectFailed(f"{without_password(url)} is no socket's address: it must begin with ws:// or wss://")
    if not host:
        raise ConnectFailed(f"{without_password(url)} is no address: it names no host")
    for letter, name in (("#", "a #"), (" ", "a space")):
        if letter in url:
            raise ConnectFailed(f"{without_password(url)} is no address: it holds {name}")
    if not port_is_good:
        raise ConnectFailed(f"{without_password(url)} is no address: its port is no number from 1 to 65535")


def without_password(url: str) -> str:
    """The address as it may be without_password: without a user's name and password in it."""
    before, at, rest = url.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return f"{scheme}//{rest}" if at and slashes else rest or "an empty text"


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for this address (`https_proxy`, `no_proxy` …), without a password."""
    parts = urlsplit(url)
    if proxy_bypass(f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'wss' else 80)}"):
        return None
    named = getproxies()
    schemes = ("wss", "socks", "https") if parts.scheme == "wss" else ("ws", "socks", "https", "http")
    return next((without_password(named[scheme]) for scheme in schemes if scheme in named), None)


def explain(error: BaseException, url: str) -> str:
    """The sentence."""
    if isinstance(error, OSError | ImportError | ProxyError | InvalidProxy) and (proxy := proxy_of(url)):
        return f"{_sentence(error, url)} (through the proxy {proxy} that the environment names)"
    return _sentence(error, url)


def _sentence(error: BaseException, url: str) -> str:
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    if isinstance(error, socket.gaierror):
        return f"the name {parts.hostname} cannot be resolved ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {proxy_of(url) or where} (connection refused)"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"{where} does not speak TLS as it should ({error.reason}); is it ws:// rather than wss://?"
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return (
            f"{without_password(url)} answered HTTP {status} instead of opening a WebSocket; "
            "is the path right (usually /socket)?"
        )
    if _hung_up(error):
        return f"{where} closed the connection before it answered"
    if isinstance(error, InvalidMessage):
        return f"{where} is no WebSocket server: it answers something else"
    if isinstance(error, InvalidProxy):
        return f"{without_password(error.proxy)} isn't a valid proxy: {error.msg}"
    if isinstance(error, ProxyError):
        return str(error)
    if isinstance(error, InvalidHandshake):
        return f"{where} is no WebSocket server: {error}"
    if isinstance(error, InvalidURI):
        return f"{without_password(url)} is no address of a WebSocket"
    if isinstance(error, TimeoutError):
        return f"{where} did not answer in time"
    if isinstance(error, ConnectionClosed):
        return describe_close(error)[0]
    if isinstance(error, OSError):
        return f"{where} cannot be reached ({error.strerror or error})"
    return str(error) or type(error).__name__


def describe_close(error: ConnectionClosed) -> tuple[str, int | None]:
    """Why the connection ended, and its close code."""
    if error.rcvd is None:
        return "the connection was lost", None
    return error.rcvd.reason or f"the server closed the connection ({error.rcvd.code})", error.rcvd.code


def is_final(error: BaseException) -> bool:
    """Whether a first attempt should not be repeated: whoever answers there is no server of this network."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code < 500
    if _hung_up(error):
        return False  # so does a server that starts or stops at this moment, or a proxy before it
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return True  # it speaks, but not TLS
    return isinstance(error, InvalidHandshake | InvalidURI | InvalidProxy | ImportError | ssl.SSLCertVerificationError)


def _hung_up(error: BaseException) -> bool:
    return isinstance(error, EOFError) or isinstance(error.__cause__, EOFError)
