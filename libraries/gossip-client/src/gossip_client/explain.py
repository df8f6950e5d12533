"""Explains in one sentence why a connection could not be made."""

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
    """Raise ConnectFailed if this cannot be the address of a network's socket."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
    except ValueError:
        raise ConnectFailed(f"{without_password(url)} is not a valid address: there can be no such host") from None
    try:
        is_port_valid = parts.port is None or parts.port > 0
    except ValueError:
        is_port_valid = False
    if parts.scheme not in ("ws", "wss"):
        raise ConnectFailed(
            f"{without_password(url)} is not the address of a socket: it must begin with ws:// or wss://"
        )
    if not host:
        raise ConnectFailed(f"{without_password(url)} is not a valid address: it has no host")
    for letter, name in (("#", "a #"), (" ", "a space")):
        if letter in url:
            raise ConnectFailed(f"{without_password(url)} is not a valid address: it contains {name}")
    if not is_port_valid:
        raise ConnectFailed(f"{without_password(url)} is not a valid address: its port is not a number from 1 to 65535")


def without_password(url: str) -> str:
    """Return the address without a user name and password, so that it can be shown."""
    before, at, rest = url.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return f"{scheme}//{rest}" if at and slashes else rest or "an empty string"


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment sets for this address, without its password; None if there is none.

    The variables are `https_proxy`, `no_proxy` and the like.
    """
    parts = urlsplit(url)
    if proxy_bypass(f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'wss' else 80)}"):
        return None
    proxies = getproxies()
    schemes = ("wss", "socks", "https") if parts.scheme == "wss" else ("ws", "socks", "https", "http")
    return next((without_password(proxies[scheme]) for scheme in schemes if scheme in proxies), None)


def explain(error: BaseException, url: str) -> str:
    """Return one sentence that explains the error of an attempt to connect to this address."""
    if isinstance(error, OSError | ImportError | ProxyError | InvalidProxy) and (proxy := proxy_of(url)):
        return f"{_sentence(error, url)} (through the proxy {proxy} that the environment sets)"
    return _sentence(error, url)


def _sentence(error: BaseException, url: str) -> str:
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    if isinstance(error, socket.gaierror):
        return f"the name {parts.hostname} cannot be resolved ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return f"no server listens at {proxy_of(url) or where} (connection refused)"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"{where} does not speak TLS correctly ({error.reason}); is it ws:// rather than wss://?"
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return (
            f"{without_password(url)} answered HTTP {status} instead of opening a WebSocket; "
            "is the path right (usually /socket)?"
        )
    if _hung_up(error):
        return f"{where} closed the connection before it answered"
    if isinstance(error, InvalidMessage):
        return f"{where} is not a WebSocket server: its answer is not HTTP"
    if isinstance(error, InvalidProxy):
        return f"{without_password(error.proxy)} isn't a valid proxy: {error.msg}"
    if isinstance(error, ProxyError):
        return str(error)
    if isinstance(error, InvalidHandshake):
        return f"{where} is not a WebSocket server: {error}"
    if isinstance(error, InvalidURI):
        return f"{without_password(url)} is not the address of a WebSocket"
    if isinstance(error, TimeoutError):
        return f"{where} did not answer in time"
    if isinstance(error, ConnectionClosed):
        return describe_close(error)[0]
    if isinstance(error, OSError):
        return f"{where} cannot be reached ({error.strerror or error})"
    return str(error) or type(error).__name__


def describe_close(error: ConnectionClosed) -> tuple[str, int | None]:
    """Return why the connection ended, and its close code; None without one."""
    if error.rcvd is None:
        return "the connection was lost", None
    return error.rcvd.reason or f"the server closed the connection ({error.rcvd.code})", error.rcvd.code


def is_final(error: BaseException) -> bool:
    """Return whether to give up after a first attempt: what answers there is not a Gossip server."""
    if isinstance(error, InvalidStatus):
        return error.response.status_code < 500
    if _hung_up(error):
        return False  # a server that is just starting or stopping does this too, and so does a proxy before it
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return True  # the server answers, but not with TLS
    return isinstance(error, InvalidHandshake | InvalidURI | InvalidProxy | ImportError | ssl.SSLCertVerificationError)


def _hung_up(error: BaseException) -> bool:
    return isinstance(error, EOFError) or isinstance(error.__cause__, EOFError)
