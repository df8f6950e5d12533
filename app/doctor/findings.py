"""What a check has found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from shared.settings import Settings


class Status(StrEnum):
    """How bad a finding is. Only `FAILED` makes `flask doctor` end with an error."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        check: The subject, as `--skip` names it.
        message: What is the case.
        advice: What to do about it; "" if nothing needs to be done.
    """

    check: str
    status: Status
    message: str
    advice: str = ""


class Findings:
    """Collects the findings of one check."""

    def __init__(self, check: str) -> None:
        self._check = check
        self.all: list[Finding] = []

    def ok(self, message: str) -> None:
        """Add something that is as it should be."""
        self.all.append(Finding(self._check, Status.OK, message))

    def warn(self, message: str, advice: str) -> None:
        """Add something that works, but not as well as it could."""
        self.all.append(Finding(self._check, Status.WARNING, message, advice))

    def fail(self, message: str, advice: str) -> None:
        """Add something without which the network does not work."""
        self.all.append(Finding(self._check, Status.FAILED, message, advice))


Check = Callable[[Settings, Findings], None]


def run_checks(checks: Iterable[tuple[str, Check]], settings: Settings) -> Iterable[Finding]:
    """Yield the findings of all checks, one check after the other. An error inside a check is a finding too."""
    for name, check in checks:
        findings = Findings(name)
        try:
            check(settings, findings)
        except Exception as error:
            findings.fail(
                f"the check itself failed: {type(error).__name__}: {one_line(error)}",
                "please report this, with the version of Gossip; --skip leaves the check out",
            )
        yield from findings.all


def one_line(error: BaseException) -> str:
    """Return an error's message in one line, without a statement."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())[:300] or type(cause).__name__
