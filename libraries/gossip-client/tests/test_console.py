"""`python -m gossip_client`: chat and doctor, as a person runs them."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from gossip_client import ChannelMessage
from gossip_client.doctor import examine

TLS = Path(__file__).parent / "tls"  # an authority of these tests' own, and what it says of 127.0.0.1 until 2126


@pytest.fixture
def run(run_environment, python):
    """Starts the console with a secret in the environment; returns the finished process, or a running one."""
    started = []

    def start(*arguments: str, secret: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", "gossip_client", *arguments],
            env={**run_environment, "GOSSIP_CLIENT_SECRET": secret},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=50,
        )

    def popen(*arguments: str, secret: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [python, "-m", "gossip_client", *arguments],
            env={**run_environment, "GOSSIP_CLIENT_SECRET": secret},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    start.popen = popen  # type: ignore[attr-defined]
    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_terminals_chat(run, worker, stored, make_client):
    game = stored.game_with_credentials("Alpha")[1]
    other = stored.game_with_credentials("Beta")[1]
    listener = make_client(worker.url, other.client_id, other.client_secret, channels=["gossip"])
    arguments = ["chat", "--url", worker.url, "--client-id", game.client_id, "--name", "Ann"]
    terminal = run.popen(*arguments, secret=game.client_secret)
    assert terminal.stdout is not None and terminal.stdin is not None
    assert "-- on gossip as Ann (protocol 2.4.0)" in terminal.stdout.readline()
    terminal.stdin.write("hello from a terminal\n")
    terminal.stdin.flush()
    assert listener.wait_for(ChannelMessage).message == "hello from a terminal"
    listener.send("gossip", "Bob", "hello yourself")
    assert terminal.stdout.readline() == "[gossip] Bob@Beta: hello yourself\n"
    terminal.stdin.write("/quit\n")
    terminal.stdin.flush()
    assert terminal.wait(20) == 0


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"secret": "wrong"}, "invalid credentials"),
        ({"url": "ws://127.0.0.1:1/socket"}, "connection refused"),
        ({"url": "http://127.0.0.1/"}, "must begin with ws:// or wss://"),
        ({"channel": "no good name"}, "Could not subscribe to 'no good name'"),
    ],
)
def test_what_goes_wrong_is_one_line(run, worker, stored, change, wanted):
    game = stored.game_with_credentials("Alpha")[1]
    given = {"url": worker.url, "secret": game.client_secret, "channel": "gossip", **change}
    arguments = ["--url", given["url"], "--client-id", game.client_id, "--channel", given["channel"], "--timeout", "2"]
    done = run("chat", *arguments, secret=given["secret"], stdin="")
    assert done.returncode == 1
    assert wanted in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_the_doctor_finds_nothing_wrong(run, worker, stored):
    game = stored.game_with_credentials("Alpha")[1]
    done = run("doctor", "--url", worker.url, "--client-id", game.client_id, secret=game.client_secret)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok")]
    assert steps == ["address", "name", "TCP", "WebSocket", "credentials", "heartbeat", "channel", "version"]
    assert game.client_secret not in done.stdout


def test_the_doctor_names_the_step_that_fails(worker, stored, old_server):
    """For each fault the step, what is wrong, and what to do."""
    game = stored.game_with_credentials("Alpha")[1]

    def failure(url: str = worker.url, secret: str = game.client_secret, channel: str = "gossip") -> str:
        lines: list[str] = []
        assert examine(url, game.client_id, secret, channel, seconds=3, say=lines.append) == 1
        assert lines[-2].startswith("FAIL") and lines[-1].strip()
        return lines[-2]

    assert "address" in failure("https://example.com/socket")
    assert "name (DNS)" in failure("ws://no-such-host.invalid/socket")
    assert "TCP" in failure("ws://127.0.0.1:1/socket")
    assert "TLS" in failure(worker.url.replace("ws://", "wss://"))
    assert "WebSocket" in failure(worker.url.replace("/socket", "/elsewhere"))
    assert "credentials" in failure(secret="wrong")
    assert "channel" in failure(channel="no good name")
    lines: list[str] = []
    assert examine(old_server("2.3.0").url, "id", "secret", seconds=3, say=lines.append) == 0
    assert "older than this client" in lines[-2]


@pytest.fixture
def encrypted(old_server):
    """A server behind TLS, with a certificate of the tests' authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    return old_server("2.3.0", tls=context)


def test_the_doctor_finds_nothing_wrong_over_tls(encrypted, monkeypatch, make_client):
    """Where this machine knows the authority; and a client connects there too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    lines: list[str] = []
    assert examine(encrypted.url, "id", "secret", seconds=5, say=lines.append) == 0, lines
    (step,) = [line for line in lines if line.split()[1] == "TLS"]
    assert step.startswith("ok") and "the certificate is valid" in step
    assert make_client(encrypted.url).is_connected


def test_the_doctor_does_not_trust_a_stranger(encrypted):
    lines: list[str] = []
    assert examine(encrypted.url, "id", "secret", seconds=5, say=lines.append) == 1
    assert lines[-2].startswith("FAIL  TLS") and "is not valid" in lines[-2] and "root certificates" in lines[-1]
