"""Signals are published only after the commit, discarded by a rollback, and never make a commit fail."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import gevent.socket
import pytest

from shared import bus, db
from shared.bus import Bus, announce, take_announcements
from shared.errors import Invalid
from shared.services import channels
from shared.signals import TOPIC_PREFIX, RestartAnnounced, VersionsLogged


class Recorder(Bus):
    """A bus that records each signal, with the number of channels that another connection sees at that moment."""

    def __init__(self):
        self.published = []

    def publish(self, signal):
        with db.reading() as session:
            self.published.append((signal, len(channels.list_channels(session))))
        return True


@pytest.fixture
def recorder():
    recorder = Recorder()
    bus.publish_after_commit(recorder)
    yield recorder
    bus.publish_after_commit(None)


pytestmark = pytest.mark.usefixtures("any_database", "engine")


def test_signals_go_out_after_the_commit_in_their_order(recorder):
    """A receiver can read the change that a signal is about."""
    with db.transaction() as session:
        announce(session, RestartAnnounced(1))
        channels.ensure_channel(session, name="gossip")
        announce(session, RestartAnnounced(2))
        session.flush()
        assert recorder.published == []
    assert recorder.published == [
        (RestartAnnounced(1), 1),
        (RestartAnnounced(2), 1),
        (VersionsLogged(1), 1),
    ]


def test_a_rollback_discards_signals(recorder):
    with pytest.raises(Invalid):
        with db.transaction() as session:
            announce(session, RestartAnnounced(1))
            channels.ensure_channel(session, name="gossip")
            raise Invalid("no")
    with db.transaction() as session:
        announce(session, RestartAnnounced(2))
    assert [signal for signal, _ in recorder.published] == [RestartAnnounced(2)]


def test_a_session_can_be_used_after_a_rollback(recorder, session):
    announce(session, RestartAnnounced(1))
    channels.ensure_channel(session, name="gossip")
    session.rollback()
    channels.ensure_channel(session, name="testing")
    session.commit()
    assert [signal for signal, _ in recorder.published] == [VersionsLogged(1)]


def test_a_failed_commit_publishes_nothing(recorder, stored):
    stored.channel("gossip")
    recorder.published.clear()
    session = db.SessionFactory()
    announce(session, RestartAnnounced(1))
    session.add(channels.Channel(name="GOSSIP"))
    with pytest.raises(Exception, match=r"(?i)unique"):
        session.commit()
    session.close()
    assert recorder.published == []


def test_releasing_a_savepoint_publishes_nothing(recorder, session):
    with session.begin_nested():
        announce(session, RestartAnnounced(1))
        session.flush()
    assert recorder.published == []
    session.commit()
    assert [signal for signal, _ in recorder.published] == [RestartAnnounced(1)]


def test_a_signal_is_published_once(recorder, session):
    announce(session, RestartAnnounced(1))
    session.commit()
    session.commit()
    channels.ensure_channel(session, name="gossip")
    session.commit()
    assert [signal.topic for signal, _ in recorder.published] == ["network", "versions"]


def test_without_a_publisher_signals_are_kept_for_the_worker(session):
    """The worker takes them after the commit and publishes them itself."""
    announce(session, RestartAnnounced(1))
    assert take_announcements(session) == []
    session.commit()
    assert take_announcements(session) == [RestartAnnounced(1)]
    assert take_announcements(session) == []


def test_an_outage_of_redis_does_not_fail_the_commit():
    bus.publish_after_commit(Bus("unix:///nowhere/at/all.sock"))
    try:
        with db.transaction() as session:
            channels.ensure_channel(session, name="gossip")
        with db.reading() as session:
            assert channels.get_channel(session, "gossip")
    finally:
        bus.publish_after_commit(None)


def test_a_redis_that_accepts_no_connection_is_down(tmp_path, monkeypatch):
    """Connecting to a Unix socket takes too long while its server is frozen and its queue is full.

    Python's own sockets fail at once then. Those of a worker wait.
    """
    monkeypatch.setattr("redis.connection.socket", gevent.socket)
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as frozen, ExitStack() as opened:
        frozen.bind(path)
        frozen.listen(0)
        for _ in range(2):
            client = opened.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(path)
        frozen_bus = Bus(f"unix://{path}", socket_connect_timeout=0.1)
        assert not frozen_bus.is_up()
        assert not frozen_bus.publish(RestartAnnounced(1))


def test_signals_are_published_again_when_redis_is_back(own_valkey):
    """A lost signal is not repeated."""
    sender, listener = Bus(own_valkey.url), Bus(own_valkey.url)
    assert sender.is_up()
    own_valkey.stop()
    assert not sender.publish(RestartAnnounced(1))
    assert not sender.is_up()
    own_valkey.start()
    pubsub = listener.redis.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(TOPIC_PREFIX + "network")
    pubsub.get_message(timeout=1)
    assert sender.publish(RestartAnnounced(2))
    message = None
    while message is None:
        message = pubsub.get_message(timeout=5)
    assert (message["channel"], message["data"]) == (b"gossip:network", b'{"restart":2}')
    pubsub.close()
