"""Random frames do no harm: they cause no internal errors and no log entries, and disturb no other peer.

FUZZ_FRAMES sets how many are sent to each kind of socket (50,000 each for a long run), FUZZ_SEED which.
"""

from __future__ import annotations

import os
import uuid

import pytest

from shared.protocol import INCOMING, browser
from shared.protocol.base import Incoming
from tests.support.client import Closed, SocketClient
from tests.support.fuzzing import Fuzzer
from tests.worker.pages import ORIGIN, token_for

FRAMES = int(os.environ.get("FUZZ_FRAMES", "1500"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
BATCH = {"fresh": 5, "game": 50, "application": 50, "browser": 50}  # a failed authenticate closes a fresh socket
BROWSER_INCOMING = {
    kind.event: kind
    for kind in vars(browser).values()
    if isinstance(kind, type) and issubclass(kind, Incoming) and kind.event
}
MEMORY_MIB = 40  # how much memory a long run may keep, for new channels and the worker's caches

pytestmark = pytest.mark.timeout(60 + FRAMES // 25)


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


class Attacker:
    """Sends frames on one socket after another, and checks the answers."""

    def __init__(self, open_socket, probe="channels/unsubscribe") -> None:
        self._open_socket = open_socket
        self._probe = probe
        self._socket: SocketClient | None = None
        self.sent = self.answers = self.sockets = 0
        self.internal: list[object] = []

    def send_batch(self, frames: list[str]) -> None:
        """Send frames, and wait until the worker has answered them or closed the socket."""
        socket = self._socket or self._open()
        ref = str(uuid.uuid4())
        try:
            for frame in frames:
                socket.send_text(frame)
                self.sent += 1
            socket.send(self._probe, {"channel": "nobody"}, ref=ref)
            socket.wait_for(self._probe, ref=ref, seconds=30)
        except (Closed, OSError, ConnectionError):
            self._socket = None
        self.answers += len(socket.frames)
        self.internal += [(frame, frames) for frame in socket.frames if frame.get("code") == "internal"]
        socket.frames.clear()
        socket._taken.clear()
        if self._socket is None:
            socket.close()

    def _open(self) -> SocketClient:
        self._socket = self._open_socket()
        self.sockets += 1
        return self._socket


@pytest.fixture
def make_attacker(connect, stored):
    """Return a function that makes attackers of a worker, by their kind."""

    def make(kind, worker) -> Attacker:
        if kind == "browser":
            user = stored.user("fuzz", is_verified=True)
            return Attacker(lambda: open_page(user, worker), "channels/listeners")
        makers = {"game": stored.game_with_credentials, "application": stored.application_with_credentials}
        if kind == "fresh":
            return Attacker(lambda: connect(worker.url, answers_heartbeats=False))
        _, credentials = makers[kind]("Fuzz")

        def open_authenticated() -> SocketClient:
            socket = connect(worker.url, answers_heartbeats=False)
            supports = ["channels", "players", "tells", "games"]
            socket.authenticate(
                credentials.client_id, credentials.client_secret, supports=supports, channels=["gossip"]
            )
            return socket

        return Attacker(open_authenticated)

    def open_page(user, worker) -> SocketClient:
        url = worker.url.replace("/socket", "/chat-socket")
        page = connect(url, answers_heartbeats=False, origin=ORIGIN)
        answer = page.request("authenticate", {"token": token_for(user), "channels": ["gossip"]}, seconds=30)
        assert answer["status"] == "success", answer
        return page

    return make


@pytest.mark.parametrize("kind", [*BATCH])
def test_strange_frames_do_no_harm(kind, start_worker, connect, stored, make_attacker):
    """Two other games keep chatting meanwhile, and miss nothing."""
    worker = start_worker(RATE_LIMITS="off", HEARTBEAT_SECONDS="600", LOG_FORMAT="json", PUBLIC_URL=ORIGIN)
    stored.channel("gossip")
    attacker = make_attacker(kind, worker)
    speaker, listener = (connect(worker.url) for _ in range(2))
    for number, socket in enumerate((speaker, listener)):
        _, credentials = stored.game_with_credentials(f"Calm{number}")
        socket.authenticate(credentials.client_id, credentials.client_secret, channels=["gossip"])

    fuzzer = Fuzzer(SEED, BROWSER_INCOMING if kind == "browser" else INCOMING)
    memory = []
    batches = -(-FRAMES // BATCH[kind])
    for number in range(batches):
        attacker.send_batch([fuzzer.frame() for _ in range(BATCH[kind])])
        if number % max(1, batches // 100) == 0:
            said = {"channel": "gossip", "name": "Wren", "message": f"line {number}"}
            assert speaker.request("channels/send", said, seconds=30)["status"] == "success"
            listener.wait_for("channels/broadcast", payload={**said, "game": "Calm0"}, seconds=30)
        if number % max(1, batches // 10) == 0:
            memory.append(resident_mib(worker.pid))
            print(f"{kind}: {attacker.sent:,} frames, {attacker.answers:,} answers, {memory[-1]:.0f} MiB", flush=True)
            assert attacker.internal == []  # also counts in a run that is cut off
    print(
        f"{kind}: {attacker.sent:,} frames, {attacker.answers:,} answers, {attacker.sockets:,} sockets,"
        f" memory {[round(mib) for mib in memory[:1] + memory[-1:]]} MiB"
    )
    assert attacker.internal == []
    assert "Traceback" not in worker.output
    assert '"level": "error"' not in worker.output
    assert memory[-1] - memory[0] < MEMORY_MIB
