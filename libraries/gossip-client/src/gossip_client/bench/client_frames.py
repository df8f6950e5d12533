"""The rules for what a client sends: which events, which fields, and which flag they need. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

FLAGS = ("channels", "players", "tells", "games", "achievements")
CHANNEL = re.compile(r"[A-Za-z_-]{3,15}")
LONGEST_MESSAGE = 4_000
LONGEST_NAME = 60
APPLICATIONS_ONLY = ("sync", "moderation/")


@dataclass(frozen=True)
class Rule:
    """What an event needs.

    Attributes:
        required, optional: Fields with the names of their types (`_TYPES`).
        needs_ref: Whether the network ignores it without a `ref`.
    """

    flag: str | None
    required: Mapping[str, str]
    optional: Mapping[str, str]
    needs_ref: bool = False


@dataclass(frozen=True)
class Fault:
    """Something wrong with a frame.

    Attributes:
        is_refused: Whether the network refuses or ignores the frame. Otherwise it only could be better.
    """

    text: str
    is_refused: bool = True


RULES = {
    "heartbeat": Rule(None, {}, {"players": "names"}),
    "channels/subscribe": Rule("channels", {"channel": "channel"}, {}),
    "channels/unsubscribe": Rule("channels", {"channel": "channel"}, {}),
    "channels/send": Rule("channels", {"channel": "channel", "name": "name", "message": "message"}, {}),
    "channels/history": Rule(
        "channels", {"channel": "channel"}, {"before": "number", "after": "number", "limit": "number"}, needs_ref=True
    ),
    "players/sign-in": Rule("players", {"name": "name"}, {}),
    "players/sign-out": Rule("players", {"name": "name"}, {}),
    "players/status": Rule("players", {}, {"game": "text"}, needs_ref=True),
    "tells/send": Rule(
        "tells",
        {"from_name": "name", "to_game": "text", "to_name": "name", "message": "message"},
        {"sent_at": "time"},
    ),
    "games/status": Rule("games", {}, {"game": "text"}, needs_ref=True),
    "reports/create": Rule(None, {}, {}, needs_ref=True),
}
_AUTHENTICATE = Rule(
    None,
    {"client_id": "text", "client_secret": "text", "supports": "names"},
    {"channels": "names", "players": "names", "user_agent": "text", "version": "text"},
)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_TYPES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "text": ("a text", lambda value: isinstance(value, str)),
    "number": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "names": ("a list of texts", lambda value: isinstance(value, list) and all(isinstance(n, str) for n in value)),
    "channel": ("3 to 15 of a-z A-Z _ -", lambda value: isinstance(value, str) and CHANNEL.fullmatch(value)),
    "name": (
        f"a text of 1 to {LONGEST_NAME} characters",
        lambda value: isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_NAME,
    ),
    "message": (
        f"a text of 1 to {LONGEST_MESSAGE:,} characters, not only white space",
        lambda value: isinstance(value, str) and value.strip() != "" and len(value) <= LONGEST_MESSAGE,
    ),
    "time": (
        "a time in UTC such as 2026-11-23T06:15:44Z",
        lambda value: value in (None, "") or (isinstance(value, str) and _TIME.fullmatch(value)),
    ),
}


def check_frame(frame: object, flags: Collection[str]) -> list[Fault]:
    """Return the faults of a frame that is not `authenticate`.

    Args:
        frame: The message, read from JSON.
        flags: What the client has declared.
    """
    if not isinstance(frame, dict) or not isinstance(frame.get("event"), str):
        return [Fault('a frame must be an object with an "event"')]
    event = frame["event"]
    rule = RULES.get(event)
    if rule is None:
        if event.startswith(APPLICATIONS_ONLY):
            return [Fault(f"{event} is only for network applications")]
        return [Fault(f"{event} is an event that the network does not know", event.partition("/")[0] not in FLAGS)]
    faults = [Fault(f"{event}: {text}", is_refused) for text, is_refused in _check_payload(frame, rule)]
    if rule.flag is not None and rule.flag not in flags:
        faults.append(Fault(f'{event} needs "{rule.flag}" in supports'))
    if frame.get("ref") is None and event != "heartbeat":
        if rule.needs_ref:
            faults.append(Fault(f"{event} needs a ref: the network ignores it without one"))
        else:
            faults.append(Fault(f"{event} has no ref, so the client never learns whether it worked", False))
    return faults


def check_authenticate(frame: Mapping[str, Any]) -> list[Fault]:
    """Return the faults of the first frame, apart from its flags."""
    return [Fault(f"authenticate: {text}", is_refused) for text, is_refused in _check_payload(frame, _AUTHENTICATE)]


def fields_of(frame: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of a frame if it is an object, or else an empty one."""
    payload = frame.get("payload")
    return payload if isinstance(payload, dict) else {}


def _check_payload(frame: Mapping[str, Any], rule: Rule) -> list[tuple[str, bool]]:
    payload = frame.get("payload")
    if payload is None and not rule.required:
        return []
    if not isinstance(payload, dict):
        return [("payload must be an object", rule.required != {})]
    faults = []
    for name, type_name in {**rule.required, **rule.optional}.items():
        what, is_right = _TYPES[type_name]
        value = payload.get(name)
        if name not in payload or value is None:
            if name in rule.required:
                faults.append((f'"{name}" is missing', True))
        elif not is_right(value):
            # The network forgives odd lists and versions. A channel may be what a player has typed.
            is_forgiven = name in ("players", "channels", "version") or (name == "channel" and isinstance(value, str))
            faults.append((f'"{name}" must be {what}', not is_forgiven))
    return faults
