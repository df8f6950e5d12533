"""The walk: what the bench does with the client, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from gossip_client.bench import network
from gossip_client.bench.checks import Report
from gossip_client.bench.client_frames import FLAGS, fields_of
from gossip_client.bench.server import PATH, BenchServer, Socket
from gossip_client.errors import GossipError
from gossip_client.transcripts import Recorder

ODD_TEXT = (
    "emoji 🐉👩‍👩‍👧, e\u0301 = é, Ελληνικά, עברית, 你好, tab\tand\nnewline, <not a tag>, \"quotes\" \\ 'and' %s {0}"
)
SLOW_SECONDS = 3.0
FEWEST_SECONDS = 0.4
"""Attempts to connect that follow each other faster than this come without a pause."""


@dataclass(frozen=True)
class Times:
    """How long the bench waits, in seconds.

    Attributes:
        patience: For the client to connect, and to come back.
        answer: For the answer to a heartbeat.
        turn: For what only the author can make the client do: say a line, send a tell.
        downtime: What the `restart` notice announces.
        watch: How long it watches a client whose credentials are refused.
    """

    patience: float = 120.0
    answer: float = 10.0
    turn: float = 30.0
    downtime: int = 3
    watch: float = 5.0


class _Gone(Exception):
    """The client did not come in time, so the walk cannot go on."""


def run_bench(
    host: str,
    port: int,
    times: Times,
    *,
    record: Path | None = None,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
    on_listening: Callable[[int], None] = lambda port: None,
) -> int:
    """Listen, walk the client through everything, and print what it does right and wrong.

    Args:
        record: A file for a recording of the walk.
        on_listening: Called with the port.

    Returns:
        The exit status: 0 if nothing that is required is missing, or else 1.

    Raises:
        GossipError: The port is in use, or the recording cannot be written.
    """
    report = Report(say)
    try:
        file = record.open("w", encoding="utf-8") if record else None
    except OSError as error:
        raise GossipError(f"{record} cannot be written: {error.strerror}") from None
    try:
        server = BenchServer(host, port, report, Recorder(file) if file else None)
    except OSError as error:
        raise GossipError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    say(f"Connect your client to ws://{host}:{server.port}{PATH} with any client id and secret.")
    on_listening(server.port)
    try:
        _Walk(server, report, times).run()
    except _Gone:
        pass
    finally:
        server.close()
        if file:
            file.close()
    return report.finish()


class _Walk:
    def __init__(self, server: BenchServer, report: Report, times: Times) -> None:
        self.server = server
        self.report = report
        self.times = times
        self.number = 100

    def run(self) -> None:
        self.report.title("Connecting")
        sock = self._connected("authenticate", "it did not connect and authenticate")
        self._check_flags(sock)
        self._check_heartbeat(sock)
        self.report.record("ping", self.server.ping(sock, self.times.answer))
        self._check_channels(sock)

        self.report.title("What the network sends")
        self._send_everything()

        self.report.title("Your turn: say a line, send a tell to Ann@Riverbend, sign a player in, ask who is online")
        self._watch_requests()

        self.report.title("Lost connections")
        self._restart()
        self._drop()
        self._fail_inside()
        self._refuse()
        self.report.record("frames", True)
        self.report.record("habits", True)

    def _connected(self, key: str, detail: str) -> Socket:
        """Return the open connection, waiting for it. Ends the walk if the client does not come."""
        sock = self.server.wait(self.server.current, self.times.patience)
        if sock is None:
            self.report.record(key, False, f"{detail} within {self.times.patience:g} s")
            raise _Gone
        return sock  # type: ignore[no-any-return]

    def _check_flags(self, sock: Socket) -> None:
        unknown = [flag for flag in sock.supports if flag not in FLAGS]
        is_right = "channels" in sock.supports and not unknown
        self.report.record("supports", is_right, ", ".join(unknown or sock.supports))

    def _beat(self, sock: Socket) -> bool:
        """Send a heartbeat. Return whether the client answers in time, which shows that it is alive."""
        count = len(sock.heartbeats)
        self.server.send(sock, {"event": "heartbeat"})
        self.server.wait(lambda: len(sock.heartbeats) > count or not sock.is_ready, self.times.answer)
        return len(sock.heartbeats) > count

    def _check_heartbeat(self, sock: Socket) -> None:
        # The first heartbeat followed the answer to `authenticate`.
        is_answered = self.server.wait(lambda: sock.heartbeats or not sock.is_ready, self.times.answer) and self._beat(
            sock
        )
        self.report.record("heartbeat", bool(is_answered))
        if not is_answered:
            self.report.note("Heartbeats show whether the client is alive, so the bench cannot go on without answers.")
            raise _Gone
        if "players" in sock.supports and sock.heartbeats:
            self.report.record("players", isinstance(fields_of(sock.heartbeats[-1]).get("players"), list))
        else:
            self.report.skip("players", "it does not support players")

    def _check_channels(self, sock: Socket) -> None:
        self.server.wait(lambda: sock.channels, self.times.answer)
        self.report.record("channels", bool(sock.channels), ", ".join(sorted(sock.channels)))

    def _line(self, sock: Socket, text: str, **more: Any) -> dict[str, Any]:
        self.number += 1
        channel = next(iter(sorted(sock.channels)), "gossip")
        return network.broadcast(channel, text, sock.version, number=self.number, **more)

    def _send_everything(self) -> None:
        def line(text: str, **more: Any) -> Callable[[Socket], list[dict[str, Any]]]:
            return lambda sock: [self._line(sock, text, **more)]

        notice = {"game": network.FIRST_GAME}
        self._survives("broadcast", None, line("Hello!"))
        self._survives("unicode", None, line(ODD_TEXT))
        self._survives("long", None, line("ü" * 4_000))
        self._survives("new-fields", None, lambda sock: [{**self._line(sock, "x", new=[{}]), "new": {"a": None}}])
        self._survives("unknown-event", None, lambda sock: [_event("weather/changed", {"sky": "☁"}), _event("later")])
        self._survives(
            "error", None, lambda sock: [{**network.failure("error", "bench", "unknown event", "unknown-event")}]
        )
        self._survives(
            "sign-ins",
            "players",
            lambda sock: [
                _event("players/sign-in", {**notice, "name": "Zoë 🐉"}),
                _event("players/sign-out", {**notice, "name": "Zoë 🐉"}),
            ],
        )
        self._survives(
            "games", "games", lambda sock: [_event("games/connect", notice), _event("games/disconnect", notice)]
        )
        self._survives("tells", "tells", lambda sock: [_event("tells/receive", _tell_to(sock))])

    def _survives(self, key: str, flag: str | None, frames_for: Callable[[Socket], list[dict[str, Any]]]) -> None:
        """Send frames, and check that the client is alive afterwards."""
        sock = self._connected(key, "it did not come back")
        if flag is not None and flag not in sock.supports:
            self.report.skip(key, f"it does not support {flag}")
            return
        for frame in frames_for(sock):
            self.server.send(sock, frame)
        is_alive = self._beat(sock)
        self.report.record(key, is_alive, "" if is_alive else "it closed the connection, or stopped answering")

    def _watch_requests(self) -> None:
        """Let the author make the client do things. Meanwhile, one request fails, and then answers are slow."""
        wanted = {"line": "channels/send", "tell": "tells/send", "sign-in": "players/sign-in"}
        flags = {"tell": "tells", "sign-in": "players", "status": "players"}
        sock = self._connected("failure", "it did not come back")
        self.server.slow_seconds, self.server.is_failing = SLOW_SECONDS, True

        def has_seen(key: str) -> bool:
            events = (wanted[key],) if key in wanted else ("players/status", "games/status")
            return any(frame["event"] in events for sock in self.server.sockets for _, frame in sock.requests)

        keys = [key for key in ("line", "tell", "sign-in", "status") if flags.get(key, "channels") in sock.supports]
        deadline = time.monotonic() + self.times.turn
        if self.server.wait(lambda: self.server.failed_requests, self.times.turn):
            is_alive = self._beat(sock)
            self.report.record("failure", is_alive, self.server.failed_requests[0]["event"])
        else:
            self.report.skip("failure", "it sent no request")
        self.server.is_failing = False
        if self.server.wait(lambda: self.server.slow_requests, max(0.0, deadline - time.monotonic())):
            self._check_patience(self._connected("slow", "it did not come back"))
        else:
            self.report.skip("slow", "it sent no second request")
        self.server.answer_seconds = 0.0
        self.server.wait(lambda: all(map(has_seen, keys)), max(0.0, deadline - time.monotonic()))
        self.server.wait(lambda: not self.server.slow_answers, SLOW_SECONDS + 1)
        for key in ("line", "tell", "sign-in", "status"):
            if has_seen(key):
                self.report.record(key, True)
            else:
                self.report.skip(key, "it did not happen" if key in keys else "its flag is not supported")

    def _check_patience(self, sock: Socket) -> None:
        """Wait for longer than the answer takes. The client must neither leave nor repeat the request."""
        first = self.server.slow_requests[0]
        self.server.wait(lambda: not sock.is_ready or self._is_repeated(first), SLOW_SECONDS + 1)
        detail = "it repeated the request" if self._is_repeated(first) else "it closed the connection"
        is_patient = sock.is_ready and not self._is_repeated(first)
        self.report.record("slow", is_patient, first["event"] if is_patient else detail)

    def _is_repeated(self, request: dict[str, Any]) -> bool:
        return [frame["ref"] for frame in self.server.slow_requests].count(request["ref"]) > 1

    def _restart(self) -> None:
        sock = self._connected("restart", "it did not come back")
        channels = set(sock.channels)
        self.server.send(sock, _event("restart", {"downtime": self.times.downtime}))
        self.server.close_socket(sock, 1012, "restarting")
        began_at = time.monotonic()
        came_at = self._comes_back("restart")
        is_early = came_at - began_at < self.times.downtime * 0.9
        self.report.record("downtime", not is_early, f"after {came_at - began_at:.1f} s of {self.times.downtime}")
        back = self._connected("restart", "it did not come back")
        if channels:
            self.server.wait(lambda: channels <= back.channels, self.times.answer)
            lost = channels - back.channels
            self.report.record("subscribed-again", not lost, f"{', '.join(sorted(lost))} missing" if lost else "")
        else:
            self.report.skip("subscribed-again", "it had no channels")

    def _drop(self) -> None:
        self.server.cut(self._connected("dropped", "it did not come back"))
        self._comes_back("dropped")
        is_alive = self._beat(self._connected("dropped", "it did not come back"))
        self.report.record("heartbeat", is_alive)

    def _fail_inside(self) -> None:
        """Close two attempts with 1011 instead of an answer, and look at the pauses between them."""
        self.server.on_authenticate = "fail"
        sock = self._connected("internal", "it did not come back")
        first = len(self.server.sockets)
        self.server.cut(sock)
        is_here = self.server.wait(lambda: len(self.server.sockets) >= first + 2, self.times.patience)
        self.server.on_authenticate = "accept"
        if not is_here:
            count = len(self.server.sockets) - first
            self.report.record("internal", False, f"it tried {count} times within {self.times.patience:g} s")
            raise _Gone
        self._comes_back("internal")
        opened = [sock.opened_at for sock in self.server.sockets[first:]]
        pauses = [later - earlier for earlier, later in pairwise(opened)]
        self.report.record("backoff", min(pauses) >= FEWEST_SECONDS, f"the shortest was {min(pauses):.1f} s")

    def _refuse(self) -> None:
        self.server.on_authenticate = "refuse"
        sock = self._connected("refused", "it did not come back")
        first = len(self.server.sockets)
        self.server.cut(sock)
        if not self.server.wait(lambda: len(self.server.sockets) > first, self.times.patience):
            self.report.skip("refused", "it did not come back")
            return
        self.server.wait(lambda: len(self.server.sockets) > first + 2, self.times.watch)
        more = len(self.server.sockets) - first - 1
        self.report.record("refused", more <= 1, f"{more} more attempts in {self.times.watch:g} s" if more else "")

    def _comes_back(self, key: str) -> float:
        """Wait until the client has authenticated again. Return when it opened the connection."""
        sock = self.server.wait(self.server.current, self.times.patience)
        self.report.record(key, sock is not None, "" if sock else f"it did not within {self.times.patience:g} s")
        if sock is None:
            raise _Gone
        return float(sock.opened_at)


def _event(event: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
    frame: dict[str, Any] = {"event": event, "ref": f"bench-{event}"}
    return frame if payload is None else {**frame, "payload": payload}


def _tell_to(sock: Socket) -> dict[str, Any]:
    players = fields_of(sock.heartbeats[-1]).get("players") if sock.heartbeats else None
    name = players[0] if isinstance(players, list) and players else "Nobody"
    return {
        "from_game": network.FIRST_GAME,
        "from_name": network.TOLD,
        "to_name": name,
        "sent_at": "2026-11-23T06:15:44Z",
        "message": "Are you there? 🐉",
    }
