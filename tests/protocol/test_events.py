"""The tables of events are complete, and their classes have valid examples and schemas."""

import json
import typing
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from shared.errors import Invalid
from shared.protocol import INCOMING, OUTGOING, Code, at_least, decode_payload
from shared.protocol.base import Incoming, Outgoing
from shared.protocol.codes import SENTENCES, could_not_subscribe
from shared.protocol.core import Authenticate, AuthenticateSuccess
from shared.protocol.games import GameStatus, WayToConnect
from shared.protocol.players import SignIn
from shared.protocol.sync import SyncChannels, SyncGames
from shared.protocol.tells import ReceiveTell, SendTell
from shared.protocol.types import clean_names, game_key, parse_version, whole_seconds


def leaves(cls: type[Any]) -> set[type[Any]]:
    return {cls} if not cls.__subclasses__() else set().union(*map(leaves, cls.__subclasses__()))


def test_every_class_is_in_its_table() -> None:
    # Frames between browsers and workers are not part of the protocol for games.
    of_browsers = {cls for cls in leaves(Incoming) | leaves(Outgoing) if cls.__module__ == "shared.protocol.browser"}
    assert set(INCOMING.values()) == leaves(Incoming) - of_browsers
    assert set(OUTGOING.values()) == leaves(Outgoing) - of_browsers
    for table in (INCOMING, OUTGOING):
        for event, cls in table.items():
            assert (cls.event, bool(cls.flag), bool(cls.__doc__)) == (event, True, True)


@pytest.mark.parametrize("event", INCOMING)
def test_examples_of_requests_decode_to_the_same_values(event: str) -> None:
    cls = INCOMING[event]
    value = decode_payload(cls, msgspec.Raw(json.dumps(cls.example).encode()))

    assert cls.example.items() <= msgspec.to_builtins(value).items()


@pytest.mark.parametrize("event", OUTGOING)
def test_examples_of_answers_and_events_encode_to_themselves(event: str) -> None:
    cls = OUTGOING[event]
    value = msgspec.json.decode(json.dumps(cls.example), type=cls)

    assert json.loads(msgspec.json.encode(value)) == cls.example


@pytest.mark.parametrize("cls", [SyncChannels, SyncGames])
def test_examples_of_records_match_their_class(cls: type[SyncChannels] | type[SyncGames]) -> None:
    for record in cls.example[cls.event.partition("/")[2]]:
        assert msgspec.to_builtins(msgspec.convert(record, cls.record)) == record


@pytest.mark.parametrize("cls", sorted({*INCOMING.values(), *OUTGOING.values()}, key=lambda cls: cls.__name__))
def test_every_class_has_a_schema(cls: type[Any]) -> None:
    schema = msgspec.json.schema(cls)["$defs"][cls.__name__]

    assert set(schema["properties"]) == set(cls.__struct_fields__)
    assert set(typing.get_type_hints(cls)) >= set(cls.__struct_fields__)


def test_every_code_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Code)
    assert all(SENTENCES.values())
    assert could_not_subscribe("ab") == "Could not subscribe to 'ab'"
    assert len(could_not_subscribe("x" * 65536)) < 200


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("2.4.0", (2, 4, 0)),
        ("2.3", (2, 3, 0)),
        ("2", (2, 0, 0)),
        ("0.1.9", (0, 1, 9)),
        ("v2.4.1-rc1", (2, 4, 1)),
        ("10.0.0", (10, 0, 0)),
        ("", (1, 0, 0)),
        ("latest", (1, 0, 0)),
        ("9" * 5000, (1, 0, 0)),
        ("-3", (1, 0, 0)),
        ("٢.٤.٠", (1, 0, 0)),
        ("2.x", (2, 0, 0)),
    ],
)
def test_versions_are_parsed(version: str, numbers: tuple[int, int, int]) -> None:
    assert parse_version(version) == numbers
    assert at_least(version, "2.4.0") == (numbers >= (2, 4, 0))


def test_unknown_flags_are_ignored() -> None:
    value = Authenticate(supports=["Channels", "dance", "tells", "DANCE", "achievements"])

    assert value.flags == {"channels", "tells", "achievements"}
    assert value.ignored == ["dance"]


def test_the_answer_to_authenticate_has_no_unneeded_keys() -> None:
    assert msgspec.json.encode(AuthenticateSuccess()).decode() == '{"unicode":"✔️","version":"2.4.0"}'
    assert msgspec.to_builtins(AuthenticateSuccess(ignored=["x"], refused_channels=["bad name"])) == {
        "unicode": "✔️", "version": "2.4.0", "ignored": ["x"], "refused_channels": ["bad name"],
    }  # fmt: skip


def test_constructing_a_value_cleans_it_too() -> None:
    assert SignIn(name=" <b>Al  ice ").name == "Al ice"
    with pytest.raises(Invalid) as caught:
        SignIn(name="x" * 61)
    assert caught.value.field == "name"
    assert SignIn(name="x" * 60 + "<b>" * 100).name == "x" * 60


def test_the_time_of_a_tell_has_whole_seconds() -> None:
    """Some clients parse only `%Y-%m-%dT%H:%M:%SZ`."""
    now = datetime(2026, 11, 23, 6, 15, 44, 849000, tzinfo=UTC)
    tell = SendTell(from_name="A", to_game="m", to_name="b", message="hi")

    received = ReceiveTell.of("Far", tell, arrived_at=now)

    assert msgspec.to_builtins(received) == {
        "from_game": "Far", "from_name": "A", "to_name": "b", "sent_at": "2026-11-23T06:15:44Z", "message": "hi",
    }  # fmt: skip
    assert whole_seconds(now.astimezone(timezone(timedelta(hours=2)))).isoformat() == "2026-11-23T06:15:44+00:00"


def test_a_game_status_has_both_spellings_and_no_unknown_values() -> None:
    ways = [WayToConnect(type="web", url="https://a.example"), WayToConnect(type="telnet", host="a.example", port=4000)]
    status = GameStatus.of(
        game="A", display_name="The A", user_agent_url="https://ua.example", connections=ways, players_online_count=0
    )

    assert msgspec.to_builtins(status) == {
        "game": "A",
        "display_name": "The A",
        "user_agent_url": "https://ua.example",
        "user_agent_repo_url": "https://ua.example",
        "connections": [
            {"type": "web", "url": "https://a.example"},
            {"type": "telnet", "host": "a.example", "port": 4000},
        ],
        "players_online_count": 0,
        "player_online_count": 0,
    }


def test_names_are_compared_as_the_protocol_says() -> None:
    assert game_key("Mid  MUD") == game_key("midmud")
    assert clean_names(["Alice", "ALICE", " ", "\ud800", "x" * 61, "Bob"]) == ["Alice", "Bob"]
