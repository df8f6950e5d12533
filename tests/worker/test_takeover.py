"""A new process takes over from a worker: no socket closes, no frame is lost, and a failure changes nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import chat_tokens, takeover
from shared.db import reading
from shared.services import accounts
from tests.support.client import SocketClient
from tests.support.processes import ROOT, clean_environment
from tests.support.servers import SECRET_KEY, RunningWorker, get
from tests.support.waiting import wait_until
from worker.takeover.link import Link, LinkClosed, TakeoverFailed
from worker.takeover.messages import Commit, Hello, Prepared, Ready, Refused, Welcome, WorkerState

pytestmark = pytest.mark.timeout(120)

ALL_FLAGS = ["channels", "players", "tells", "games"]
HANDSHAKE = (
    b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ORIGIN = "http://chat.example.com"


class Lineage:
    """One worker, whatever process runs it."""

    def __init__(self, environment: dict[str, str], constants: dict[str, float] | None = None) -> None:
        self.environment = environment
        self.constants = constants
        self.processes = [RunningWorker(environment, constants)]
        self.running.wait_until_ready()

    @property
    def running(self) -> RunningWorker:
        return self.processes[-1]

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def instance_path(self) -> Path:
        return Path(self.environment["INSTANCE_PATH"])

    def take_over(self, *, waits: bool = True) -> None:
        """Start a new process. waits: until the old one has ended, or else only until the new one serves."""
        old = self.running
        new = RunningWorker(self.environment, self.constants, takeover=old.pid)
        self.processes.append(new)
        new.wait_until_ready()
        if waits:
            assert old.wait() == 0, old.output

    def close(self) -> None:
        for process in self.processes:
            process.kill()


@pytest.fixture
def lineage(processes: None, environment: dict[str, str], stored: Any) -> Iterator[Callable[..., Lineage]]:
    """Start workers that will be taken over: lineage(HEARTBEAT_SECONDS="0.2")."""
    started: list[Lineage] = []

    def start(constants: dict[str, float] | None = None, **settings: str) -> Lineage:
        one = Lineage({**environment, **settings}, constants)
        started.append(one)
        return one

    yield start
    for one in started:
        output = "\n".join(process.output for process in one.processes)
        one.close()
        assert "Traceback" not in output, output


@pytest.fixture
def join(stored: Any) -> Iterator[Callable[..., SocketClient]]:
    """Open authenticated sockets of new games."""
    opened: list[SocketClient] = []

    def open_socket(url: str, *, credentials: Any = None, **payload: Any) -> SocketClient:
        if credentials is None:
            _, credentials = stored.game_with_credentials()
        client = SocketClient(url)
        opened.append(client)
        payload = {"supports": ALL_FLAGS, "channels": ["gossip"], **payload}
        client.authenticate(credentials.client_id, credentials.client_secret, **payload)
        return client

    yield open_socket
    for client in opened:
        client.drop()


def say(client: SocketClient, text: str, name: str = "Alice") -> None:
    answer = client.request("channels/send", {"channel": "gossip", "name": name, "message": text})
    assert answer["status"] == "success", answer


def lines(client: SocketClient) -> list[str]:
    return [frame["payload"]["message"] for frame in client.events("channels/broadcast")]


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    assert len(payload) < 126
    return bytes([(0x80 if fin else 0) | opcode, 0x80 | len(payload)]) + b"\0\0\0\0" + payload


def long_frame(payload: bytes) -> bytes:
    return bytes([0x81, 0x80 | 126]) + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload


def read_frames(sock: socket.socket, *, seconds: float = 20.0) -> Iterator[bytes]:
    """Yield the payloads of the worker's frames."""
    sock.settimeout(seconds)
    file = sock.makefile("rb")
    while head := file.read(2):
        length = head[1]
        if length == 126:
            length = int.from_bytes(file.read(2), "big")
        elif length == 127:
            length = int.from_bytes(file.read(8), "big")
        yield file.read(length)


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


# What fails


def connect(one: Lineage) -> Link:
    """Connect as a new process does."""
    [worker] = takeover.list_workers(one.instance_path)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(worker.path))
    return Link(sock)


def receive_state(link: Link) -> list[int]:
    """Say that this process is ready, and receive everything. Return the descriptors."""
    link.send(Hello([1], "test"))
    link.expect(Welcome, 10)
    link.send(Ready())
    received: list[int] = []
    while True:
        message, descriptors = link.receive(20)
        received += descriptors
        if isinstance(message, WorkerState):
            return received
        assert not isinstance(message, Refused), message


def close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_takeover_that_fails_at_any_step_leaves_the_old_process_serving(lineage, join, stored):
    """The new process ends after each message, is silent, or has another format. No client notices."""
    stored.channel("gossip")
    one = lineage(
        {
            "worker.takeover.predecessor.READY_SECONDS": 0.3,
            "worker.takeover.predecessor.PREPARED_SECONDS": 0.3,
            "worker.takeover.predecessor.HELLO_SECONDS": 0.3,
        },
        OFFLINE_SECONDS="0.5",
    )
    alice, bob = join(one.url), join(one.url)
    old = one.running.pid

    def close_at_once(link: Link) -> None:
        pass

    def say_nothing(link: Link) -> None:
        link.receive(10)

    def have_another_format(link: Link) -> None:
        link.send(Hello([2, 3], "test"))
        with pytest.raises(TakeoverFailed, match="the formats do not match: 1 here, \\[2, 3\\] there"):
            link.expect(Welcome, 10)

    def leave_after_welcome(link: Link) -> None:
        link.send(Hello([1], "test"))
        link.expect(Welcome, 10)

    def never_be_ready(link: Link) -> None:
        leave_after_welcome(link)
        with pytest.raises(TakeoverFailed, match="did not answer"):
            link.expect(Ready, 10)

    def leave_with_the_state(link: Link) -> None:
        close_all(receive_state(link))

    def never_be_prepared(link: Link) -> None:
        close_all(receive_state(link))
        with pytest.raises(TakeoverFailed, match="did not answer"):
            link.expect(Commit, 10)

    def refuse_the_state(link: Link) -> None:
        close_all(receive_state(link))
        link.send(Refused("a field cannot be read"))

    def send_nonsense(link: Link) -> None:
        link.send_encoded(b"\xff\xff nonsense")
        with pytest.raises(TakeoverFailed):
            link.expect(Welcome, 10)

    def leave_after_the_commit(link: Link) -> None:
        descriptors = receive_state(link)
        link.send(Prepared())
        link.expect(Commit, 10)
        close_all(descriptors)

    attempts = [
        close_at_once,
        say_nothing,
        send_nonsense,
        have_another_format,
        leave_after_welcome,
        never_be_ready,
        leave_with_the_state,
        never_be_prepared,
        refuse_the_state,
        leave_after_the_commit,
    ]
    for attempt in attempts:
        request = json.dumps(
            {"event": "channels/subscribe", "ref": attempt.__name__, "payload": {"channel": "gossip"}},
            separators=(",", ":"),
        ).encode()
        bob.raw.sendall(masked(1, request)[:20])
        link = connect(one)
        try:
            attempt(link)
        except (LinkClosed, TakeoverFailed):
            assert attempt is say_nothing
        finally:
            link.close()
        bob.raw.sendall(masked(1, request)[20:])
        say(alice, attempt.__name__)
        bob.wait_for("channels/broadcast", payload={"message": attempt.__name__})
        assert bob.wait_for("channels/subscribe", ref=attempt.__name__)["status"] == "success"
        bob.settle()
    assert lines(bob) == [attempt.__name__ for attempt in attempts]
    assert one.running.pid == old and one.running.process.poll() is None
    newcomer = join(one.url)
    newcomer.settle()
    assert bob.events("games/disconnect") == []


HANGS = """
import os, signal, socket, sys
from tests.worker.test_takeover import receive_state
from worker.takeover.link import Link
from worker.takeover.messages import Commit, Prepared
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
link = Link(sock)
receive_state(link)
link.send(Prepared())
link.expect(Commit, 10)
print("hangs", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_new_process_that_hangs_with_the_sockets_is_killed(lineage, join, stored):
    """It could begin to serve at any time, so the old process ends it before it goes on."""
    stored.channel("gossip")
    one = lineage({"worker.takeover.predecessor.SERVING_SECONDS": 0.5})
    alice, bob = join(one.url), join(one.url)
    [worker] = takeover.list_workers(one.instance_path)
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, str(worker.path)], cwd=ROOT, env=clean_environment(**one.environment)
    )
    try:
        assert process.wait(20) == -signal.SIGKILL
    finally:
        process.kill()
    say(alice, "still here")
    bob.wait_for("channels/broadcast", payload={"message": "still here"})
    one.running.wait_for_line("did not begin to serve")


def test_only_one_process_takes_over_at_a_time(lineage):
    one = lineage()
    first, second = connect(one), connect(one)
    first.send(Hello([1], "test"))
    first.expect(Welcome, 10)
    second.send(Hello([1], "test"))
    with pytest.raises(TakeoverFailed, match="already"):
        second.expect(Welcome, 10)
    first.close()
    second.close()
    one.take_over()


def test_sigterm_during_a_takeover_stops_the_worker_as_usual(lineage, join, stored):
    """The clients are told, and their sockets close with 1012."""
    stored.channel("gossip")
    one = lineage()
    alice = join(one.url)
    link = connect(one)
    descriptors = receive_state(link)
    one.running.send_signal(signal.SIGTERM)
    assert alice.wait_closed() == 1012
    assert len(alice.events("restart")) == 1
    assert one.running.wait() == 0
    link.close()
    close_all(descriptors)


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
