"""`python -m gossip_client`: chat and doctor, as people run them."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from gossip_client import ChannelMessage
from gossip_client.__main__ import main
from gossip_client.chat import chat
from gossip_client.doctor import examine
from gossip_client.explain import explain
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.sync.server import serve

from tests.support.waiting import wait_until

TLS = Path(__file__).parent / "tls"  # a test authority, and its certificate for 127.0.0.1, valid until 2126


@pytest.fixture
def run(run_environment, python):
    """Runs the command line with a secret in the environment. `run.popen` returns the running process."""
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

    def popen(*arguments: str, secret: str, stderr: int = subprocess.STDOUT) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [python, "-m", "gossip_client", *arguments],
            env={**run_environment, "GOSSIP_CLIENT_SECRET": secret},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        started.append(process)
        return process

    start.popen = popen  # type: ignore[attr-defined]
    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def test_two_terminals_chat(run, network, network_url, make_client):
    game, other, channel = network.game("Alpha"), network.game("Beta"), network.factory.channel().name
    listener = make_client(network_url, other.client_id, other.client_secret, channels=[channel])
    arguments = ["chat", "--channel", channel, "--url", network_url, "--client-id", game.client_id, "--name", "Ann"]
    terminal = run.popen(*arguments, secret=game.client_secret)
    assert terminal.stdout is not None and terminal.stdin is not None
    assert f"-- on {channel} as Ann (protocol 2.4.0)" in terminal.stdout.readline()
    terminal.stdin.write("hello from a terminal\n")
    terminal.stdin.flush()
    assert listener.wait_for(ChannelMessage).message == "hello from a terminal"
    listener.send(channel, "Bob", "hello yourself")
    assert terminal.stdout.readline() == f"[{channel}] Bob@{other.short_name}: hello yourself\n"
    terminal.stdin.write("/quit\n")
    terminal.stdin.flush()
    assert terminal.wait(20) == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"secret": "wrong"}, "invalid credentials"),
        ({"url": "ws://127.0.0.1:1/socket"}, "connection refused"),
        ({"url": "http://127.0.0.1/"}, "must begin with ws:// or wss://"),
        ({"channel": "no good name"}, "Could not subscribe to 'no good name'"),
        ({"url": "ws://[::1/socket"}, "there can be no such host"),
        ({"url": "ws://a..b/socket"}, "there can be no such host"),
        ({"url": "ws://host:0/socket"}, "its port is not a number from 1 to 65535"),
        ({"url": "ws:///socket"}, "it has no host"),
        ({"url": ""}, "must begin with ws:// or wss://"),
        ({"secret": ""}, "there is no client secret: set GOSSIP_CLIENT_SECRET"),
    ],
)
def test_errors_are_printed_in_one_line(run, network, network_url, change, expected):
    game = network.game("Alpha")
    options = {"url": network_url, "secret": game.client_secret, "channel": "gossip", **change}
    arguments = [
        "--url",
        options["url"],
        "--client-id",
        game.client_id,
        "--channel",
        options["channel"],
        "--timeout",
        "2",
    ]
    process = run("chat", *arguments, secret=options["secret"], stdin="")
    assert process.returncode == 1
    assert expected in process.stderr and process.stderr.count("\n") == 1, process.stderr
    assert process.stdout == "" or expected.startswith("Could not subscribe")


@pytest.mark.parametrize("command", ["chat", "doctor"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0", "soon"])
def test_invalid_times_are_refused(capsys, command, seconds):
    with pytest.raises(SystemExit) as ended:
        main([command, "--url", "ws://127.0.0.1:1/socket", "--client-id", "x", "--timeout", seconds])
    assert ended.value.code == 2
    assert "argument --timeout: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("url", ["ws://ann:hush@127.0.0.1:1/socket", "ws://ann:hush@127.0.0.1:0/", "ann:hush@x"])
@pytest.mark.parametrize("command", ["chat", "doctor"])
def test_a_password_in_the_address_is_not_shown(capsys, monkeypatch, command, url):
    monkeypatch.setenv("GOSSIP_CLIENT_SECRET", "secret")
    assert main([command, "--url", url, "--client-id", "x", "--timeout", "0.5"]) == 1
    shown = "".join(capsys.readouterr())
    assert shown and "hush" not in shown
    assert "hush" not in explain(InvalidStatus(Response(404, "Not Found", Headers())), url)


def test_a_closed_output_is_not_an_error(run, network, network_url):
    """`… | head -1`: there is no traceback, in whichever thread the output fails."""
    game = network.game("Alpha")
    arguments = ["--url", network_url, "--client-id", game.client_id]
    doctor = run.popen("doctor", *arguments, secret=game.client_secret, stderr=subprocess.PIPE)
    doctor.stdout.close()
    assert doctor.stderr.read() == "" and doctor.wait(20) == 141
    chat = run.popen("chat", *arguments, secret=game.client_secret, stderr=subprocess.PIPE)
    chat.stdout.readline()
    chat.stdout.close()
    chat.stdin.write("/who\n")
    chat.stdin.close()
    assert chat.stderr.read() == "" and chat.wait(20) == 141


def test_an_ascii_terminal_works(run, old_server, run_environment):
    """Letters that cannot be printed or read are replaced, without a traceback."""
    run_environment["PYTHONIOENCODING"] = "ascii:strict"
    server = old_server()
    arguments = ["--url", server.url, "--client-id", "id", "--name", "\xc4nn"]
    process = run("chat", *arguments, secret="secret", stdin="tsch\xfcss\n")
    assert process.returncode == 0 and process.stderr == "" and "on gossip as ?nn" in process.stdout
    assert server.events("channels/send")[0]["payload"]["message"] == "tsch\ufffd\ufffdss"


def test_control_characters_in_messages_are_not_printed(old_server, capsys):
    """Older servers do not remove them."""
    server = old_server()
    printed = []

    def typed():
        line = {"channel": "gossip", "game": "A", "name": "b", "message": "one\n[gossip] forged\x1b[2J two \u202e"}
        server.tell("channels/broadcast", line)
        wait_until(lambda: printed.append(capsys.readouterr().out) or "two" in printed[-1])
        yield "/quit"

    assert chat(server.url, "id", "secret", "gossip", "Ann", lines=typed()) == 0
    assert "".join(printed).endswith("[gossip] b@A: one [gossip] forged [2J two  \n")


def test_unknown_commands_are_not_sent(old_server, capsys):
    server = old_server()
    assert chat(server.url, "id", "secret", "gossip", "Ann", lines=["/help", "/me waves", "//me waves", "a / b"]) == 0
    lines = [event["payload"]["message"] for event in server.events("channels/send")]
    assert lines == ["/me waves", "a / b"]
    printed = capsys.readouterr().out
    assert printed.count("/who shows who is online") == 2 and "there is no command /me" in printed


def test_a_send_that_loses_its_connection_does_not_end_the_chat(old_server, capsys):
    """It may or may not have arrived: chat says so, and goes on."""
    server = old_server(unanswered=["channels/send"])

    def drop() -> None:
        wait_until(lambda: server.events("channels/send"))
        server.drop()

    def typed():
        thread = threading.Thread(target=drop)
        thread.start()
        yield "hello?"
        thread.join()
        wait_until(lambda: len(server.events("authenticate")) == 2)

    assert chat(server.url, "id", "secret", "gossip", "Ann", lines=typed()) == 0
    assert "-- not said: hello? (connection-lost)\n" in capsys.readouterr().out


def test_the_doctor_finds_nothing_wrong(run, network, network_url):
    game = network.game("Alpha")
    process = run("doctor", "--url", network_url, "--client-id", game.client_id, secret=game.client_secret)
    assert process.returncode == 0, process.stdout + process.stderr
    steps = [line.split()[1] for line in process.stdout.splitlines() if line.startswith("ok")]
    assert steps == ["address", "name", "TCP", "WebSocket", "credentials", "heartbeat", "channel", "version"]
    assert game.client_secret not in process.stdout


def test_the_doctor_names_the_step_that_fails(network, network_url, old_server):
    """For each step it says what is wrong, and what to do."""
    game = network.game("Alpha")

    def failure(url: str = network_url, secret: str = game.client_secret, channel: str = "gossip") -> str:
        lines: list[str] = []
        assert examine(url, game.client_id, secret, channel, seconds=3, say=lines.append) == 1
        assert lines[-2].startswith("FAIL") and lines[-1].strip()
        return lines[-2]

    assert "address" in failure("https://example.com/socket")
    assert "name (DNS)" in failure("ws://no-such-host.invalid/socket")
    assert "TCP" in failure("ws://127.0.0.1:1/socket")
    assert "TLS" in failure(network_url.replace("ws://", "wss://"))
    assert "WebSocket" in failure(network_url.replace("/socket", "/elsewhere"))
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


def test_the_doctor_accepts_a_valid_certificate(encrypted, monkeypatch, make_client):
    """This machine trusts the authority here; a client can connect too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    lines: list[str] = []
    assert examine(encrypted.url, "id", "secret", seconds=5, say=lines.append) == 0, lines
    (step,) = [line for line in lines if line.split()[1] == "TLS"]
    assert step.startswith("ok") and "the certificate is valid" in step
    assert make_client(encrypted.url).is_connected


def test_the_doctor_refuses_an_unknown_authority(encrypted):
    lines: list[str] = []
    assert examine(encrypted.url, "id", "secret", seconds=5, say=lines.append) == 1
    assert lines[-2].startswith("FAIL  TLS") and "is not valid" in lines[-2] and "root certificates" in lines[-1]


FORGED = "\x1b[2J\x1b]0;owned\x07 one\nok    credentials"


@pytest.fixture
def forger():
    """A server that puts control characters into its answers."""

    def serve_one(connection):
        connection.recv()
        connection.send(json.dumps({"event": "authenticate", "status": "failure", "error": FORGED}))
        for _ in connection:
            pass

    with serve(serve_one, "127.0.0.1", 0, close_timeout=0.2) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/socket"
        server.shutdown()


@pytest.mark.parametrize("command", ["chat", "doctor"])
def test_control_characters_in_errors_are_not_printed(forger, capsys, monkeypatch, command):
    monkeypatch.setenv("GOSSIP_CLIENT_SECRET", "secret")
    assert main([command, "--url", forger, "--client-id", "x", "--timeout", "5"]) == 1
    out, err = capsys.readouterr()
    shown = out + err
    assert "owned  one ok" in shown and "\x1b" not in shown and "\nok    credentials" not in shown


def test_who_says_that_there_is_no_connection(old_server, capsys):
    """`/who` prints a line even if no game is known."""
    server = old_server(unanswered=["players/status"])

    def typed():
        yield "/who"
        server.close()
        wait_until(lambda: "trying again" in capsys.readouterr().out)
        yield "/who"

    assert chat(server.url, "id", "secret", "gossip", "Ann", lines=typed()) == 0
    assert capsys.readouterr().out == "-- there is no connection now\n"


@pytest.mark.parametrize("command", ["chat", "doctor"])
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://127.0.0.1:1/socket#here", "is not a valid address: it contains a #"),
        ("ws://127.0.0.1:1/so cket", "is not a valid address: it contains a space"),
    ],
)
def test_invalid_characters_in_an_address_are_named(capsys, monkeypatch, command, url, expected):
    monkeypatch.setenv("GOSSIP_CLIENT_SECRET", "secret")
    assert main([command, "--url", url, "--client-id", "x", "--timeout", "0.5"]) == 1
    assert expected in "".join(capsys.readouterr())


def test_spaces_around_arguments_are_removed(old_server, capsys, monkeypatch):
    server = old_server()
    monkeypatch.setenv("GOSSIP_CLIENT_SECRET", " secret\n")
    assert main(["doctor", "--url", f" {server.url}\n", "--client-id", " id\t", "--timeout", "5"]) == 0
    sent = server.events("authenticate")[0]["payload"]
    assert sent["client_id"] == "id"
    assert "user_agent" not in sent, "it would become the game's software"
    assert f"{server.url}\nok" in capsys.readouterr().out


def test_a_server_without_tls_is_not_tried_again(network_url, capsys, monkeypatch):
    monkeypatch.setenv("GOSSIP_CLIENT_SECRET", "secret")
    url = network_url.replace("ws://", "wss://")
    assert main(["chat", "--url", url, "--client-id", "id", "--timeout", "30"]) == 1
    error = capsys.readouterr().err
    assert "is it ws:// rather than wss://?" in error and "within 30 s" not in error


@pytest.mark.parametrize(
    ("variable", "proxy", "expected"),
    [
        ("http_proxy", "http://ann:hush@127.0.0.1:1", "no server listens"),
        ("http_proxy", "127.0.0.1:1", "isn't a valid proxy"),
        ("http_proxy", "http://ann:hush@127.0.0.1:1/path", "isn't a valid proxy"),
        ("socks_proxy", "socks5://127.0.0.1:1", "requires python-socks"),
    ],
)
def test_a_broken_proxy_is_named(old_server, capsys, monkeypatch, variable, proxy, expected):
    """If the environment sets a proxy, the error must blame the proxy and not the network."""
    for name in ("no_proxy", "http_proxy", "https_proxy", "all_proxy", "socks_proxy", "ws_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(variable, proxy)
    monkeypatch.setenv("GOSSIP_CLIENT_SECRET", "secret")
    url = old_server().url
    assert main(["chat", "--url", url, "--client-id", "id", "--timeout", "1"]) == 1
    error = capsys.readouterr().err
    named = proxy.replace("ann:hush@", "")
    assert (
        expected in error and f"through the proxy {named}" in error and "hush" not in error and error.count("\n") == 1
    )
    assert main(["doctor", "--url", url, "--client-id", "id", "--timeout", "1"]) == 1
    shown = capsys.readouterr().out
    assert f"ok    proxy          {named}" in shown and expected in shown and "no_proxy" in shown and "TCP" not in shown
