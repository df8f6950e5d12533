"""The output of `python -m backbone mirror`: a bar while the whole state arrives, then one line for each change."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from gossip_client import Connected, Disconnected, Event, Restarting
from gossip_client.console import plain

from backbone.changes import Applied, Change

_WIDTH = 30


class Progress:
    """Prints the progress of a mirror.

    Args:
        expected: How many records the last complete state had; 0 if there was none.
        out: For lines. Default: standard output.
        err: For the bar. Default: standard error.
    """

    def __init__(self, expected: int, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._expected = expected
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._is_terminal = self._err.isatty()
        self._done = 0
        self._started_at = time.monotonic()
        self._printed = 0  # the width of the bar on a terminal, else the last number of records

    def show_event(self, event: Event) -> None:
        """Print a change of the connection."""
        if isinstance(event, Connected):
            self._started_at = time.monotonic()
            self._done = 0
            self._expected = sum(event.counts.values()) or self._expected
            self._say(f"connected (protocol {event.version})")
        elif isinstance(event, Disconnected) and event.retry_in is not None:
            self._say(f"disconnected: {event.reason}; trying again in {event.retry_in:.0f} s")
        elif isinstance(event, Restarting):
            self._say(f"the network restarts, back in about {event.downtime:.0f} s")

    def show_applied(self, applied: Applied) -> None:
        """Print what a committed transaction changed."""
        if applied.complete is not None:
            self._finish_bar()
            self._done = 0
            if applied.is_complete:
                counts = _format_counts(applied.complete.counts)
                seconds = time.monotonic() - self._started_at
                self._expected = sum(applied.complete.counts.values())
                self._say(f"in sync at {applied.cursor}: {counts} ({seconds:.1f} s)")
        elif applied.cursor is None:
            self._done += applied.records
            self._bar()
        for change in applied.live_changes:
            self._say(line(change))

    def _bar(self) -> None:
        done = self._done
        if not self._is_terminal:
            if done // 1000 > self._printed // 1000:
                of = f" of about {self._expected:,}" if self._expected else ""
                print(f"syncing: {done:,}{of} records", file=self._err, flush=True)
            self._printed = done
            return
        if self._expected:
            filled = min(_WIDTH, _WIDTH * done // self._expected)
            bar = "#" * filled + " " * (_WIDTH - filled)
            text = f"syncing [{bar}] {done:,} of about {self._expected:,} records"
        else:
            # The server does not announce the total: a moving block instead of a growing bar.
            place = done // 100 % (_WIDTH - 3)
            text = f"syncing [{' ' * place}###{' ' * (_WIDTH - 3 - place)}] {done:,} records"
        print(f"\r{text}", end="", file=self._err, flush=True)
        self._printed = len(text)

    def _finish_bar(self) -> None:
        if self._is_terminal and self._printed:
            print("\r" + " " * self._printed + "\r", end="", file=self._err, flush=True)
        self._printed = 0

    def _say(self, text: str) -> None:
        self._finish_bar()
        print(f"{time.strftime('%H:%M:%S')} {plain(text)}", file=self._out, flush=True)


def line(change: Change) -> str:
    """Return one change as a line."""
    text = f"{change.action} {change.kind.name} {change.id} {change.label}".rstrip()
    return f"{text}: {', '.join(change.fields)}" if change.action == "updated" else text


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())) or "nothing"
