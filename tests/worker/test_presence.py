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
    one, two = pair
    one.open_socket("s1", "Wren")
    wait_for(lambda: two.sees("s1"))
    assert two.changes == [(GAME, True)]
    assert two.view.sockets["s1"].players == ["Wren"]
    assert two.view.list_games() == [(1, ["Wren"])]


def test_a_socket_that_leaves_is_dropped_by_all_workers_and_from_redis(pair):
    one, two = pair
    connection = one.open_socket("s1", "Wren")
    wait_for(lambda: two.sees("s1"))
    one.view.leave(connection)
    assert one.sees()
    wait_for(lambda: two.sees())
    assert two.view.by_peer == {}
    assert two.view.find_peer("Ashfall") is None
    assert list_sockets(one.link.redis) == []


def test_changes_of_a_socket_that_is_not_online_are_ignored(pair):
    one, _ = pair
    connection = one.open_socket("s1")
    one.view.leave(connection)
    one.view.update(connection)
    one.view.leave(connection)
    assert one.sees()


def test_the_players_of_a_game_are_those_of_all_its_sockets(pair):
    one, two = pair
    one.open_socket("s1", "Wren", "ADA")
    two.open_socket("s2", "Robin", "wren")
    wait_for(lambda: one.sees("s1", "s2") and two.sees("s1", "s2"))
    for worker in pair:
        names = worker.view.players_of(GAME)
        assert [name.lower() for name in names] == ["ada", "robin", "wren"]
    assert one.view.players_of(peer_keys.of_game(2)) == []


def test_players_and_games_are_found_in_any_case(pair):
    one, _ = pair
    one.open_socket("s1", "Wren", game="Ashfall")
    assert one.view.has_player(GAME, "wREN")
    assert not one.view.has_player(GAME, "Robin")
    assert one.view.find_peer(" ASH fall ") == GAME
    assert one.view.find_peer("Emberton") is None


def test_a_renamed_game_is_found_by_its_new_name_only(pair):
    one, two = pair
    connection = one.open_socket("s1")
    connection.peer.short_name = "Emberton"
    one.view.update(connection)
    wait_for(lambda: two.view.find_peer("Emberton") == GAME)
    for worker in pair:
        assert worker.view.find_peer("Emberton") == GAME
        assert worker.view.find_peer("Ashfall") is None


def test_a_reused_name_stays_with_its_new_game(pair):
    one, _ = pair
    connection = one.open_socket("s1")
    other = peer_keys.of_game(2)
    one.open_socket("s2", game="Ashfall", peer=other)
    one.view.leave(connection)
    assert one.view.find_peer("Ashfall") == other


def test_the_sockets_of_a_killed_worker_expire(pair):
    one, two = pair
    one.open_socket("s1")
    two.open_socket("s2")
    wait_for(lambda: two.sees("s1", "s2"))
    one.link.disconnect()  # it never publishes again
    wait_for(lambda: two.sees("s2"))
    assert two.changes[-1] == (GAME, True)
    wait_for(lambda: not two.link.redis.exists(SOCKETS_KEY + "one"))


def test_a_living_worker_is_not_dropped(pair):
    one, two = pair
    one.open_socket("s1")
    wait_for(lambda: two.sees("s1"))
    gevent.sleep(1.5 * EXPIRES_SECONDS)
    assert two.sees("s1")
    assert two.link.redis.exists(SOCKETS_KEY + "one")


def test_no_worker_is_dropped_while_redis_is_away(pair):
    one, two = pair
    one.open_socket("s1")
    wait_for(lambda: two.sees("s1"))
    two.link.disconnect()
    gevent.sleep(1.5 * EXPIRES_SECONDS)
    assert two.sees("s1")


def test_a_lost_arrival_is_noticed_by_counting(pair):
    one, two = pair
    one.link.is_losing_signals = True
    one.open_socket("s1")
    wait_for(lambda: one.link.published and list_sockets(two.link.redis))
    one.link.is_losing_signals = False
    assert two.sees()
    wait_for(lambda: two.sees("s1"))
    assert two.changes == [(GAME, False)]  # known late, so it is not announced


def test_a_lost_departure_is_noticed_by_counting(pair):
    one, two = pair
    connection = one.open_socket("s1")
    one.open_socket("s2")
    wait_for(lambda: two.sees("s1", "s2"))
    one.link.is_losing_signals = True
    one.view.leave(connection)
    wait_for(lambda: len(list_sockets(two.link.redis)) == 1)
    one.link.is_losing_signals = False
    wait_for(lambda: two.sees("s2"))


def test_a_worker_that_starts_later_reads_the_existing_sockets(start):
    one = start("one")
    one.open_socket("s1", "Wren")
    wait_for(lambda: list_sockets(one.link.redis))
    two = start("two")
    assert two.view.wait_until_ready(1.0)
    assert two.sees("s1")
    assert two.changes == [(GAME, False)]


def test_everything_is_written_and_read_again_after_an_outage(pair, valkey):
    """Redis lost its data. Meanwhile one socket left, and another arrived."""
    one, two = pair
    leaving = one.open_socket("s1")
    one.open_socket("s2")
    two.open_socket("s3")
    wait_for(lambda: one.sees("s1", "s2", "s3") and two.sees("s1", "s2", "s3"))
    for worker in pair:
        worker.link.disconnect()
    valkey.empty()
    one.view.leave(leaving)
    two.open_socket("s4")
    gevent.sleep(0.05)  # what they publish now is lost
    for worker in pair:
        worker.changes.clear()
        worker.link.reconnect()

    wait_for(lambda: one.sees("s2", "s3", "s4") and two.sees("s2", "s3", "s4"))
    wait_for(lambda: {socket.id for socket in list_sockets(one.link.redis)} == {"s2", "s3", "s4"})
    assert (GAME, True) not in [change for change in one.changes if change[1]]


def test_sockets_that_left_during_an_outage_are_removed_from_redis(start):
    one = start("one")
    connection = one.open_socket("s1")
    one.open_socket("s2")
    wait_for(lambda: len(list_sockets(one.link.redis)) == 2)
    one.link.disconnect()
    one.view.leave(connection)
    gevent.sleep(0.05)
    one.link.reconnect()
    wait_for(lambda: [socket.id for socket in list_sockets(one.link.redis)] == ["s2"])


def test_a_stopping_worker_removes_its_sockets_at_once(pair):
    one, two = pair
    one.open_socket("s1")
    wait_for(lambda: two.sees("s1"))
    one.view.say_goodbye()
    assert two.sees()
    assert not one.link.redis.exists(SOCKETS_KEY + "one")


def test_a_stopped_worker_is_not_taken_for_a_lost_one(pair):
    """Its sockets close after it has said goodbye, and it signals that. A killed worker is lost."""
    one, two = pair
    connection = one.open_socket("s1")
    wait_for(lambda: two.sees("s1"))
    lost: list[str] = []
    two.view.on_worker_lost = lambda: lost.append("lost")
    two.link.receive(PresenceChanged("three"))
    one.view.say_goodbye()
    one.view.leave(connection)
    wait_for(lambda: any(isinstance(each, PresenceChanged) and each.gone for each in one.link.published))
    one.link.disconnect()
    wait_for(lambda: lost)  # worker three, which was heard of earlier than the departure
    gevent.sleep(EXPIRES_SECONDS)
    assert lost == ["lost"]


def test_a_signal_about_a_change_follows_that_change(pair):
    one, _ = pair
    one.link.published.clear()
    notice = PlayerSigned("one", "in", GAME, "Ashfall", "Wren", True)
    one.view.publish_after(notice)
    one.open_socket("s1", "Wren")
    wait_for(lambda: notice in one.link.published)
    before = one.link.published[: one.link.published.index(notice)]
    sockets = [socket for signal in before if isinstance(signal, PresenceChanged) for socket in signal.sockets]
    assert [socket.id for socket in sockets] == ["s1"]
