"""Frames that are refused or ignored: bad envelopes and missing permissions (docs/protocol.md, §2, §10).

Most tests give a string to `dispatch`, without a socket. A few use a real one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.support.in_process_worker import RecordingTransport
from tests.support.network import Network
from tests.support.one_worker import network_of_this_test


@pytest.fixture(scope="module")
def _worker(tmp_path_factory, _migrated_sqlite, _session_valkey):
    """A worker in this process that is never started: it listens on no port, and runs no greenlet."""
    import shutil

    from shared.settings import Settings
    from worker.worker import Worker

    folder = tmp_path_factory.mktemp("worker")
    shutil.copyfile(_migrated_sqlite, folder / "gossip.db")
    return Worker(
        Settings.from_environment(
            {
                "DATABASE_URL": f"sqlite:///{folder}/gossip.db",
                "REDIS_URL": _session_valkey.url,
                "INSTANCE_PATH": str(folder),
                "RATE_LIMITS": "off",
                "SECRET_KEY": "a key for tests, long enough",
            }
        )
    )


@pytest.fixture
def answers_to(_worker):
    """Return a function that gives a message to a new connection (a game's by default) and returns the answers."""
    from shared.services.peers import Peer
    from worker.sockets.connection import Connection

    peers = {
        None: None,
        "game": Peer("game:1", 1, "Tea", False, True, 1),
        "application": Peer("application:1", 1, "Mirror", True, False, 1),
    }

    def give(message, *, peer="game", supports=("channels",), is_debugging=False):
        connection = Connection(_worker.peer_callbacks, RecordingTransport())
        connection.peer = peers[peer]
        connection.supports = frozenset(supports)
        if is_debugging:
            connection.debug()
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        connection.received(text.encode() if isinstance(text, str) else text)
        assert not connection.transport.closed
        return connection.transport.sent

    return give


def test_an_unknown_event_is_refused(answers_to):
    frames = answers_to({"event": "dreams/share", "ref": "r"})
    assert frames == [
        {"event": "dreams/share", "ref": "r", "status": "failure", "code": "unknown-event", "error": "unknown event"}
    ]
    [frame] = answers_to({"event": "dreams/share", "payload": {}})
    assert uuid.UUID(frame.pop("ref"))
    assert frame == {"event": "error", "status": "failure", "code": "unknown-event", "error": "unknown event"}
    [frame] = answers_to({"event": "dreams/share"}, is_debugging=True)
    assert (frame["event"], "ref" in frame) == ("dreams/share", False)


@pytest.mark.parametrize(
    "text", ["", " ", "{", "hello", "{'event': 1}", '{"event": "x",}', "NaN", "\x00", '{"a": 1}{"b": 2}', "[" * 100_000]
)
@pytest.mark.parametrize("peer", ["game", None])
def test_text_that_is_not_json_gets_an_error_event(answers_to, text, peer):
    [frame] = answers_to(text, peer=peer)
    assert (frame["event"], frame["status"]) == ("error", "failure")
    assert frame["code"] in ("not-json", "invalid")
    assert uuid.UUID(frame["ref"])


@pytest.mark.parametrize(
    "text", ["[]", "5", "null", '"heartbeat"', "true", "{}", '{"event": null}', '{"event": 5}', '{"event": ""}']
)
def test_json_that_is_not_a_frame_gets_an_error_event(answers_to, text):
    [frame] = answers_to(text)
    assert (frame["event"], frame["code"]) == ("error", "invalid")
    assert uuid.UUID(frame["ref"])


@pytest.mark.parametrize(
    "ref", ["words and spaces", "", 7, -1.50, 10**30, "9b28272f17a748e0a934a2bb99002833", "🐢", 'quo"te']
)
def test_a_ref_without_a_usable_event_is_still_echoed(answers_to, ref):
    [frame] = answers_to({"ref": ref})
    assert (frame["event"], frame["ref"], frame["code"]) == ("error", ref, "invalid")


@pytest.mark.parametrize("text", ["1.50", "1e2", "-0", "123456789012345678901234567890", '"\\u00e9"'])
def test_a_ref_is_echoed_exactly(_worker, answers_to, text):
    from shared.services.peers import Peer
    from worker.sockets.connection import Connection

    connection = Connection(_worker.peer_callbacks, RecordingTransport())
    connection.peer = Peer("game:1", 1, "Tea", False, True, 1)
    connection.supports = frozenset(["channels"])
    [frame] = _worker.peer_callbacks.answer(
        connection, b'{"event":"channels/unsubscribe","payload":{"channel":"x"},"ref":%b}' % text.encode()
    )
    assert b'"ref":%b,' % text.encode() in frame


@pytest.mark.parametrize("ref", [True, [], {}, ["r"]])
def test_a_ref_of_another_type_is_refused(answers_to, ref):
    [frame] = answers_to({"event": "channels/unsubscribe", "payload": {"channel": "x"}, "ref": ref})
    assert (frame["event"], frame["code"]) == ("error", "invalid") and '"ref"' in frame["error"]


def test_a_null_ref_counts_as_absent(answers_to):
    assert answers_to({"event": "channels/unsubscribe", "payload": {"channel": "x"}, "ref": None}) == []


@pytest.mark.parametrize("payload", [None, [], "x", 5, {}, {"channel": None}, {"channel": 5}, {"channel": ["x"]}])
@pytest.mark.parametrize("event", ["channels/subscribe", "channels/unsubscribe", "channels/send", "channels/history"])
def test_a_malformed_payload_names_the_field(answers_to, event, payload):
    [frame] = answers_to({"event": event, "payload": payload, "ref": "r"})
    assert (frame["event"], frame["ref"], frame["status"], frame["code"]) == (event, "r", "failure", "invalid")
    assert '"channel"' in frame["error"] or "must be an object" in frame["error"]
    assert set(frame) == {"event", "ref", "status", "code", "error"}
    assert answers_to({"event": event, "payload": payload}) == []


@pytest.mark.parametrize(
    ("event", "flag"),
    [
        ("channels/subscribe", "channels"),
        ("channels/send", "channels"),
        ("channels/history", "channels"),
        ("players/sign-in", "players"),
        ("players/status", "players"),
        ("tells/send", "tells"),
        ("games/status", "games"),
    ],
)
def test_an_event_whose_flag_was_not_declared_is_refused(answers_to, event, flag):
    from worker.routes import ROUTES

    assert ROUTES[event].flag == flag
    supports = {"channels", "players", "tells", "games"} - {flag}
    [frame] = answers_to({"event": event, "ref": "r", "payload": {}}, supports=supports)
    assert (frame["code"], frame["error"]) == ("missing-support", f'missing support for "{flag}"')
    assert answers_to({"event": event, "payload": {}}, supports=supports) == []


def test_games_cannot_sync(answers_to):
    [frame] = answers_to({"event": "sync", "ref": "r", "payload": {"since": 1}})
    assert (frame["code"], frame["error"], frame["event"]) == ("not-an-application", "not an application", "sync")
    assert answers_to({"event": "sync", "payload": {"since": 1}}) == []


@pytest.mark.parametrize("since", ["x", 1.5, True, [], {}])
def test_a_malformed_sync_request_is_refused(answers_to, since):
    [frame] = answers_to({"event": "sync", "ref": "r", "payload": {"since": since}}, peer="application")
    assert (frame["code"], '"since"' in frame["error"]) == ("invalid", True)


def test_a_request_without_the_ref_it_needs_is_not_answered(answers_to):
    """The client could not match the answer to its request, so nothing is sent, except in debug."""
    assert answers_to({"event": "sync", "payload": {}}, peer="application") == []
    [frame] = answers_to({"event": "sync", "payload": {}}, peer="application", is_debugging=True)
    assert (frame["code"], '"ref"' in frame["error"]) == ("invalid", True)


def test_a_bug_is_answered_with_internal_and_the_socket_stays(answers_to, monkeypatch):
    from dataclasses import replace

    from worker.routes import ROUTES

    def broken(connection, payload):
        raise RuntimeError("a secret detail")

    monkeypatch.setitem(ROUTES, "channels/unsubscribe", replace(ROUTES["channels/unsubscribe"], handler=broken))
    [frame] = answers_to({"event": "channels/unsubscribe", "payload": {"channel": "x"}, "ref": "r"})
    assert (frame["code"], frame["error"]) == ("internal", "internal error")
    assert answers_to({"event": "channels/unsubscribe", "payload": {"channel": "x"}}) == []


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff{"event": "channels/unsubscribe", "ref": "r", "payload": {"channel": "x"}}',
        '{\n "ref": "r",\n "payload": {"channel": "x", "more": 1},\n "ts": 5, "event": "channels/unsubscribe"\n}\r\n',
        '{"events": "channels/unsubscribe", "ref": "r", "payload": {"channel": "x"}}',
    ],
)
def test_harmless_mistakes_are_accepted(answers_to, text):
    assert answers_to(text) == [{"event": "channels/unsubscribe", "ref": "r", "status": "success"}]


def test_only_authenticate_is_open_before_authentication(answers_to):
    """All other events are refused as unauthenticated."""
    from worker.routes import ROUTES

    assert [event for event, route in ROUTES.items() if route.is_anonymous] == ["authenticate"]
    for event in ROUTES:
        if event != "authenticate":
            [frame] = answers_to({"event": event, "ref": "r", "payload": {}}, peer=None)
            assert (frame["event"], frame["code"]) == (event, "unauthenticated")


# Through a real socket


@pytest.fixture
def network(_usual_networks) -> Iterator[Network]:
    yield from network_of_this_test(_usual_networks(1))


def test_the_socket_stays_open_after_every_failure(network):
    game = network.game()
    socket = network.open()
    socket.authenticate(game.client_id, game.client_secret)
    messages = ["hello", "{}", "[]", '{"event": "x"}', '{"event": "channels/send", "ref": "1"}', "", '{"ref": 5}']
    for text in messages:
        socket.send_text(text)
    socket.settle()
    assert len(socket.events("error")) == 6
    assert [frame["code"] for frame in socket.events("channels/send")] == ["invalid"]


def test_each_frame_is_one_line_of_compact_json(network):
    """Ordinary frames are also short."""
    game = network.game()
    socket = network.open()
    raw: list[bytes] = []
    receive = socket._socket.recv_data

    def keep(*arguments, **options):
        opcode, data = receive(*arguments, **options)
        raw.append(data)
        return opcode, data

    socket._socket.recv_data = keep
    socket.authenticate(game.client_id, game.client_secret, channels=["gossip"])
    socket.send_text("{")
    socket.request("channels/subscribe", {"channel": "no good"})
    socket.request("channels/subscribe", {"channel": "gossip"})
    assert len(raw) >= 5
    for data in raw:
        assert data.decode() == json.dumps(json.loads(data), separators=(",", ":"), ensure_ascii=False)
        assert len(data) < 512


def test_the_worker_also_answers_http_requests(network):
    """For load balancers and Prometheus."""
    from tests.support.servers import get

    worker = network.workers[0]
    status, body = get(worker.port, "/_health")
    assert status == 200 and json.loads(body)["status"] == "ok"
    status, body = get(worker.port, "/metrics")
    assert status == 200 and "worker_cursor" in body


def test_each_of_several_workers_on_one_port_has_its_own_metrics(start_worker):
    """Each has its own port for load balancers and Prometheus, which accepts no sockets."""
    from tests.support.processes import free_port
    from tests.support.servers import get

    shared, ports = free_port(), [free_port(), free_port()]
    for port in ports:
        start_worker(SOCKET_PORT=str(shared), WORKER_METRICS_PORT=str(port))
    for port in ports:
        assert get(port, "/_health")[0] == 200
        assert "worker_sockets 0.0" in get(port, "/metrics")[1]
        assert get(port, "/socket")[0] == 404
