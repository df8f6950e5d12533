"""Tells systemd (or whatever else sets NOTIFY_SOCKET) which process is the service. Source: sd_notify(3)."""

from __future__ import annotations

import os
import socket


def notify_ready() -> None:
    """Say that this process serves, and is the main one: after an upgrade it is not the one that was started.

    Does nothing if nobody asked for it.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(f"READY=1\nMAINPID={os.getpid()}".encode(), address)
    except OSError:
        pass  # the manager is gone, and this process is not
