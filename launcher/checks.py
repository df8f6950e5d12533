"""Checks before anything is started. Each raises LaunchError, whose one line says what to change."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from launcher.errors import LaunchError
from shared import db
from shared.redis_urls import node_url
from shared.settings import Settings


def lock_instance(instance_path: Path) -> IO[str]:
    """Lock the instance folder, so that no second launcher uses it.

    The lock lasts until the returned file is closed or the process ends. It is a POSIX lock rather than flock(2):
    forked children do not inherit it, so they cannot keep it after a kill -9 of the launcher.
    """
    path = instance_path / "launcher.lock"
    try:
        file = path.open("a+")
    except OSError as error:
        raise LaunchError(f"the instance folder cannot be written to: {path}: {error.strerror}") from None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        pid = file.read().strip()
        file.close()
        raise LaunchError(
            f"the network is already running on {instance_path}{f' (pid {pid})' if pid else ''}: "
            "stop it first, or set INSTANCE_PATH to another folder"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def free_port(bind: str) -> int:
    """Return an unused port, for a setting of 0."""
    with _listener(bind, 0) as probe:
        return int(probe.getsockname()[1])


def is_port_free(bind: str, port: int) -> bool:
    """Return whether nothing listens on the port. An address that cannot be used counts as free."""
    try:
        _listener(bind, port).close()
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


def require_free_port(setting: str, bind: str, port: int) -> None:
    """Check that the port can be listened on."""
    try:
        _listener(bind, port).close()
    except socket.gaierror:
        raise LaunchError(f"BIND is {bind!r}, which is not an address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise LaunchError(
                f"port {port} on {bind} is in use: stop what uses it, or set {setting} to another port"
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise LaunchError(f"BIND is {bind!r}, which is not an address of this machine") from None
        raise LaunchError(f"port {port} on {bind} cannot be used ({error.strerror}): set {setting} or BIND") from None


def require_database(settings: Settings) -> None:
    """Check that the database of DATABASE_URL answers."""
    shown = make_url(settings.database_url).render_as_string(hide_password=True)
    try:
        engine = db.make_engine(settings.database_url)
        try:
            with engine.connect().execution_options(deferred=True) as connection:
                connection.execute(text("SELECT 1"))
        finally:
            engine.dispose()
    except (SQLAlchemyError, OSError) as error:
        raise LaunchError(f"cannot reach the database at {shown} (DATABASE_URL): {_one_line(error)}") from None


def require_redis(url: str) -> None:
    """Check that the Redis or Valkey of REDIS_URL answers."""
    import redis  # slow to import, and most starts use the private Valkey

    try:
        client = redis.Redis.from_url(node_url(url), socket_connect_timeout=5, socket_timeout=5)
        try:
            client.ping()
        finally:
            client.close()
    except (redis.RedisError, OSError, ValueError) as error:
        raise LaunchError(f"cannot reach Redis at {_without_password(url)} (REDIS_URL): {_one_line(error)}") from None


def _listener(bind: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


def _one_line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip() or type(cause).__name__
    return " ".join(text.split())


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    return f"{scheme}://{'***@' if at and credentials else ''}{place}"
