"""Authentication: who is accepted, and how others are refused (docs/protocol.md, §3, §11)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid

import pytest

from shared import db
from shared.models import Game
from shared.services import applications, channels, games
from shared.services.authority.actors import OPERATOR
from tests.support.factory import edit_game
from tests.support.processes import ROOT, clean_environment
from tests.support.waiting import wait_until
from worker.sockets import failures
from worker.sockets.failures import Failures

pytestmark = pytest.mark.one_worker


def stored_game(peer):
    with db.reading() as session:
        game = session.get(Game, int(peer.key.partition(":")[2]))
        assert game is not None
        return game.protocol_version, game.user_agent.name if game.user_agent else None


# Successes


@pytest.mark.in_process
def test_the_first_heartbeat_follows_the_answer_at_once(network):
    game = network.game()
    socket = network.open(answers_heartbeats=False)
    ref = str(uuid.uuid4())
    socket.send(
        "authenticate",
        {"client_id": game.client_id, "client_secret": game.client_secret, "supports": ["channels"]},
        ref=ref,
    )
    socket.wait_for("heartbeat")
    assert socket.frames == [
        {
            "event": "authenticate",
            "ref": ref,
            "status": "success",
            "payload": {"unicode": "✔️", "version": "2.4.0"},
        },
        {"event": "heartbeat"},
    ]


@pytest.mark.in_process
def test_authenticate_is_answered_even_without_a_ref(network):
    game = network.game()
    answer = network.open().authenticate(game.client_id, game.client_secret)
    assert "ref" not in answer


@pytest.mark.in_process
def test_nothing_is_sent_before_the_client_authenticates(network):
    """Not even a heartbeat."""
    socket = network.open()
    socket.send("nothing/known", ref="1")
    socket.wait_for("nothing/known", ref="1")
    assert len(socket.frames) == 1


@pytest.mark.in_process
def test_ids_and_secrets_match_without_case(network):
    game = network.game()
    network.open().authenticate(game.client_id.upper(), f" {game.client_secret.upper()} ")


@pytest.mark.in_process
def test_unknown_flags_are_ignored_and_listed(network):
    game = network.game()
    answer = network.open().authenticate(
        game.client_id, game.client_secret, supports=["channels", "teleport", "PLAYERS", None, "teleport", "dreams"]
    )
    assert answer["payload"]["ignored"] == ["teleport", "dreams"]


def test_listed_channels_are_subscribed_or_refused(network):
    """Invalid names do not fail the authentication, duplicates count once, and unknown channels are created."""
    game, other = network.game(), network.game()
    socket = network.open()
    answer = socket.authenticate(
        game.client_id, game.client_secret, channels=["listed", "LISTED", "no good", "all", "x" * 16, ""]
    )
    assert answer["payload"]["refused_channels"] == ["no good", "all", "x" * 16]
    with db.reading() as session:
        assert channels.get_channel(session, "listed").is_hidden
    sender = network.open()
    sender.authenticate(other.client_id, other.client_secret, channels=["listed"])
    sender.request("channels/send", {"channel": "listed", "name": "A", "message": "heard once"})
    socket.wait_for("channels/broadcast", payload={"message": "heard once"})
    socket.settle()
    assert len(socket.events("channels/broadcast")) == 1


@pytest.mark.in_process
@pytest.mark.parametrize("listed", [None, [], [""], "null"])
def test_the_list_of_channels_may_be_empty(network, listed):
    game = network.game()
    socket = network.open()
    payload = {"client_id": game.client_id, "client_secret": game.client_secret, "supports": ["channels"]}
    socket.send("authenticate", {**payload, "channels": listed})
    answer = socket.wait_for("authenticate")
    assert answer["status"] == "success" and "refused_channels" not in answer["payload"]


def test_the_user_agent_and_the_version_are_remembered(network):
    game = network.game()
    agent = f"ExVenture {uuid.uuid4()}"
    network.open().authenticate(game.client_id, game.client_secret, user_agent=agent, version="2.3.0")
    wait_until(lambda: stored_game(game) == ("2.3.0", agent), what="the game's software is stored")
    network.open().authenticate(game.client_id, game.client_secret, user_agent=None, version=None)
    wait_until(lambda: stored_game(game) == ("1.0.0", agent), what="null counts as absent")


@pytest.mark.in_process
@pytest.mark.parametrize("field", ["user_agent", "version", "players", "channels", "debug", "sync"])
def test_null_counts_as_absent(network, field):
    game = network.game()
    socket = network.open()
    credentials = {"client_id": game.client_id, "client_secret": game.client_secret, "supports": ["channels"]}
    socket.send("authenticate", {**credentials, field: None})
    assert socket.wait_for("authenticate")["status"] == "success"


def test_a_game_may_have_several_sockets(network):
    game = network.game()
    sockets = [network.open() for _ in range(3)]
    for socket in sockets:
        socket.authenticate(game.client_id, game.client_secret)
    for socket in sockets:
        socket.settle()


def test_frames_sent_before_the_answer_are_handled_after_it(network):
    game, other = network.game(), network.game()
    listener = network.open()
    listener.authenticate(other.client_id, other.client_secret, channels=["early"])
    socket = network.open()
    credentials = {"client_id": game.client_id, "client_secret": game.client_secret, "supports": ["channels"]}
    socket.send("authenticate", credentials, ref="a")
    socket.send("channels/subscribe", {"channel": "early"}, ref="b")
    for number in range(5):
        socket.send("channels/send", {"channel": "early", "name": "A", "message": str(number)}, ref=f"c{number}")
    socket.wait_for("channels/send", ref="c4")
    answered = [frame["ref"] for frame in socket.frames if "ref" in frame]
    assert answered == ["a", "b", "c0", "c1", "c2", "c3", "c4"]
    listener.wait_for("channels/broadcast", payload={"message": "4"})
    assert [frame["payload"]["message"] for frame in listener.events("channels/broadcast")] == list("01234")


@pytest.mark.in_process
def test_a_second_authenticate_fails_and_the_socket_stays_open(network):
    game, other = network.game(), network.game()
    socket = network.open()
    socket.authenticate(game.client_id, game.client_secret)
    for ref in (None, "again"):
        socket.send(
            "authenticate",
            {"client_id": other.client_id, "client_secret": other.client_secret, "supports": ["channels"]},
            ref=ref,
        )
        answer = socket.wait_for("authenticate")
        assert (answer["status"], answer["code"], answer["error"], answer.get("ref")) == (
            "failure",
            "already-authenticated",
            "already authenticated",
            ref,
        )
    socket.settle()


@pytest.mark.in_process
def test_debug_answers_requests_without_a_ref(network):
    game = network.game()
    quiet, debugging = network.open(), network.open()
    quiet.authenticate(game.client_id, game.client_secret)
    debugging.authenticate(game.client_id, game.client_secret, debug=True)
    for socket in (quiet, debugging):
        socket.send("channels/subscribe", {"channel": "debugged"})
        socket.send("channels/subscribe", {"channel": "no good"})
        socket.send("channels/subscribe", {})
        socket.settle()
    assert quiet.events("channels/subscribe") == quiet.events("error") == []
    first, second, third = debugging.events("channels/subscribe")
    assert first == {"event": "channels/subscribe", "status": "success"}
    assert (second["code"], "ref" in second) == ("channel-refused", False)
    assert third["code"] == "invalid" and '"channel"' in third["error"]
    assert debugging.events("error") == []


# Failures


def refusals(network):
    game = network.game()
    good = {"client_id": game.client_id, "client_secret": game.client_secret, "supports": ["channels"]}
    return good, [
        ({**good, "client_secret": "wrong"}, "invalid-credentials", "invalid credentials"),
        ({**good, "client_id": str(uuid.uuid4())}, "invalid-credentials", "invalid credentials"),
        ({**good, "client_id": game.client_secret}, "invalid-credentials", "invalid credentials"),
        ({**good, "client_secret": ""}, "invalid-credentials", "invalid credentials"),
        ({"supports": ["channels"]}, "invalid-credentials", "invalid credentials"),
        ({}, "invalid-credentials", "invalid credentials"),
        ({**good, "client_id": "nul\0"}, "invalid-credentials", "invalid credentials"),
        ({key: good[key] for key in ("client_id", "client_secret")}, "missing-support", "missing supports"),
        ({**good, "supports": []}, "missing-support", "missing supports"),
        ({**good, "supports": None}, "missing-support", "missing supports"),
        ({**good, "supports": ["players"]}, "missing-support", "must support channels"),
        ({**good, "supports": "channels"}, "invalid", 'invalid payload: "supports" must be a list of strings'),
        ({**good, "client_id": 7}, "invalid", 'invalid payload: "client_id" must be a string'),
        ({**good, "debug": "yes"}, "invalid", 'invalid payload: "debug" must be true or false'),
        ({**good, "user_agent": "nul\0"}, "invalid", 'invalid payload: "user_agent" must not hold the character NUL'),
        ("text", "invalid", "invalid payload: it must be an object"),
        (None, "invalid-credentials", "invalid credentials"),
    ]


@pytest.mark.in_process
@pytest.mark.parametrize("number", range(17))
@pytest.mark.parametrize("ref", [None, "r"])
def test_a_failure_is_answered_and_closes_with_4000(network, number, ref):
    payload, code, error = refusals(network)[1][number]
    socket = network.open()
    socket.send("authenticate", payload, ref=ref)
    answer = socket.wait_for("authenticate")
    expected = {"event": "authenticate", "status": "failure", "code": code, "error": error}
    assert answer == (expected if ref is None else {**expected, "ref": ref})
    assert socket.wait_closed() == 4000
    assert socket.close_reason == error
    assert len(socket.frames) == 1


@pytest.mark.in_process
def test_every_refusal_has_a_case(network):
    assert len(refusals(network)[1]) == 17


@pytest.mark.in_process
def test_frames_after_a_failure_are_not_handled(network):
    game = network.game()
    socket = network.open()
    socket.send("authenticate", {"client_id": "x", "client_secret": "y", "supports": ["channels"]})
    good = {"client_id": game.client_id, "client_secret": game.client_secret, "supports": ["channels"]}
    socket.send("authenticate", good)
    assert socket.wait_closed() == 4000
    assert [frame["status"] for frame in socket.frames] == ["failure"]


def test_old_secrets_and_deleted_peers_are_refused(network):
    game, application = network.game(), network.application()
    with db.transaction() as session:
        games.regenerate_credentials(session, OPERATOR, short_name=game.short_name)
        applications.delete_application(session, OPERATOR, short_name=application.short_name)
    for peer in (game, application):
        socket = network.open()
        answer = socket.authenticate(peer.client_id, peer.client_secret, check=False)
        assert answer["code"] == "invalid-credentials"
        assert socket.wait_closed() == 4000


@pytest.mark.in_process
@pytest.mark.parametrize(
    "event",
    ["heartbeat", "channels/subscribe", "channels/send", "channels/history", "sync", "players/status", "nothing/known"],
)
@pytest.mark.parametrize("ref", [None, "r", 7, ""])
def test_other_events_before_authenticate_are_refused_and_the_socket_stays(network, event, ref):
    game = network.game()
    socket = network.open()
    socket.send(event, {"channel": "gossip", "name": "A", "message": "early"}, ref=ref)
    frame = socket.wait_for("error" if ref is None else event)
    assert (frame["status"], frame["code"], frame["error"]) == ("failure", "unauthenticated", "unauthenticated")
    assert frame["ref"] == ref if ref is not None else uuid.UUID(frame["ref"])
    socket.authenticate(game.client_id, game.client_secret)


# Slowing down


def test_each_further_failure_is_answered_later():
    slow = Failures(True)
    delays = [slow.delay("id", "address", now=0.0) for _ in range(20)]
    assert delays[: failures.FORGIVEN] == [0.0] * failures.FORGIVEN
    assert delays == sorted(delays)
    assert delays[failures.FORGIVEN] > 0
    assert delays[-1] == delays[-2] == 10.0


def test_failures_are_counted_by_id_and_by_address():
    """One client from many addresses is slowed down, and so is one address with many ids, but nobody else."""
    slow = Failures(True)
    for number in range(10):
        slow.delay("id", f"address {number}", now=0.0)
        slow.delay(f"id {number}", "address", now=0.0)
    assert slow.delay("id", "elsewhere", now=0.0) > 1
    assert slow.delay("other", "address", now=0.0) > 1
    assert slow.delay("other", "elsewhere", now=0.0) == 0


def test_an_ipv6_network_counts_as_one_address():
    slow = Failures(is_on=True)
    delays = [slow.delay(f"id{n}", f"2001:db8:1:2::{n}", now=0.0) for n in range(failures.FORGIVEN + 1)]
    assert delays[-1] > 0
    assert slow.delay("other", "2001:db8:1:3::1", now=0.0) == 0.0


def test_failures_are_forgotten_after_some_time():
    slow = Failures(True)
    for _ in range(10):
        slow.delay("id", "address", now=0.0)
    assert slow.delay("id", "address", now=failures.FORGET_SECONDS - 1) == 10.0
    assert slow.delay("id", "address", now=2 * failures.FORGET_SECONDS) == 0.0


def test_failures_are_not_delayed_when_limits_are_off():
    slow = Failures(False)
    assert {slow.delay("id", "address", now=0.0) for _ in range(50)} == {0.0}


def test_the_memory_of_failures_is_bounded(monkeypatch):
    monkeypatch.setattr(failures, "MAX_KEYS", 10)
    slow = Failures(True)
    for number in range(1000):
        slow.delay(f"id {number}" * 100, f"address {number}", now=0.0)
    assert len(slow._counts) <= 10


def test_the_number_of_delayed_sockets_is_bounded(monkeypatch):
    monkeypatch.setattr(failures, "MAX_HELD", 2)
    slow = Failures(True)
    with slow.holding() as first, slow.holding() as second, slow.holding() as third:
        assert (first, second, third) == (True, True, False)
    with slow.holding() as again:
        assert again


def test_a_client_that_retries_forever_is_slowed_down_and_others_are_not(start_worker, connect, stored):
    """Over real sockets, with limits on: each attempt on a new socket is answered later, and nobody is banned."""
    running = start_worker(RATE_LIMITS="on")
    _, credentials = stored.game_with_credentials()
    waited = []
    for _ in range(failures.FORGIVEN + 3):
        socket = connect(running.url)
        began = time.monotonic()
        socket.authenticate("nobody", "wrong", check=False)
        waited.append(time.monotonic() - began)
        assert socket.wait_closed() == 4000
    assert waited[failures.FORGIVEN] >= 0.1 and waited[failures.FORGIVEN + 2] >= 0.4
    began = time.monotonic()
    connect(running.url).authenticate(credentials.client_id, credentials.client_secret)
    assert time.monotonic() - began < 0.4
    assert "Traceback" not in running.output


def test_sockets_are_not_delayed_when_limits_are_off(network):
    began = time.monotonic()
    for _ in range(failures.FORGIVEN + 7):
        network.open().authenticate("nobody", "wrong", check=False)
    assert time.monotonic() - began < 8  # ten of them would wait 23 seconds


def test_a_client_with_invalid_supports_is_slowed_down_too(start_worker, connect, stored):
    """This client, too, reconnects at once forever."""
    running = start_worker(RATE_LIMITS="on")
    _, credentials = stored.game_with_credentials()
    began = time.monotonic()
    for _ in range(failures.FORGIVEN + 3):
        connect(running.url).authenticate(credentials.client_id, credentials.client_secret, supports=[], check=False)
    assert time.monotonic() - began >= 0.1 + 0.2 + 0.4


# When credentials end


@pytest.mark.parametrize("kind", ["game", "application"])
@pytest.mark.parametrize("how", ["regenerated", "deleted"])
def test_sockets_close_with_4003_when_credentials_end(network, kind, how):
    """This affects all sockets of the peer, and no others."""
    peer, bystander = getattr(network, kind)(), network.game()
    other = network.open()
    other.authenticate(bystander.client_id, bystander.client_secret)
    sockets = [network.open() for _ in range(2)]
    for socket in sockets:
        socket.authenticate(peer.client_id, peer.client_secret, sync=False)
    with db.transaction() as session:
        if kind == "application":
            change = applications.regenerate_credentials if how == "regenerated" else applications.delete_application
            change(session, OPERATOR, short_name=peer.short_name)
        else:
            change = games.regenerate_credentials if how == "regenerated" else games.delete_game
            change(session, OPERATOR, short_name=peer.short_name)
    for socket in sockets:
        assert socket.wait_closed() == 4003
        assert socket.close_reason
    other.settle()


def test_deleting_a_game_on_the_command_line_closes_its_sockets(network):
    game = network.game()
    # Answering a heartbeat after the worker has closed the socket would reset the connection, and lose the close code.
    socket = network.open(answers_heartbeats=False)
    socket.authenticate(game.client_id, game.client_secret)
    done = run_cli(network, "game", "delete", game.short_name)
    assert done.returncode == 0, done.stderr
    assert socket.wait_closed() == 4003


def test_a_renamed_game_keeps_its_sockets_and_sends_under_its_new_name(network):
    game, other = network.game(), network.game()
    socket, listener = network.open(), network.open()
    listener.authenticate(other.client_id, other.client_secret, channels=["renaming"])
    socket.authenticate(game.client_id, game.client_secret, channels=["renaming"])
    new = f"N{uuid.uuid4().hex[:10]}"
    with db.transaction() as session:
        edit_game(session, game.short_name, short_name=new)

    def sending_name():
        message = str(uuid.uuid4())
        socket.request("channels/send", {"channel": "renaming", "name": "A", "message": message})
        return listener.wait_for("channels/broadcast", payload={"message": message})["payload"]["game"]

    wait_until(lambda: sending_name() == new, what="the game sends under its new name")


def run_cli(network, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT,
        env=clean_environment(**network.environment),
        capture_output=True,
        text=True,
        timeout=60,
    )


# Restart


def test_the_restart_notice_of_the_command_line_reaches_every_socket(network):
    game, application = network.game(), network.application()
    sockets = [network.open() for _ in range(6)]
    for socket in sockets:
        socket.authenticate(game.client_id, game.client_secret)
    replica = network.open()
    replica.authenticate(application.client_id, application.client_secret, sync=False)
    done = run_cli(network, "network", "restart-notice", "--downtime", "40")
    assert done.returncode == 0, done.stderr
    notices = [socket.wait_for("restart", seconds=10) for socket in [*sockets, replica]]
    assert all(set(notice) == {"event", "ref", "payload"} for notice in notices)
    assert len({uuid.UUID(notice["ref"]) for notice in notices}) == len(notices)
    downtimes = [notice["payload"]["downtime"] for notice in notices]
    assert all(isinstance(downtime, int) and 40 <= downtime <= 45 for downtime in downtimes)
    for socket in sockets:
        socket.settle()


def test_a_stopping_worker_sends_restart_and_closes_with_1012(start_worker, connect, stored):
    running = start_worker()
    _, credentials = stored.game_with_credentials()
    sockets = [connect(running.url) for _ in range(3)]
    for socket in sockets:
        socket.authenticate(credentials.client_id, credentials.client_secret, channels=["gossip"])
    stranger = connect(running.url)
    running.send_signal(signal.SIGTERM)
    for socket in sockets:
        notice = socket.wait_for("restart")
        assert 15 <= notice["payload"]["downtime"] <= 20
        assert socket.wait_closed() == 1012 and socket.close_reason
    assert stranger.wait_closed() == 1012
    assert stranger.frames == []
    assert running.wait() == 0
    for socket in sockets:
        assert len(socket.events("restart")) == 1


@pytest.mark.parametrize("version", ["0", "0.1.9", "-1", "next", ""])
def test_a_version_before_the_first_release_still_works(network, version):
    game = network.game()
    client = network.open()
    client.authenticate(game.client_id, game.client_secret, version=version, supports=["channels", "players"])
    assert client.request("players/sign-in", {"name": "Alice"})["status"] == "success"
