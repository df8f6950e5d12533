"""The views of several workers on one Redis: what they share, and how they recover after missing signals.

The workers are `Presence` objects in this process. Signals pass directly between them, so that a test can lose some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
import redis

from shared import peer_keys
from shared.peer_keys import PeerKey
from shared.presence import SOCKETS_KEY, list_sockets
from shared.signals import PlayerSigned, PresenceChanged, Signal, decode, encode
from tests.support.in_process import ending_greenlets, wait_for
from worker.network.presence import Presence

GAME = peer_keys.of_game(1)
EXPIRES_SECONDS = 0.75


class FakeRedisLink:
    """Stands in for `Signals`. Commands run at once, and signals reach the other workers at once."""

    def __init__(self, url: str, links: list[FakeRedisLink]) -> None:
        self.redis = redis.Redis.from_url(url)
        self.is_connected = True
        self.is_losing_signals = False
        self.published: list[Signal] = []
        self._links = links
        self._handlers: dict[type, Callable[[Any], None]] = {}
        self._connected: list[Callable[[], None]] = []
        links.append(self)

    def on(self, signal_class: type, handler: Callable[[Any], None]) -> None:
        self._handlers[signal_class] = handler

    def on_connected(self, handler: Callable[[], None]) -> None:
        self._connected.append(handler)

    def command(self, *command: Any) -> None:
        if self.is_connected:
            self.redis.execute_command(*command)

    def publish(self, signal: Signal) -> None:
        self.published.append(signal)
        if not self.is_connected or self.is_losing_signals:
            return
        for link in self._links:
            if link.is_connected:
                link.receive(signal)

    def receive(self, signal: Signal) -> None:
        for decoded in decode(signal.topic, encode(signal)):
            handler = self._handlers.get(type(decoded))
            if handler is not None:
                handler(decoded)

    def disconnect(self) -> None:
        self.is_connected = False

    def reconnect(self) -> None:
        self.is_connected = True
        for handler in self._connected:
            handler()


class FakeWorker:
    """A view and the changes that it has reported."""

    def __init__(self, name: str, link: FakeRedisLink) -> None:
        self.name = name
        self.link = link
        self.changes: list[tuple[PeerKey, bool]] = []
        self.view = Presence(name, link, dict, expires_seconds=EXPIRES_SECONDS)  # type: ignore[arg-type]
        self.view.on_change = lambda peer, is_news: self.changes.append((peer, is_news))
        self.view.start()
        link.reconnect()
        wait_for(lambda: any(signal.is_again for signal in link.published))  # later sockets are news

    def open_socket(self, socket_id: str, *players: str, game: str = "Ashfall", peer: PeerKey = GAME) -> Any:
        connection = SimpleNamespace(
            id=socket_id,
            peer_key=peer,
            peer=SimpleNamespace(key=peer, short_name=game, is_application=False, is_displayed=True),
            transport=SimpleNamespace(address="127.0.0.1"),
            opened_at=1.0,
            seen_at=2.0,
            version="2.4.0",
            user_agent=None,
            supports=frozenset({"channels", "players"}),
            channels={3: 1.0},
            players={name.lower(): name for name in players},
        )
        self.view.arrive(connection)
        return connection

    def sees(self, *socket_ids: str) -> bool:
        return set(self.view.sockets) == set(socket_ids)


@pytest.fixture
def start(valkey, monkeypatch) -> Iterator[Callable[[str], FakeWorker]]:
    """Return a function that starts a worker. The workers end with the test."""
    links: list[FakeRedisLink] = []
    with ending_greenlets(monkeypatch):
        yield lambda name: FakeWorker(name, FakeRedisLink(valkey.url, links))
    for link in links:
        link.redis.close()


@pytest.fixture
def pair(start) -> tuple[FakeWorker, FakeWorker]:
    return start("one"), start("two")


def test_all_workers_report_a_new_socket_as_an_arrival(pair):
    first, second = pair
    first.open_socket("s1", "Wren")
    wait_for(lambda: second.sees("s1"))
    assert second.changes == [(GAME, True)]
    assert second.view.sockets["s1"].players == ["Wren"]
    assert second.view.list_games() == [(1, ["Wren"])]


def test_a_socket_that_leaves_is_dropped_by_all_workers_and_from_redis(pair):
    first, second = pair
    connection = first.open_socket("s1", "Wren")
    wait_for(lambda: second.sees("s1"))
    first.view.leave(connection)
    assert first.sees()
    wait_for(lambda: second.sees())
    assert second.view.by_peer == {}
    assert second.view.find_peer("Ashfall") is None
    assert list_sockets(first.link.redis) == []


def test_changes_of_a_socket_that_is_not_online_are_ignored(pair):
    first, _ = pair
    connection = first.open_socket("s1")
    first.view.leave(connection)
    first.view.update(connection)
    first.view.leave(connection)
    assert first.sees()


def test_the_players_of_a_game_are_those_of_all_its_sockets(pair):
    first, second = pair
    first.open_socket("s1", "Wren", "ADA")
    second.open_socket("s2", "Robin", "wren")
    wait_for(lambda: first.sees("s1", "s2") and second.sees("s1", "s2"))
    for worker in pair:
        names = worker.view.players_of(GAME)
        assert [name.lower() for name in names] == ["ada", "robin", "wren"]
    assert first.view.players_of(peer_keys.of_game(2)) == []


def test_players_and_games_are_found_in_any_case(pair):
    first, _ = pair
    first.open_socket("s1", "Wren", game="Ashfall")
    assert first.view.has_player(GAME, "wREN")
    assert not first.view.has_player(GAME, "Robin")
    assert first.view.find_peer(" ASH fall ") == GAME
    assert first.view.find_peer("Emberton") is None


def test_a_renamed_game_is_found_by_its_new_name_only(pair):
    first, second = pair
    connection = first.open_socket("s1")
    connection.peer.short_name = "Emberton"
    first.view.update(connection)
    wait_for(lambda: second.view.find_peer("Emberton") == GAME)
    for worker in pair:
        assert worker.view.find_peer("Emberton") == GAME
        assert worker.view.find_peer("Ashfall") is None


def test_a_reused_name_stays_with_its_new_game(pair):
    first, _ = pair
    connection = first.open_socket("s1")
    other = peer_keys.of_game(2)
    first.open_socket("s2", game="Ashfall", peer=other)
    first.view.leave(connection)
    assert first.view.find_peer("Ashfall") == other


def test_the_sockets_of_a_killed_worker_expire(pair):
    first, second = pair
    first.open_socket("s1")
    second.open_socket("s2")
    wait_for(lambda: second.sees("s1", "s2"))
    first.link.disconnect()  # it never publishes again
    wait_for(lambda: second.sees("s2"))
    assert second.changes[-1] == (GAME, True)
    wait_for(lambda: not second.link.redis.exists(SOCKETS_KEY + "one"))


def test_a_living_worker_is_not_dropped(pair):
    first, second = pair
    first.open_socket("s1")
    wait_for(lambda: second.sees("s1"))
    gevent.sleep(1.5 * EXPIRES_SECONDS)
    assert second.sees("s1")
    assert second.link.redis.exists(SOCKETS_KEY + "one")


def test_no_worker_is_dropped_while_redis_is_down(pair):
    first, second = pair
    first.open_socket("s1")
    wait_for(lambda: second.sees("s1"))
    second.link.disconnect()
    gevent.sleep(1.5 * EXPIRES_SECONDS)
    assert second.sees("s1")


def test_a_lost_arrival_is_noticed_by_counting(pair):
    first, second = pair
    first.link.is_losing_signals = True
    first.open_socket("s1")
    wait_for(lambda: first.link.published and list_sockets(second.link.redis))
    first.link.is_losing_signals = False
    assert second.sees()
    wait_for(lambda: second.sees("s1"))
    assert second.changes == [(GAME, False)]  # known late, so it is not announced


def test_a_lost_departure_is_noticed_by_counting(pair):
    first, second = pair
    connection = first.open_socket("s1")
    first.open_socket("s2")
    wait_for(lambda: second.sees("s1", "s2"))
    first.link.is_losing_signals = True
    first.view.leave(connection)
    wait_for(lambda: len(list_sockets(second.link.redis)) == 1)
    first.link.is_losing_signals = False
    wait_for(lambda: second.sees("s2"))


def test_a_worker_that_starts_later_reads_the_existing_sockets(start):
    first = start("one")
    first.open_socket("s1", "Wren")
    wait_for(lambda: list_sockets(first.link.redis))
    second = start("two")
    assert second.view.wait_until_ready(1.0)
    assert second.sees("s1")
    assert second.changes == [(GAME, False)]


def test_everything_is_written_and_read_again_after_an_outage(pair, valkey):
    """Redis lost its data. Meanwhile one socket left, and another arrived."""
    first, second = pair
    leaving = first.open_socket("s1")
    first.open_socket("s2")
    second.open_socket("s3")
    wait_for(lambda: first.sees("s1", "s2", "s3") and second.sees("s1", "s2", "s3"))
    for worker in pair:
        worker.link.disconnect()
    valkey.empty()
    first.view.leave(leaving)
    second.open_socket("s4")
    gevent.sleep(0.05)  # what they publish now is lost
    for worker in pair:
        worker.changes.clear()
        worker.link.reconnect()

    wait_for(lambda: first.sees("s2", "s3", "s4") and second.sees("s2", "s3", "s4"))
    wait_for(lambda: {socket.id for socket in list_sockets(first.link.redis)} == {"s2", "s3", "s4"})
    assert (GAME, True) not in [change for change in first.changes if change[1]]


def test_sockets_that_left_during_an_outage_are_removed_from_redis(start):
    first = start("one")
    connection = first.open_socket("s1")
    first.open_socket("s2")
    wait_for(lambda: len(list_sockets(first.link.redis)) == 2)
    first.link.disconnect()
    first.view.leave(connection)
    gevent.sleep(0.05)
    first.link.reconnect()
    wait_for(lambda: [socket.id for socket in list_sockets(first.link.redis)] == ["s2"])


def test_a_stopping_worker_removes_its_sockets_at_once(pair):
    first, second = pair
    first.open_socket("s1")
    wait_for(lambda: second.sees("s1"))
    first.view.say_goodbye()
    assert second.sees()
    assert not first.link.redis.exists(SOCKETS_KEY + "one")


def test_a_stopped_worker_is_not_taken_for_a_lost_one(pair):
    """Its sockets close after it has said goodbye, and it signals that. A killed worker is lost."""
    first, second = pair
    connection = first.open_socket("s1")
    wait_for(lambda: second.sees("s1"))
    lost: list[str] = []
    second.view.on_worker_lost = lambda: lost.append("lost")
    second.link.receive(PresenceChanged("three"))
    first.view.say_goodbye()
    first.view.leave(connection)
    wait_for(lambda: any(isinstance(each, PresenceChanged) and each.gone for each in first.link.published))
    first.link.disconnect()
    wait_for(lambda: lost)  # worker three, which was heard of earlier than the departure
    gevent.sleep(EXPIRES_SECONDS)
    assert lost == ["lost"]


def test_a_signal_about_a_change_follows_that_change(pair):
    first, _ = pair
    first.link.published.clear()
    notice = PlayerSigned("one", "in", GAME, "Ashfall", "Wren", True)
    first.view.publish_after(notice)
    first.open_socket("s1", "Wren")
    wait_for(lambda: notice in first.link.published)
    before = first.link.published[: first.link.published.index(notice)]
    sockets = [socket for signal in before if isinstance(signal, PresenceChanged) for socket in signal.sockets]
    assert [socket.id for socket in sockets] == ["s1"]
