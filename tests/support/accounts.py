"""Database servers that refuse to run as root are started as somebody else."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Callable
from pathlib import Path

from launcher.processes import die_with_parent


def unprivileged(folder: Path, *accounts: str) -> Callable[[], None]:
    """For a child before it starts: become the first of these accounts that there is, or `nobody`, who is given the
    folder. Nothing where we are not root."""
    if os.getuid() != 0:
        return lambda: None
    names = {entry.pw_name for entry in pwd.getpwall()}
    account = pwd.getpwnam(next((name for name in accounts if name in names), "nobody"))
    os.chown(folder, account.pw_uid, account.pw_gid)

    def become() -> None:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)

    return become


def become_and_die_with_parent(become: Callable[[], None], how: signal.Signals) -> Callable[[], None]:
    """`become`, and then ask to get this signal when the test run dies."""
    dies = die_with_parent(how)

    def prepare() -> None:
        become()
        dies()  # after the change of user, which clears it

    return prepare
