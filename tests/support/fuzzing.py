"""Frames that no sane client sends: mutated examples of the protocol, and invented texts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from shared.protocol import INCOMING, OUTGOING
from shared.protocol.base import Incoming

EVENTS = sorted({*INCOMING, *OUTGOING, "", "no/such", "channels", "channels/", "/", "AUTHENTICATE", "moderation/lift"})
STRANGE: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, 2**63, -(2**63), 2**70, "", " ", "\0", "null", "none", [], {}, [[]], [None],
    "\ud800", "\u202etxt", "<b>", "<" * 200, "\x1b[31m", "é" * 70, "😀" * 61, "x" * 5_000, "gossip", "GOSSIP", "all",
    "a b", {"since": {}}, {"since": 2**80}, [1, "a", None, {}], {"": ""}, "Grapevine", "system", "2026-11-23T06:15:44Z",
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z",
]  # fmt: skip


class Fuzzer:
    """Generates frames. The same seed gives the same frames."""

    def __init__(self, seed: int, incoming: Mapping[str, type[Incoming]] = INCOMING) -> None:
        self._random = random.Random(seed)
        self._incoming = incoming
        self._generators: list[Callable[[], str]] = (
            [self._mutated] * 8 + [self._invented] * 4 + [self._damaged] * 3 + [self._deep, self._noise]
        )

    def frame(self) -> str:
        """Return the text of one message."""
        return self._random.choice(self._generators)()

    def _mutated(self) -> str:
        frame = self._example()
        payload = frame["payload"]
        for _ in range(self._random.randint(0, 3)):
            if payload and self._random.random() < 0.7:
                field = self._random.choice(sorted(payload))
                payload[field] = self._value()
                if self._random.random() < 0.2:
                    del payload[field]
            else:
                frame[self._random.choice(["event", "ref", "payload", "events", "ts", "status"])] = self._value()
        return json.dumps(frame)

    def _invented(self) -> str:
        frame = {"event": self._random.choice(EVENTS)}
        for key in ("ref", "payload"):
            if self._random.random() < 0.6:
                frame[key] = self._value()
        return json.dumps(frame, ensure_ascii=self._random.random() < 0.5).encode("utf-8", "replace").decode()

    def _damaged(self) -> str:
        text = list(json.dumps(self._example()))
        for _ in range(self._random.randint(1, 5)):
            position = self._random.randrange(len(text))
            text[position] = self._random.choice(
                ['"', "{", "}", "[", "]", ":", ",", "\\", "\n", "\u2028", "0", "e", ""]
            )
        return "".join(text)

    def _deep(self) -> str:
        opening, closing = self._random.choice([("[", "]"), ('{"a":', "}"), ('{"payload":', "}")])
        depth = self._random.choice([10, 500, 60_000 // len(opening + closing)])  # below the limit of a message
        return '{"event":"heartbeat","payload":' + opening * depth + "1" + closing * depth + "}"

    def _noise(self) -> str:
        length = self._random.choice([0, 1, 5, 300])
        return "".join(chr(self._random.choice([*range(1, 0x250), *range(0x2000, 0x2070)])) for _ in range(length))

    def _example(self) -> dict[str, Any]:
        event = self._random.choice(sorted(self._incoming))
        frame: dict[str, Any] = {"event": event, "payload": json.loads(json.dumps(self._incoming[event].example))}
        if self._random.random() < 0.7:
            frame["ref"] = self._random.choice(["a", 1, 1.0, -7, "", "x" * 300, None, "é"])
        return frame

    def _value(self) -> Any:
        value = self._random.choice(STRANGE)
        if self._random.random() < 0.1:
            return [value] * self._random.choice([1, 3, 1_000])
        return value
