"""A new process takes over from a worker: no socket closes, and no frame is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator

from shared import chat_tokens, takeover
from shared.db import reading
from shared.services import accounts
from tests.support.client import SocketClient
from tests.support.processes import ROOT, clean_environment
from tests.support.servers import SECRET_KEY, get
from tests.support.waiting import wait_until
from tests.worker.lineage import (
    HANDSHAKE,
    ORIGIN,
    join,
    lineage,
    lines,
    long_frame,
    masked,
    pytestmark,
    read_frames,
    say,
)

__all__ = ["pytestmark", "lineage", "join"]

# What passes over


def test_sockets_in_every_state_pass_over(lineage, join, stored):
    """Three takeovers in a row: frames and messages half sent, much queued, browsers, strangers, handshakes."""
    stored.channel("gossip")
    user = stored.user("Wanda", is_verified=True)
    one = lineage(PUBLIC_URL=ORIGIN)
    alice, bob = join(one.url), join(one.url, players=["Bob"])
    with reading() as session:
        token = chat_tokens.make_token(
            [SECRET_KEY], user_id=user.id, session_token=accounts.get_account(session, user.id).session_token
        )
    page = SocketClient(one.url.replace("/socket", "/chat-socket"), origin=ORIGIN)
    page.request("authenticate", {"token": token, "channels": ["gossip"]})
    stranger = SocketClient(one.url)
    _, late_credentials = stored.game_with_credentials()
    hello = [f"before {number}" for number in range(3)]

    for number, text in enumerate(hello):
        ref = f"part-{number}"
        request = json.dumps(
            {"event": "channels/subscribe", "ref": ref, "payload": {"channel": "gossip"}}, separators=(",", ":")
        ).encode()
        alice.raw.sendall(masked(1, request[:20], fin=False))  # a fragment
        bob_frame = masked(1, request)
        bob.raw.sendall(bob_frame[: (1, 5, 30)[number]])  # in the head, in the mask, in the payload
        one.take_over()
        alice.raw.sendall(masked(0, request[20:]))
        bob.raw.sendall(bob_frame[(1, 5, 30)[number] :])
        assert alice.wait_for("channels/subscribe", ref=ref)["status"] == "success"
        assert bob.wait_for("channels/subscribe", ref=ref)["status"] == "success"
        say(alice, text)
        bob.wait_for("channels/broadcast", payload={"message": text})
        page.wait_for("channels/broadcast", payload={"message": text})

    assert lines(bob) == lines(page) == hello
    bob.request("tells/send", {"from_name": "Bob", "to_game": "Grapevine", "to_name": "Wanda", "message": "Psst"})
    page.wait_for("tells/receive", payload={"message": "Psst"})
    answer = alice.request("players/status", {"game": "Grapevine"})
    assert "Wanda" in answer["payload"]["players"]
    stranger.authenticate(late_credentials.client_id, late_credentials.client_secret, channels=["gossip"])
    for client in (alice, bob):
        client.settle()
        assert client.events("games/disconnect") == client.events("players/sign-out") == []
    page.close(1001)
    stranger.drop()


def test_handshakes_are_finished_by_the_old_process(lineage, join, stored):
    """One client has sent nothing yet, and one half of it. Their sockets live on in the new process."""
    stored.channel("gossip")
    one = lineage()
    alice = join(one.url)
    idle, half = (socket.create_connection(("127.0.0.1", one.running.port)) for _ in range(2))
    half.sendall(HANDSHAKE[:60])
    alice.settle()  # so that the worker has accepted them
    old = one.running
    one.take_over(waits=False)
    _, credentials = stored.game_with_credentials()
    hello = {
        "event": "authenticate",
        "payload": {
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "supports": ["channels"],
            "channels": ["gossip"],
        },
    }
    idle.sendall(HANDSHAKE)
    half.sendall(HANDSHAKE[60:] + long_frame(json.dumps(hello).encode()))
    assert old.wait() == 0, old.output
    idle.sendall(long_frame(json.dumps(hello).encode()))
    for sock in (idle, half):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101")
        frames = read_frames(sock)
        assert b'"success"' in next(frames)
        say(alice, "hello")
        assert any(b'"hello"' in payload for payload in frames)
        sock.close()


def test_heartbeats_go_on(lineage, join, stored):
    """A client that answers them stays, over takeovers that last longer than three heartbeats."""
    stored.channel("gossip")
    one = lineage(HEARTBEAT_SECONDS="0.4")
    alice = join(one.url)
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set() and not alice.is_closed:
            alice._read(0.1)

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(3):
        one.take_over()
    count = len(alice.events("heartbeat"))
    wait_until(lambda: len(alice.events("heartbeat")) > count + 3, what="heartbeats")
    is_over.set()
    thread.join()
    assert not alice.is_closed


def test_what_is_queued_for_a_client_that_does_not_read_passes_over(lineage, join, stored):
    """It begins inside a frame, and every line arrives once and in order, while others go on."""
    stored.channel("gossip")
    one = lineage(OUTBOUND_BYTES="16777216")
    alice, bob = join(one.url), join(one.url)
    stalled = join(one.url)
    expected = [f"{number} " + "x" * 3_900 for number in range(1500)]
    for text in expected:
        alice.send("channels/send", {"channel": "gossip", "name": "Alice", "message": text})
    say(alice, "settled")
    bob.wait_for("channels/broadcast", payload={"message": "settled"}, seconds=20)
    for _ in range(2):
        one.take_over()
        say(alice, "between")
    received = [json.loads(payload) for payload in _until(read_frames(stalled.raw), "between", times=2)]
    texts = [frame["payload"]["message"] for frame in received if frame["event"] == "channels/broadcast"]
    assert [text for text in texts if not text.startswith(("settled", "between"))] == expected


def _until(payloads: Iterator[bytes], text: str, *, times: int) -> Iterator[bytes]:
    """Yield payloads up to the one that contains the text for the last time."""
    for payload in payloads:
        yield payload
        times -= f'"{text}"'.encode() in payload
        if not times:
            return
    raise AssertionError("the worker closed the socket")


def test_an_application_in_the_middle_of_a_sync_gets_the_rest(lineage, stored, run_flask):
    """It does not read while it is sent the whole state. Two takeovers later it has each record once."""
    stored.user("keeper")
    games = [{"name": f"Realm {number}", "short_name": f"Realm{number}", "owner": "keeper"} for number in range(1500)]
    text = "\n".join(json.dumps(game | {"description": "A world of wonder. " * 100}) for game in games)
    assert run_flask("game", "import", "-", stdin=text).returncode == 0
    _, credentials = stored.application_with_credentials("Mirror")
    one = lineage(OUTBOUND_BYTES="65536")
    client = SocketClient(one.url)
    client.send(
        "authenticate",
        {
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "supports": ["channels"],
            "version": "2.4.0",
            "sync": {},
        },
    )
    client.wait_for("authenticate")
    for _ in range(2):
        one.take_over()
    complete = client.wait_for("sync/complete", seconds=60)["payload"]
    ids = [game["id"] for frame in client.events("sync/games") for game in frame["payload"]["games"]]
    assert len(ids) == len(set(ids)) == complete["counts"]["games"] == 1500
    stored.game("Newest")
    wait_until(
        lambda: client._read(0.5) and any("Newest" in json.dumps(f) for f in client.events("sync/games")),
        seconds=20,
        what="changes go on",
    )
    client.drop()


def test_lines_of_two_workers_arrive_once_and_in_order_while_one_is_taken_over(lineage, join, stored):
    """Players chat on both workers all the time. The other worker sees no change of presence either."""
    stored.channel("gossip")
    first, second = lineage(OFFLINE_SECONDS="0.5"), lineage(OFFLINE_SECONDS="0.5")
    senders = {"Alice": join(first.url), "Bob": join(second.url)}
    listeners = [join(first.url), join(second.url)]
    is_over = threading.Event()
    said: dict[str, list[str]] = {name: [] for name in senders}

    def chat(name: str, client: SocketClient) -> None:
        while not is_over.is_set():
            text = f"{name} {len(said[name])}"
            say(client, text, name)
            said[name].append(text)

    threads = [threading.Thread(target=chat, args=pair) for pair in senders.items()]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            first.take_over()
            second.take_over()
    finally:
        is_over.set()
        for thread in threads:
            thread.join(20)
    say(senders["Alice"], "the end of Alice")
    say(senders["Bob"], "the end of Bob", "Bob")
    for listener in listeners:
        for name in senders:
            listener.wait_for("channels/broadcast", payload={"message": f"the end of {name}"}, seconds=30)
        for name in senders:
            received = [text for text in lines(listener) if text.startswith(name)]
            assert received == said[name] and len(received) > 20
        assert listener.events("games/disconnect") == []
        assert not listener.is_closed


def test_the_socket_is_private(lineage):
    """Only the user of the worker can connect, and there is one socket for each worker."""
    one, two = lineage(), lineage()
    found = takeover.list_workers(one.instance_path)
    assert {worker.pid for worker in found} == {one.running.pid, two.running.pid}
    assert all(stat.S_IMODE(worker.path.stat().st_mode) == 0o600 for worker in found)
    one.take_over()
    assert {worker.pid for worker in takeover.list_workers(one.instance_path)} == {one.running.pid, two.running.pid}
    one.running.process.kill()
    one.running.wait()
    assert [worker.pid for worker in takeover.list_workers(one.instance_path)] == [two.running.pid]
    assert two.running.stop() == 0
    assert takeover.list_workers(one.instance_path) == []
    assert list(one.instance_path.glob("worker-*")) == []


# How it is asked for


def test_a_worker_starts_the_new_process_itself(lineage, join, stored, tmp_path):
    """As under systemd, which is told the number of the new process."""
    stored.channel("gossip")
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(tmp_path / "notify"))
    notified.settimeout(20)
    one = lineage(NOTIFY_SOCKET=str(tmp_path / "notify"))
    assert notified.recv(100).decode() == f"READY=1\nMAINPID={one.running.pid}"
    alice, bob = join(one.url), join(one.url)
    new = takeover.request_upgrade(one.instance_path, one.running.pid)
    try:
        assert new != one.running.pid
        assert notified.recv(100).decode() == f"READY=1\nMAINPID={new}"
        assert one.running.wait() == 0
        say(alice, "hello")
        bob.wait_for("channels/broadcast", payload={"message": "hello"})
        assert [worker.pid for worker in takeover.list_workers(one.instance_path)] == [new]
    finally:
        os.kill(new, signal.SIGTERM)
    assert bob.wait_closed() == 1012


def test_the_command_upgrades_all_workers(lineage, join, stored, run_flask):
    """One after the other. Sockets stay, and so does the id of each worker."""
    stored.channel("gossip")
    workers = [lineage(), lineage()]
    alice, bob = join(workers[0].url), join(workers[1].url)
    pids = {worker.running.pid for worker in workers}
    before = json.loads(run_flask("network", "status").stdout)
    result = run_flask("network", "upgrade")
    assert result.returncode == 0, result.stderr
    upgrades = [json.loads(line) for line in result.stdout.splitlines()]
    try:
        assert {upgrade["old"] for upgrade in upgrades} == pids
        assert not pids & {upgrade["new"] for upgrade in upgrades}
        say(alice, "hello")
        bob.wait_for("channels/broadcast", payload={"message": "hello"})
        after = json.loads(run_flask("network", "status").stdout)
        for name, key in (("workers", "id"), ("sockets", "game")):
            assert sorted(each[key] for each in after[name]) == sorted(each[key] for each in before[name])
    finally:
        for upgrade in upgrades:
            os.kill(upgrade["new"], signal.SIGTERM)
    assert alice.wait_closed() == bob.wait_closed() == 1012


def test_a_new_process_that_cannot_start_is_reported(lineage, join, stored, tmp_path, monkeypatch):
    """Here the database is gone for the new process only. The old one goes on."""
    stored.channel("gossip")
    one = lineage()
    alice, bob = join(one.url), join(one.url)
    [worker] = takeover.list_workers(one.instance_path)
    process = subprocess.run(
        [sys.executable, "-m", "worker", "--takeover", str(worker.pid)],
        cwd=ROOT,
        env=clean_environment(**{**one.environment, "DATABASE_URL": f"sqlite:///{tmp_path / 'empty.db'}"}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1 and process.stderr.startswith("error: ") and "Traceback" not in process.stderr
    process = subprocess.run(
        [sys.executable, "-m", "worker", "--takeover", "1"],
        cwd=ROOT,
        env=clean_environment(**one.environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1 and "no worker with the process id 1" in process.stderr
    say(alice, "hello")
    bob.wait_for("channels/broadcast", payload={"message": "hello"})
    assert get(one.running.port, "/_health")[0] == 200
