"""This machine: its clock, disk and file descriptors."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from shutil import disk_usage

from sqlalchemy import make_url

from app.doctor.findings import Findings
from shared.settings import Settings

CLOCK_WARNING_SECONDS = 2.0
CLOCK_SECONDS = 30.0
DISK_WARNING_BYTES = 1024**3
DISK_BYTES = 100 * 1024**2
DESCRIPTORS = 4096
FEWEST_DESCRIPTORS = 512


def check_clock(whose: str, their_time: float, our_time: float, findings: Findings) -> None:
    """Compare the clock of another machine with this one's. Both are Unix times."""
    seconds = their_time - our_time
    if abs(seconds) < CLOCK_WARNING_SECONDS:
        findings.ok(f"its clock and this machine's agree ({seconds:+.1f} s)")
        return
    message = f"the clock of {whose} differs from this machine's by {seconds:+.1f} s"
    advice = "run an NTP client on both machines: timedatectl set-ntp true"
    if abs(seconds) < CLOCK_SECONDS:
        findings.warn(message, advice)
    else:
        findings.fail(message, advice)


def check_disk(settings: Settings, findings: Findings) -> None:
    """Check the space for the instance folder, and for the SQLite file."""
    folders = {settings.instance_path}
    url = make_url(settings.database_url)
    if settings.is_sqlite and url.database:
        folders.add(Path(url.database).absolute().parent)
    for folder in sorted(folders):
        if not folder.exists():
            continue  # the check of the database says so
        if not os.access(folder, os.W_OK):
            findings.fail(
                f"{folder} cannot be written to", f"run: chown gossip {folder}, with the user that runs Gossip"
            )
            continue
        free = disk_usage(folder).free
        message = f"{free // 1024**2} MiB are free for {folder}"
        advice = "free some space, or set INSTANCE_PATH or DATABASE_URL to a larger disk"
        if free < DISK_BYTES:
            findings.fail(message, advice)
        elif free < DISK_WARNING_BYTES:
            findings.warn(message, advice)
        else:
            findings.ok(message)


def check_descriptors(settings: Settings, findings: Findings) -> None:
    """Check how many descriptors a process that is started from here may have. Workers raise their limit themselves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(soft, hard) if hard != resource.RLIM_INFINITY else resource.RLIM_INFINITY
    text = "any number of" if limit == resource.RLIM_INFINITY else f"{limit}"
    message = f"a process here may have {text} file descriptors, and each socket needs one"
    advice = "set LimitNOFILE=65536 in the service's unit, or nofile in /etc/security/limits.conf"
    if limit == resource.RLIM_INFINITY or limit >= DESCRIPTORS:
        findings.ok(message)
    elif limit >= FEWEST_DESCRIPTORS:
        findings.warn(message, advice)
    else:
        findings.fail(message, advice)
