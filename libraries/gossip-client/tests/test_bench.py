"""The bench for authors of clients: right clients pass, and broken ones learn what is wrong."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gossip_client.__main__ import main
from gossip_client.backoff import Backoff
from gossip_client.bench import script
from gossip_client.bench.checks import CHECKS, Report
from gossip_client.bench.client_frames import check_authenticate, check_frame
from gossip_client.bench.script import Times, run_bench
from gossip_client.errors import GossipError
from old_server import OldServer
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[3]
TRANSCRIPTS = sorted((ROOT / "tests" / "transcripts").glob("*.jsonl"))
QUICK = Times(patience=15, answer=3, turn=1.5, downtime=1, watch=0.5)


@pytest.fixture(autouse=True)
def _quick_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "SLOW_SECONDS", 0.3)


class RunningBench:
    """A bench in a thread. `wait` returns its exit status; `lines` is what it printed."""

    def __init__(self, times: Times = QUICK, record: Path | None = None) -> None:
        self.lines: list[str] = []
        self.status: int | None = None
        self._port = 0
        listening = threading.Event()

        def listens(port: int) -> None:
            self._port = port
            listening.set()

        def run() -> None:
            self.status = run_bench("127.0.0.1", 0, times, record=record, say=self.lines.append, on_listening=listens)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert listening.wait(10)
        self.url = f"ws://127.0.0.1:{self._port}/socket"

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait(self, seconds: float = 60) -> int:
        self._thread.join(seconds)
        assert self.status is not None, self.text
        return self.status


class SmallClient:
    """A client as somebody might write it, in a thread. Tests override what it does wrong."""

    authenticate: dict[str, Any] = {
        "event": "authenticate",
        "payload": {
            "client_id": "id",
            "client_secret": "secret",
            "supports": ["channels"],
            "channels": ["gossip"],
            "version": "2.4.0",
            "user_agent": "Small 1.0",
        },
    }
    heartbeat: str | None = '{"event":"heartbeat","payload":{"players":["Alice"]}}'
    path = "/socket"
    pause = 0.5

    def __init__(self, bench: RunningBench) -> None:
        self.bench = bench
        self.is_refused = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while self.bench.is_running and not self.is_refused:
            self.downtime = self.pause
            try:
                with connect(self.bench.url.replace("/socket", self.path), compression=None) as socket:
                    self.opened(socket)
                    for text in socket:
                        self.received(socket, json.loads(text))
            except (OSError, WebSocketException, ConnectionClosed):
                pass
            time.sleep(self.downtime)

    def opened(self, socket: Any) -> None:
        socket.send(json.dumps(self.authenticate))

    def received(self, socket: Any, frame: dict[str, Any]) -> None:
        if frame["event"] == "heartbeat" and self.heartbeat is not None:
            socket.send(self.heartbeat)
        elif frame["event"] == "restart":
            self.downtime = frame["payload"]["downtime"]
        elif frame["event"] == "authenticate" and frame["status"] == "failure":
            self.is_refused = True


class RecordedClient(SmallClient):
    """Sends the frames of a recording, byte for byte, each after the answer to the one before."""

    def __init__(self, bench: RunningBench, path: Path) -> None:
        entries = map(json.loads, path.read_text().splitlines())
        self.texts = [entry["data"] for entry in entries if entry["dir"] == "client" and entry["kind"] == "text"]
        events = [re.search(r'"event"\s*:\s*"([^"]*)"', text) for text in self.texts]
        self.named = [(found[1] if found else "", text) for found, text in zip(events, self.texts, strict=True)]
        self.heartbeat = next(text for event, text in self.named if event == "heartbeat")
        super().__init__(bench)

    def opened(self, socket: Any) -> None:
        self.queue = [text for event, text in self.named if event not in ("authenticate", "heartbeat")]
        socket.send(next(text for event, text in self.named if event == "authenticate"))

    def received(self, socket: Any, frame: dict[str, Any]) -> None:
        super().received(socket, frame)
        if self.queue and not self.is_refused:
            socket.send(self.queue.pop(0))


# Clients that are right


@pytest.mark.usefixtures("processes")
def test_recorded_clients_pass() -> None:
    """They have talked to the real network for years, so the bench must not find them wrong."""
    benches = {path: RunningBench() for path in TRANSCRIPTS}
    for path, bench in benches.items():
        RecordedClient(bench, path)
    assert len(benches) >= 5
    for path, bench in benches.items():
        assert bench.wait() == 0, f"{path.stem}:\n{bench.text}"
        assert "Green" in bench.lines[-1]


@pytest.mark.usefixtures("processes")
def test_gossip_client_is_green_in_every_point(make_client: Callable[..., Any]) -> None:
    bench = RunningBench(Times(patience=15, answer=3, turn=10, downtime=1, watch=0.5))
    client = make_client(
        bench.url,
        channels=["gossip"],
        players=lambda: ["Alice"],
        supports=["tells", "games"],
        user_agent="tests 1",
        backoff=Backoff(longest=1.0),
    )

    def try_everything() -> None:
        for request in (
            lambda: client.send("gossip", "Alice", "Hello ☺"),
            lambda: client.tell("Alice", "Riverbend", "Ann", "Hi"),
            lambda: client.sign_in("Alice"),
            lambda: client.players_status("Riverbend"),
        ):
            try:
                request()
            except GossipError:
                pass  # one of them fails on purpose

    while "Your turn" not in bench.text and bench.is_running:
        time.sleep(0.02)
    try_everything()

    assert bench.wait() == 0, bench.text
    assert "0 wrong, 0 to mind, 0 not seen" in bench.text


# Clients that are wrong


@pytest.mark.usefixtures("processes")
def test_a_small_client_passes_and_its_recording_can_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = RunningBench(record=tmp_path / "recording.jsonl")
    SmallClient(bench)
    assert bench.wait() == 0, bench.text
    assert "not seen (it does not support tells)" in bench.text
    lines = [json.loads(line) for line in (tmp_path / "recording.jsonl").read_text().splitlines()]
    ends = [(line["dir"], line["kind"], line.get("code")) for line in lines if line["kind"] in ("close", "eof")]
    assert ends[:3] == [("server", "close", 1012), ("server", "eof", None), ("server", "eof", None)]

    server = OldServer()
    status = main(["replay", "--url", server.url, str(tmp_path / "recording.jsonl"), "--timeout", "1"])
    server.close()

    shown = capsys.readouterr().out
    assert status == 0 and ", 0 without the answer to their ref, 0 not sent" in shown
    assert '1 > {"event": "authenticate"' in shown and '"client_secret": "***"' in shown
    sent = [line["data"] for line in lines if line["dir"] == "client" and line["kind"] == "text"]
    assert server.frames == [json.loads(text) for text in sent]


def test_recorded_clients_can_be_replayed_against_a_worker(
    network: Any, network_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requests of the recording that the worker refuses are answered too."""
    game = network.game("Replay")
    monkeypatch.setenv("GOSSIP_CLIENT_SECRET", game.client_secret)
    path = next(path for path in TRANSCRIPTS if path.stem.startswith("grapevinejs"))
    status = main(["replay", "--url", network_url, "--client-id", game.client_id, str(path), "--timeout", "10"])
    shown = capsys.readouterr().out
    assert status == 0, shown
    assert '1 < {"event":"authenticate","status":"success"' in shown and game.client_secret not in shown


@pytest.mark.usefixtures("processes")
def test_a_replay_says_what_is_not_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [
        {"event": "authenticate", "payload": {"client_id": "x", "client_secret": "secret", "supports": ["channels"]}},
        {"event": "channels/subscribe", "ref": 1, "payload": {"channel": "gossip"}},
    ]
    entries = [{"conn": 1, "dir": "client", "kind": "open"}]
    entries += [{"conn": 1, "dir": "client", "kind": "text", "data": json.dumps(frame)} for frame in frames]
    (tmp_path / "recording.jsonl").write_text("\n".join(map(json.dumps, entries)))
    server = OldServer(unanswered=["channels/subscribe"])
    status = main(["replay", "--url", server.url, str(tmp_path / "recording.jsonl"), "--timeout", "0.2"])
    server.close()
    assert status == 1 and "1 ! no answer to channels/subscribe within 0.2 s" in capsys.readouterr().out


class Silent(SmallClient):
    heartbeat = None


class Elsewhere(SmallClient):
    path = "/"


class Undeclared(SmallClient):
    authenticate = {
        "event": "authenticate",
        "payload": {"client_id": "id", "client_secret": "s", "supports": ["tells"]},
    }


class Talkative(SmallClient):
    def opened(self, socket: Any) -> None:
        socket.send('{"event": "channels/subscribe", "payload": {"channel": "gossip"}}')
        super().opened(socket)


class Fragile(SmallClient):
    """It fails on an event that it does not know."""

    def received(self, socket: Any, frame: dict[str, Any]) -> None:
        super().received(socket, frame)
        if frame["event"] == "weather/changed":
            socket.close()


class Sloppy(SmallClient):
    """It sends frames that the network refuses."""

    def opened(self, socket: Any) -> None:
        super().opened(socket)
        socket.send('{"event": "players/status", "payload": {}}')
        socket.send('{"event": "channels/send", "ref": 1, "payload": {"channel": "gossip"}}')
        socket.send("{")


class Final(SmallClient):
    """It does not come back."""

    def received(self, socket: Any, frame: dict[str, Any]) -> None:
        super().received(socket, frame)
        self.is_refused = frame["event"] == "restart"


class Forgetful(SmallClient):
    """It subscribes only once."""

    count = 0

    def opened(self, socket: Any) -> None:
        self.count += 1
        payload = {**self.authenticate["payload"], "channels": ["gossip"] if self.count == 1 else []}
        socket.send(json.dumps({"event": "authenticate", "payload": payload}))


class Hasty(SmallClient):
    """It never waits."""

    pause = 0.0

    def received(self, socket: Any, frame: dict[str, Any]) -> None:
        if frame["event"] == "heartbeat":
            super().received(socket, frame)


BROKEN: dict[type[SmallClient], set[str]] = {
    Silent: {"heartbeat"},
    Elsewhere: {"path", "authenticate"},
    Undeclared: {"supports"},
    Talkative: {"authenticate"},
    Fragile: {"unknown-event"},
    Sloppy: {"frames"},
    Final: {"restart"},
    Forgetful: {"subscribed-again"},
    Hasty: {"backoff", "refused"},
}


@pytest.mark.usefixtures("processes")
def test_broken_clients_learn_what_is_wrong() -> None:
    """They run side by side, because most of the time they wait."""
    benches = {client: RunningBench(Times(patience=4, answer=1.5, turn=0.2, downtime=1, watch=1)) for client in BROKEN}
    for client, bench in benches.items():
        client(bench)
    for client, bench in benches.items():
        assert bench.wait() == 1, bench.text
        wrong = {line[6:].partition(": no")[0] for line in bench.lines if line.startswith("FAIL ")}
        titles = {CHECKS[key].title for key in BROKEN[client]}
        assert wrong == titles, f"{client.__name__}:\n{bench.text}"
        for key in BROKEN[client]:
            assert CHECKS[key].advice in bench.text and f'See "{CHECKS[key].section}"' in bench.text


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("[" * 30_000, "not JSON: [[["),
        ('{"event": "channels/subscribe", "ref": "\\ud83d", "payload": {}}', '"channel" is missing'),
        ('{"event": "channels/subscribe", "ref": [1], "payload": []}', "payload must be an object"),
        ("x" * 70_000, "more than 64 KiB"),
        (b"{}", "binary message"),
    ],
    ids=["nested", "surrogate", "odd ref", "big", "binary"],
)
def test_whatever_a_client_sends_is_named(message: str | bytes, fault: str) -> None:
    bench = RunningBench(Times(patience=1, answer=1))
    with connect(bench.url, compression=None) as socket:
        socket.send(json.dumps(SmallClient.authenticate))
        socket.recv()
        socket.send(message)
        try:
            while socket.recv(timeout=0.5):
                pass
        except (TimeoutError, ConnectionClosed):
            pass
    assert bench.wait() == 1
    assert fault in bench.text and CHECKS["frames"].advice in bench.text, bench.text


def test_nobody_connects() -> None:
    bench = RunningBench(Times(patience=0.1))
    assert bench.wait() == 1
    assert "it did not connect and authenticate within 0.1 s" in bench.text


# The rules


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        ([], "a frame must be an object"),
        ({"event": 7}, "a frame must be an object"),
        ({"event": "weather"}, "weather is an event that the network does not know"),
        ({"event": "sync", "ref": "1"}, "sync is only for network applications"),
        ({"event": "channels/send", "ref": "1"}, "channels/send: payload must be an object"),
        ({"event": "channels/subscribe", "ref": "1", "payload": {}}, '"channel" is missing'),
        ({"event": "channels/subscribe", "ref": "1", "payload": {"channel": 7}}, '"channel" must be 3 to 15'),
        ({"event": "players/sign-in", "ref": "1", "payload": {"name": "A"}}, 'needs "players" in supports'),
        ({"event": "channels/history", "payload": {"channel": "gossip"}}, "needs a ref"),
    ],
)
def test_faults_of_frames(frame: Any, fault: str) -> None:
    faults = check_frame(frame, ["channels"])
    assert any(fault in found.text and found.is_refused for found in faults), faults


@pytest.mark.parametrize(
    "frame",
    [
        {"event": "heartbeat"},
        {"event": "heartbeat", "payload": {"players": []}},
        {"event": "channels/send", "ref": 1, "payload": {"channel": "gossip", "name": "A", "message": "x" * 4000}},
        {
            "event": "tells/send",
            "ref": "",
            "payload": {
                "from_name": "A",
                "to_game": "B",
                "to_name": "C",
                "message": "m",
                "sent_at": "2026-11-23T06:15:44.123Z",
            },
        },
        {"event": "games/status", "ref": "1"},
    ],
)
def test_right_frames_have_no_faults(frame: Any) -> None:
    assert check_frame(frame, ["channels", "tells", "games"]) == []


def test_faults_of_authenticate() -> None:
    assert [fault.text for fault in check_authenticate({"payload": {"client_id": 1, "supports": "channels"}})] == [
        'authenticate: "client_id" must be a text',
        'authenticate: "client_secret" is missing',
        'authenticate: "supports" must be a list of texts',
    ]


def test_a_failed_check_stays_failed() -> None:
    lines: list[str] = []
    report = Report(lines.append)
    report.record("frames", False, "x")
    report.record("frames", True)
    report.record("long", True)
    assert (report.failed, report.passed, report.finish()) == (["frames"], ["long"], 1)


def test_sections_are_headings_of_the_protocol_page() -> None:
    headings = set(re.findall(r"^#+ (.+)$", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE))
    assert {check.section for check in CHECKS.values()} <= headings


# The command line


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    bench = RunningBench(Times(patience=5))
    port = bench.url.split(":")[2].split("/")[0]
    assert main(["bench", "--listen", port]) == 1
    assert f"gossip_client: cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
def test_ports_are_checked(port: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--listen", port])
    assert ended.value.code == 2


@pytest.mark.parametrize("content", ["{}", "[1]", "hello", '{"conn": 1, "dir": "up", "kind": "text"}'])
def test_other_files_are_no_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (tmp_path / "file").write_text(content)
    assert main(["replay", "--url", "ws://127.0.0.1:1/socket", str(tmp_path / "file")]) == 1
    assert "line 1: this is not a recording" in capsys.readouterr().err


def test_a_recording_that_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--url", "ws://127.0.0.1:1/socket", str(tmp_path / "none")]) == 1
    assert "cannot be read" in capsys.readouterr().err
