"""The worker's copy of channels and games, which changes of the log rename, hide and delete."""

from __future__ import annotations

import msgspec
import pytest

from shared.protocol.sync import ChannelRecord
from shared.services import versions
from shared.services.versions import Change
from worker.network import directory
from worker.network.directory import Directory, State


def channel(number: int, name: str, *, hidden: bool = False) -> ChannelRecord:
    return ChannelRecord(id=number, name=name, description=None, hidden=hidden)


def change(number: int, name: str | None, *, hidden: bool = False) -> Change:
    """Return the change of a channel. It is deleted if it has no name."""
    record = None if name is None else msgspec.json.encode(channel(number, name, hidden=hidden)).decode()
    return Change(cursor=1, kind="channels", record_id=number, record=record)


@pytest.fixture
def filled() -> Directory:
    records = Directory()
    records.fill(State(5, [channel(1, "gossip"), channel(2, "Trade")]))
    return records


def id_of(records: Directory, name: str) -> int | None:
    record = records.find_channel(name)
    return None if record is None else record.id


def test_a_channel_is_found_in_any_case(filled):
    assert id_of(filled, "GOSSIP") == 1
    assert id_of(filled, "trade") == 2
    assert id_of(filled, "other") is None


def test_a_new_channel_is_added(filled):
    filled.apply(change(3, "quests"))
    assert id_of(filled, "quests") == 3


def test_a_renamed_channel_is_found_by_its_new_name_only(filled):
    filled.apply(change(1, "chat"))
    assert id_of(filled, "chat") == 1
    assert id_of(filled, "gossip") is None
    assert filled.channels[1].name == "chat"


def test_a_channel_can_take_the_old_name_of_another(filled):
    filled.apply(change(1, "chat"))
    filled.apply(change(2, "gossip"))
    filled.apply(change(1, None))
    assert id_of(filled, "gossip") == 2
    assert id_of(filled, "chat") is None


def test_a_deleted_channel_does_not_take_its_old_name_from_another(filled):
    """Another channel can take a name before the record of the earlier channel is deleted."""
    filled.put_channel(channel(2, "gossip"))
    filled.remove_channel(1)
    assert id_of(filled, "gossip") == 2


def test_a_hidden_channel_stays_and_is_marked(filled):
    filled.apply(change(1, "gossip", hidden=True))
    record = filled.find_channel("gossip")
    assert record is not None and record.hidden


def test_deleting_an_unknown_channel_does_nothing(filled):
    filled.apply(change(9, None))
    assert filled.remove_channel(9) is None
    assert set(filled.channels) == {1, 2}


def test_a_state_replaces_everything(filled):
    filled.games[1] = object()
    filled.fill(State(6, [channel(2, "market")]))
    assert set(filled.channels) == {2}
    assert id_of(filled, "gossip") is None
    assert filled.games == {}


def test_only_requested_games_follow_the_log(session, make):
    game, other = make.game("Ashfall"), make.game("Emberton")
    session.commit()
    records = Directory()
    cursor, games = directory.load_games(session, [game.id])
    assert cursor == versions.last_cursor(session)
    records.games.update((record.id, record) for record in games)
    game.name, other.name = "The new Ashfall", "The new Emberton"
    session.commit()

    for entry in versions.since(session, cursor):
        records.apply(entry)

    assert {record.name for record in records.games.values()} == {"The new Ashfall"}


def test_a_deleted_game_is_removed(session, make):
    game = make.game()
    session.commit()
    records = Directory()
    records.games.update((record.id, record) for record in directory.load_games(session, [game.id])[1])
    records.apply(Change(9, "games", game.id, None))
    assert records.games == {}
    assert records.decode_game(Change(9, "games", game.id, None)) is None


def test_all_channels_are_read_over_several_pages(session, make, monkeypatch):
    names = {make.channel().name for _ in range(5)}
    session.commit()
    read_page = versions.state_page
    monkeypatch.setattr(versions, "state_page", lambda *given, **fields: read_page(*given, **fields, limit=2))

    state = directory.load(session)

    assert {record.name for record in state.channels} >= names
    assert len({record.id for record in state.channels}) == len(state.channels)
    assert state.cursor == versions.last_cursor(session)
