"""Signals: their JSON stays the same, since workers of the previous version may still be running."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from shared import peer_keys, signals
from shared.presence import SocketPresence
from shared.signals import (
    AccountChanged,
    ChannelsCreated,
    ChecksDue,
    CredentialsRevoked,
    Line,
    LinesStored,
    ModerationChanged,
    PlayerSigned,
    PlayersWarned,
    PresenceChanged,
    RestartAnnounced,
    Signal,
    StoredLine,
    SystemTell,
    TakeoverMarked,
    TellAccepted,
    VersionsLogged,
)

GAME = peer_keys.of_game(7)
LINE = Line(1, GAME, "Tea", "Wren", "Hi", datetime(2026, 11, 23, 6, 15, 44, tzinfo=UTC))
LINE_JSON = '{"channel_id":1,"peer":"game:7","game":"Tea","name":"Wren","text":"Hi","sent_at":"2026-11-23T06:15:44Z"}'

WIRE = [
    ("versions", VersionsLogged(43), '{"cursor":43}'),
    ("network", RestartAnnounced(15), '{"restart":15}'),
    ("network", CredentialsRevoked(GAME), '{"revoked":"game:7"}'),
    ("network", AccountChanged(3), '{"user":3}'),
    ("takeover", TakeoverMarked("m", "w", ["checks"]), '{"takeover_mark":"m","worker":"w","topics":["checks"]}'),
    ("checks", ChecksDue(), "{}"),
    ("messages", LinesStored("w", [StoredLine(5, LINE)]), f'{{"worker":"w","lines":[{{"id":5,"line":{LINE_JSON}}}]}}'),
    ("messages", LinesStored("w", has_missed=True), '{"worker":"w","has_missed":true}'),
    (
        "presence",
        PresenceChanged("w", [SocketPresence(id="s", worker="w", peer=GAME, game="Tea")], ["t"]),
        '{"worker":"w","sockets":[{"id":"s","worker":"w","peer":"game:7","game":"Tea"}],"gone":["t"]}',
    ),
    ("presence", PresenceChanged("w", is_again=True, count=2), '{"worker":"w","is_again":true,"count":2}'),
    ("presence", PresenceChanged("w", is_leaving=True), '{"worker":"w","is_leaving":true}'),
    (
        "players",
        PlayerSigned("w", "in", GAME, "Tea", "Wren", True),
        '{"worker":"w","op":"in","peer":"game:7","game":"Tea","name":"Wren","is_told":true}',
    ),
    (
        "tells",
        TellAccepted("w", GAME, "wren", ["s"], "{}"),
        '{"worker":"w","peer":"game:7","player":"wren","to_sockets":["s"],"frame":"{}"}',
    ),
    ("channels-created", ChannelsCreated("w", GAME, 2), '{"worker":"w","peer":"game:7","count":2}'),
    ("moderation", ModerationChanged(4, ["mutes"]), '{"revision":4,"parts":["mutes"]}'),
    (
        "moderation",
        PlayersWarned([SystemTell(GAME, "wren", "Stop.")]),
        '{"tells":[{"peer":"game:7","player":"wren","text":"Stop."}]}',
    ),
]


def _plain(signal):
    return msgspec.to_builtins(signal)


@pytest.mark.parametrize(("topic", "signal", "body"), WIRE)
def test_a_signal_keeps_its_topic_and_its_json(topic, signal, body):
    assert signal.topic == topic
    assert signals.encode(signal).decode() == body
    (decoded,) = signals.decode(topic, body.encode())
    assert type(decoded) is type(signal) and _plain(decoded) == _plain(signal)


def test_every_signal_has_an_example():
    assert {type(signal) for _, signal, _ in WIRE} == {
        signal for signal in Signal.__subclasses__() if signal.__module__ == Signal.__module__
    }


def test_signals_of_a_newer_worker_are_understood():
    """Unknown keys are ignored, and so is an unknown signal on a topic that carries several."""
    assert signals.decode("versions", b'{"cursor":1,"why":"new"}') == [VersionsLogged(1)]
    assert signals.decode("network", b'{"restart":1,"user":2}') == [RestartAnnounced(1), AccountChanged(2)]
    assert signals.decode("network", b'{"pause":1}') == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"cursor":"x"}', b"{}"])
def test_a_malformed_signal_raises(body):
    with pytest.raises(msgspec.MsgspecError):
        signals.decode("versions", body)
