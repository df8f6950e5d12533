"""Start database servers as another user if the tests run as root, since they refuse to run as root."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Callable
from pathlib import Path

from launcher.processes import die_with_parent


def unprivileged(folder: Path, *accounts: str) -> Callable[[], None]:
    """Return a `preexec_fn` that switches to the first of these accounts that exists, or to `nobody`.

    Also makes that account the owner of `folder`. The function does nothing if the tests do not run as root.
    """
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
    """Return a `preexec_fn` that calls `become`, and then requests this signal for the end of the test run."""
    request_signal = die_with_parent(how)

    def prepare() -> None:
        become()
        request_signal()  # the change of user would clear an earlier request

    return prepare
