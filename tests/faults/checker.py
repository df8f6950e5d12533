"""Finds what a run has lost, repeated, mixed up or invented. Knows nothing but what clients sent and received.

Each rule yields one sentence for each violation. The promises are those of docs/protocol.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.faults.recording import SUCCESS, Line, Received, Recording, Socket

DELIVERY_SECONDS = 60.0
MUTE_SECONDS = 5.0


def check(
    recording: Recording, *, delivery_seconds: float = DELIVERY_SECONDS, mute_seconds: float = MUTE_SECONDS
) -> list[str]:
    """Return all violations.

    Args:
        delivery_seconds: How long after its acknowledgement a line may arrive.
        mute_seconds: How long after a moderator's act a muted player's line may still get through.
    """
    checker = _Checker(recording, delivery_seconds, mute_seconds)
    rules = (
        checker.history,
        checker.sockets,
        checker.orders,
        checker.readers,
        checker.tells_and_notices,
        checker.replicas,
        checker.presence,
        checker.mutes,
    )
    return [*recording.faults, *(violation for rule in rules for violation in rule())]


class _Checker:
    def __init__(self, recording: Recording, delivery_seconds: float, mute_seconds: float) -> None:
        self._recording = recording
        self._delivery_seconds = delivery_seconds
        self._mute_seconds = mute_seconds
        self._acknowledged = [line for line in recording.lines.values() if line.outcome == SUCCESS]

    def history(self) -> Iterator[str]:
        """Every acknowledged line is stored once, as it was sent; no other line more often; a refused line never."""
        stored: Counter[str] = Counter()
        for channel, lines in self._recording.history.items():
            ids = [received.id or 0 for received in lines]
            if ids != sorted(set(ids)):
                yield f"history: the ids of {channel} do not increase"
            for received in lines:
                stored[received.text] += 1
                yield from self._compare(received, f"the history of {channel}")
        for line in self._recording.lines.values():
            if line.outcome == SUCCESS and not stored[line.text]:
                yield f"lost: {line.text!r} was acknowledged, but is not in the history"
            elif line.outcome not in (SUCCESS, None) and stored[line.text]:
                yield f"invented: {line.text!r} was refused ({line.outcome}), but is in the history"
            if stored[line.text] > 1:
                yield f"doubled: {line.text!r} is in the history {stored[line.text]} times"
        for channel in self._recording.history:
            yield from self._unordered(self._recording.history[channel], f"the history of {channel}")

    def sockets(self) -> Iterator[str]:
        """A socket receives each line of others at most once, and exactly once if it was open throughout."""
        by_channel: dict[str, list[Line]] = defaultdict(list)
        for line in self._acknowledged:
            by_channel[line.channel].append(line)
        for socket in self._recording.sockets:
            counts = Counter(received.text for received in socket.lines)
            for received in socket.lines:
                yield from self._compare(received, _name(socket))
                if received.game == socket.game:
                    yield f"echoed: {_name(socket)} received {received.text!r}, which its own game sent"
            for text, count in counts.items():
                if count > 1:
                    yield f"doubled: {_name(socket)} received {text!r} {count} times"
            for channel in socket.channels:
                for line in by_channel[channel]:
                    if line.game != socket.game and self._was_open(socket, line) and not counts[line.text]:
                        yield f"lost: {_name(socket)} was open, but never received {line.text!r}"

    def orders(self) -> Iterator[str]:
        """A socket receives what a game has sent in that order, also if the game has reconnected."""
        for socket in self._recording.sockets:
            yield from self._unordered(socket.lines, _name(socket))

    def readers(self) -> Iterator[str]:
        """A game that catches up as the protocol's page says misses no line of others, and shows none twice."""
        ends = self._last_open()
        for reader in self._recording.readers:
            counts = Counter(received.text for received in reader.lines)
            for text, count in counts.items():
                if count > 1:
                    yield f"doubled: {reader.game} showed {text!r} {count} times"
            for line in self._acknowledged:
                if line.channel != reader.channel or line.game == reader.game or line.sent_at < reader.since:
                    continue
                if line.answered_at + self._delivery_seconds < ends.get(reader.game, 0) and not counts[line.text]:
                    yield f"lost: {reader.game} has caught up, but never showed {line.text!r}"

    def tells_and_notices(self) -> Iterator[str]:
        """A tell reaches one socket, once, or none; a notice reaches a socket at most once."""
        tells = Counter(text for socket in self._recording.sockets for text in socket.tells)
        for text, count in tells.items():
            if count > 1:
                yield f"doubled: the tell {text!r} arrived {count} times"
            if text not in self._recording.tells:
                yield f"invented: nobody sent the tell {text!r}"
            elif self._recording.tells[text] not in (SUCCESS, None):
                yield f"invented: the tell {text!r} was refused, but arrived"
        for socket in self._recording.sockets:
            for (event, game, player), count in Counter(socket.notices).items():
                if count > 1:
                    yield f"doubled: {_name(socket)} received {event} of {player}@{game} {count} times"

    def replicas(self) -> Iterator[str]:
        """All replicas are equal and contain every committed change."""
        copies = self._recording.copies
        if len({copy.digest for copy in copies}) > 1:
            yield f"replicas differ: {', '.join(f'{copy.name} {copy.digest[:8]}' for copy in copies)}"
        committed: dict[str, int] = {}
        attempted: dict[str, int] = {}
        for edit in self._recording.edits:
            attempted[edit.game] = max(attempted.get(edit.game, 0), edit.number)
            if edit.is_committed:
                committed[edit.game] = max(committed.get(edit.game, 0), edit.number)
        for copy in copies:
            for game, number in committed.items():
                words = (copy.descriptions.get(game) or "").split()
                seen = int(words[1]) if len(words) == 2 and words[0] == "edit" else None
                if seen is None or not number <= seen <= attempted[game]:
                    yield f"stale: {copy.name} has {' '.join(words)!r} for {game}, but edit {number} was committed"
            for channel in sorted(self._recording.created_channels - copy.channels):
                yield f"stale: {copy.name} lacks the channel {channel}"

    def presence(self) -> Iterator[str]:
        """Every worker lists the players of connected games, and none of games that are gone."""
        for worker, games in self._recording.online.items():
            for game, expected in self._recording.expected_online.items():
                listed = games.get(game)
                if expected is None and listed is not None:
                    yield f"ghost: {worker} says that {game} is online"
                elif expected is not None and listed is None:
                    yield f"missing: {worker} says that {game} is offline"
                elif expected is not None and listed is not None:
                    for player in sorted(listed - expected):
                        yield f"ghost: {worker} says that {player}@{game} is online"
                    for player in sorted(expected - listed):
                        yield f"missing: {worker} says that {player}@{game} is offline"

    def mutes(self) -> Iterator[str]:
        """A muted player's line is neither acknowledged nor stored."""
        stored = {received.text for lines in self._recording.history.values() for received in lines}
        by_player: dict[tuple[str, str], list[Line]] = defaultdict(list)
        for line in self._recording.lines.values():
            by_player[line.game, line.player].append(line)
        for mute in self._recording.mutes:
            for line in by_player[mute.game, mute.player]:
                is_muted = line.sent_at > mute.imposed_at + self._mute_seconds
                if is_muted and mute.lifted_at is not None:
                    is_muted = line.answered_at < mute.lifted_at if line.outcome else line.sent_at < mute.lifted_at - 30
                if is_muted and (line.outcome == SUCCESS or line.text in stored):
                    yield f"unmuted: {line.text!r} of {line.player}@{line.game} got through a mute"

    def _compare(self, received: Received, where: str) -> Iterator[str]:
        line = self._recording.lines.get(received.text)
        if line is None:
            yield f"invented: {where} contains {received.text!r}, which nobody sent"
        elif (line.channel, line.game, line.player) != (received.channel, received.game, received.player):
            yield f"mixed up: {where} contains {received.text!r} of {received.player}@{received.game}"

    def _unordered(self, received: list[Received], where: str) -> Iterator[str]:
        latest: dict[tuple[str, str], dict[int, Line]] = defaultdict(dict)
        for each in received:
            line = self._recording.lines.get(each.text)
            if line is None:
                continue
            of_game = latest[line.channel, line.game]
            for before in of_game.values():
                if _must_precede(line, before):
                    yield f"swapped: {where} has {before.text!r} before {line.text!r}"
            of_game[line.socket] = line

    def _was_open(self, socket: Socket, line: Line) -> bool:
        until = line.answered_at + self._delivery_seconds
        return socket.opened_at < line.sent_at and (socket.closed_at is None or until < socket.closed_at)

    def _last_open(self) -> dict[str, float]:
        """Return until when each game's last socket was open."""
        ends: dict[str, float] = {}
        for socket in self._recording.sockets:
            end = float("inf") if socket.closed_at is None else socket.closed_at
            if socket.channels:
                ends[socket.game] = max(ends.get(socket.game, 0), end)
        return ends


def _must_precede(first: Line, second: Line) -> bool:
    """Return whether a game has promised an order of two lines: through one socket, or by waiting for the answer."""
    if first.socket == second.socket:
        return first.sent_at < second.sent_at
    return first.outcome == SUCCESS and first.answered_at < second.sent_at


def _name(socket: Socket) -> str:
    return f"socket {socket.number} of {socket.game}"
