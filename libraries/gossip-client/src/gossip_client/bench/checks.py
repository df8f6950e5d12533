"""What the bench checks, what it advises, and the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gossip_client.console import plain


@dataclass(frozen=True)
class Check:
    """One thing that a client does right or wrong.

    Attributes:
        title: What a client that passes does.
        advice: What to do about a failure.
        section: Where docs/protocol.md describes it.
        is_required: Whether a failure makes the bench end with status 1.
    """

    title: str
    advice: str
    section: str
    is_required: bool = True


CHECKS = {
    "path": Check("connects to /socket", "Connect the WebSocket to the path /socket.", "1. Transport"),
    "authenticate": Check(
        "authenticates with its first frame",
        "Send `authenticate` with client_id, client_secret and supports as the first frame, and nothing before it.",
        "authenticate",
    ),
    "supports": Check(
        "declares what it supports",
        'Send `supports` as a list that contains "channels", and only flags that the network knows.',
        "authenticate",
    ),
    "version": Check(
        "says which protocol version it knows",
        'Send `version` ("2.4.0"): without it the network treats the client as one of 1.0.0.',
        "authenticate",
        is_required=False,
    ),
    "user-agent": Check(
        "says what software it is",
        "Send `user_agent` with the name and version of your software: owners and other games see it.",
        "authenticate",
        is_required=False,
    ),
    "frames": Check("sends only frames that the network understands", "Correct the frames named above.", "2. Frames"),
    "habits": Check(
        "sends frames as it should", "The network understands it, but see above.", "2. Frames", is_required=False
    ),
    "heartbeat": Check(
        "answers heartbeats",
        "Answer each `heartbeat` at once. The network closes the socket after three unanswered ones.",
        "heartbeat",
    ),
    "players": Check(
        "lists its players in heartbeats",
        'Answer with {"event": "heartbeat", "payload": {"players": [names of who is online]}}.',
        "heartbeat",
        is_required=False,
    ),
    "ping": Check(
        "answers pings", "Answer each WebSocket ping with a pong. Most libraries do it.", "1. Transport", False
    ),
    "channels": Check(
        "subscribes to a channel",
        "Name `channels` in `authenticate`, or send `channels/subscribe`.",
        "channels/subscribe",
        is_required=False,
    ),
    "broadcast": Check("survives a line on its channel", "Do not fail on `channels/broadcast`.", "channels/broadcast"),
    "unicode": Check(
        "survives text in any script",
        "Read and show UTF-8: emoji, combining letters, text from right to left. Tabs and newlines can occur.",
        "Text that people type",
    ),
    "long": Check(
        "survives a line of 4,000 characters",
        "Read messages of up to 64 KiB. Cut long lines when you show them, not when you read them.",
        "Text that people type",
    ),
    "new-fields": Check(
        "ignores fields that it does not know", "Ignore unknown keys in frames and payloads.", "2. Frames"
    ),
    "unknown-event": Check(
        "ignores events that it does not know", "Ignore an `event` that you do not know, without an answer.", "error"
    ),
    "error": Check("survives an error event", "Log `error` events. The socket stays open.", "error"),
    "sign-ins": Check(
        "survives sign-ins and sign-outs elsewhere",
        "`players/sign-in` with a `game` is a notice: do not answer it.",
        "players/sign-in",
    ),
    "tells": Check(
        "survives a tell",
        "Show `tells/receive` to the player in `to_name`. Never answer it automatically with another tell.",
        "tells/receive",
    ),
    "games": Check(
        "survives games that come and go",
        "`games/connect` and `games/disconnect` are notices. If you ask `games/status`, send a `ref`.",
        "games/connect",
    ),
    "slow": Check(
        "waits for a slow answer",
        "Wait for at least 10 s before you give up a request. Keep the socket, and do not repeat the request.",
        "2. Frames",
    ),
    "failure": Check(
        "survives a failed request",
        'Read `status`: with "failure" there is an `error` for people and a `code` for programs.',
        "Failure codes",
    ),
    "line": Check("sends a line", "", "channels/send", is_required=False),
    "tell": Check("sends a tell", "", "tells/send", is_required=False),
    "sign-in": Check("reports a player who signs in", "", "players/sign-in", is_required=False),
    "status": Check("asks who is online", "", "players/status", is_required=False),
    "restart": Check(
        "comes back after a restart",
        "After the close, whatever its code, connect again and authenticate.",
        "restart",
    ),
    "downtime": Check(
        "waits for the downtime of a restart",
        "After `restart`, wait for `downtime` seconds before you reconnect.",
        "restart",
        is_required=False,
    ),
    "dropped": Check(
        "comes back after a lost connection",
        "Reconnect also if the socket ends without a close frame.",
        "Close codes",
    ),
    "internal": Check(
        "comes back after a fault of the network",
        "A close with 1011 instead of an answer to `authenticate` is a fault of the network. Reconnect.",
        "Close codes",
    ),
    "subscribed-again": Check(
        "subscribes to its channels again",
        "A new socket knows nothing of the old one: subscribe again, or name the channels in `authenticate`.",
        "authenticate",
    ),
    "backoff": Check(
        "waits between attempts to connect",
        "Wait 1 s, then 2, 4 … up to 60, each shortened at random, and begin again after a success.",
        "Close codes",
    ),
    "refused": Check(
        "does not insist after wrong credentials",
        "After a failed `authenticate`, wait for 30 s at least, and longer each time: the credentials stay wrong.",
        "authenticate",
    ),
}


class Report:
    """Collects what the bench finds, and prints each finding in one line.

    Attributes:
        failed: The required checks that have failed.
        advised: The other checks that have failed.
        passed: The checks that the client has passed.
        unseen: What did not happen, so that it could not be checked.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.failed: list[str] = []
        self.advised: list[str] = []
        self.passed: list[str] = []
        self.unseen: list[str] = []
        self._noted: set[str] = set()

    def title(self, text: str) -> None:
        """Print the heading of a part of the walk."""
        self._say(f"\n{text}")

    def note(self, text: str) -> None:
        """Print a line, once."""
        if text not in self._noted:
            self._noted.add(text)
            self._say(f"      {plain(text)}")

    def record(self, key: str, is_right: bool, detail: str = "") -> None:
        """Note that the client did something right or wrong. A check that has failed once stays failed."""
        check = CHECKS[key]
        wrong = self.failed if check.is_required else self.advised
        if key in wrong or (is_right and key in self.passed):
            return
        if is_right:
            self.passed.append(key)
            self._say(plain(f"ok    {check.title}{f' ({detail})' if detail else ''}"))
            return
        if key in self.passed:
            self.passed.remove(key)
        wrong.append(key)
        word = "FAIL " if check.is_required else "mind "
        self._say(plain(f"{word} {check.title}: no{f', {detail}' if detail else ''}"))
        if check.advice:
            self._say(f"      {check.advice}")
        self._say(f'      See "{check.section}" on the protocol page.')

    def skip(self, key: str, reason: str) -> None:
        """Note that something could not be checked."""
        if key not in (*self.failed, *self.advised, *self.passed, *self.unseen):
            self.unseen.append(key)
            self._say(plain(f"-     {CHECKS[key].title}: not seen ({reason})"))

    def finish(self) -> int:
        """Print the summary. Return the exit status: 1 if something required is missing."""
        counts = f"{len(self.passed)} right, {len(self.failed)} wrong, {len(self.advised)} to mind"
        self._say(f"\n{counts}, {len(self.unseen)} not seen.")
        if self.failed:
            self._say("Not ready for the network yet: " + "; ".join(CHECKS[key].title for key in self.failed) + ".")
            return 1
        self._say("Green: this client can connect to the network.")
        return 0
