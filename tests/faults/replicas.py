"""Replicas: applications that keep a copy of the network's records, built from frames alone."""

from __future__ import annotations

from typing import Any

from tests.faults.peer import Credentials, Frame, Peer
from tests.faults.recording import Copy, Recording
from tests.support.replica import Replica, digest


class Application(Peer):
    """An application with a replica, which resumes where it stopped."""

    def __init__(
        self, url: str, credentials: Credentials, recording: Recording, *, heartbeat_seconds: float, seed: int
    ) -> None:
        super().__init__(url, credentials, heartbeat_seconds=heartbeat_seconds, seed=seed)
        self.replica = Replica()
        self.completions = 0
        self._recording = recording

    def hello(self) -> dict[str, Any]:
        since = self.replica.cursor
        if since is None:
            self.replica.expect_state()
        else:
            self.replica.expect_changes()
        return {"supports": ["channels"], "version": "2.4.0", "sync": {"since": since}}

    def received(self, frame: Frame) -> None:
        try:
            self.replica.apply(frame)
        except AssertionError as error:
            self._recording.faults.append(f"replica {self.short_name}: {frame['event']} does not fit: {error}")
        self.completions += frame["event"] == "sync/complete"

    async def complete(self) -> bool:
        """Ask for changes once more. Return whether a `sync/complete` has confirmed the copy by its digests."""
        before = self.completions
        await self.request("sync", {"since": self.replica.cursor})
        return self.completions > before

    def copy(self) -> Copy:
        """Return what the replica holds."""
        channels, games = self.replica.records["channels"], self.replica.records["games"]
        return Copy(
            self.short_name,
            {record["game"]: record["description"] for record in games.values()},
            {record["name"] for record in channels.values()},
            digest(channels)[:16] + digest(games)[:16],
        )
