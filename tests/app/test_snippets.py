"""The ready-made lines on the owner's page: filled in, well-formed, and tested against a real worker where possible."""

from __future__ import annotations

import ast
import html
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from app import create_app
from tests.app.conftest import Visitor
from tests.support.processes import ROOT, ServerProcess, clean_environment

LINES = re.compile(r'data-lines="([^"]*)"><code>(.*?)</code></pre>', re.DOTALL)
LIBRARY = ROOT / "libraries" / "gossip-client" / "src"


class Snippets:
    """The lines of one page by label. Two snippets have the same label, so the values are lists."""

    def __init__(self, page: str) -> None:
        self._lines: dict[str, dict[str, str]] = {}
        for name, body in re.findall(r'id="snippet-(\w+)">(.*?)</details>', page, re.DOTALL):
            self._lines[name] = {what: html.unescape(lines) for what, lines in LINES.findall(body)}

    def __getitem__(self, name: str) -> dict[str, str]:
        return self._lines[name]

    def __iter__(self):
        return iter(self._lines.items())


@pytest.fixture
def url(request):
    """The socket address for owners; the worker's address if a test has one."""
    if "worker" in request.fixturenames:
        return request.getfixturevalue("worker").url
    return "wss://gossip.example/socket"


@pytest.fixture
def game(visitor_here):
    """The visitor's game, created in the browser, whose page shows the secret."""
    visitor_here.send("/manage/games/new", name="The Harbour", short_name="Harbour", follow=True)
    assert visitor_here.status == 200
    return visitor_here


@pytest.fixture
def visitor_here(engine, make_settings, stored, url):
    stored.user("wren", is_verified=True)
    return Visitor(create_app(make_settings(SOCKET_URL=url))).sign_in("wren")


@pytest.fixture
def snippets(game):
    return Snippets(game.answer.get_data(as_text=True))


def test_every_snippet_has_the_address_and_the_credentials(snippets, game, url):
    """It contains the secret while the page shows it, and a placeholder afterwards."""
    client_id, secret = game.text_of("client-id"), game.text_of("client-secret")
    assert {name for name, _ in snippets} == {
        "evennia", "exventure", "ranvier", "gossip_client", "websockets", "curl", "websocat"
    }  # fmt: skip
    for name, lines in snippets:
        text = "\n".join(lines.values())
        assert url in text or url.replace("ws", "http", 1) in text, name
        if name != "curl":
            assert client_id in text and secret in text, name
    game.open("/manage/games/Harbour")
    assert secret not in game.page and game.page.count("the client secret") >= 6


def test_configuration_is_well_formed(snippets, game, url):
    """In each server's format."""
    credentials = (game.text_of("client-id"), game.text_of("client-secret"))
    settings: dict[str, object] = {}
    exec(snippets["evennia"]["server/conf/settings.py"], settings)
    assert settings["GRAPEVINE_ENABLED"] is True and settings["GRAPEVINE_CHANNELS"] == ["gossip"]
    assert (settings["GRAPEVINE_CLIENT_ID"], settings["GRAPEVINE_CLIENT_SECRET"]) == credentials
    plugin = ast.parse(snippets["evennia"]["server/conf/portal_services_plugins.py"])
    assert ast.unparse(plugin.body[1]) == f"grapevine.GRAPEVINE_URI = {url!r}"

    ranvier = json.loads("{" + snippets["ranvier"]["ranvier.json"] + "}")["gossip"]
    assert (ranvier["url"], ranvier["clientId"], ranvier["clientSecret"]) == (url, *credentials)
    assert ranvier["channels"] == {"gossip": "gossip"}

    elixir = re.findall(r'^config :gossip, :(\w+), "([^"]+)"$', snippets["exventure"]["config/prod.secret.exs"], re.M)
    assert dict(elixir) == {"url": url, "client_id": credentials[0], "client_secret": credentials[1]}


def test_the_evennia_snippet_matches_the_test_with_evennia(snippets, game, url):
    """`make test-evennia` runs a game with these settings."""
    from tests.evennia import game as evennia

    credentials = {"client_id": game.text_of("client-id"), "client_secret": game.text_of("client-secret")}
    ports = {"telnet": 1, "web": 2, "proxied": 3, "websocket": 4, "amp": 5}
    assert snippets["evennia"]["server/conf/settings.py"] in evennia.SETTINGS.format(**ports, **credentials)
    assert snippets["evennia"]["server/conf/portal_services_plugins.py"] in evennia.PLUGIN.format(url=url)


@pytest.mark.usefixtures("processes")
def test_shell_commands_parse(snippets):
    for name, what in (("curl", "in a shell"), ("websocat", "in a shell"), ("gossip_client", "check the connection")):
        lines = snippets[name][what]
        subprocess.run(["sh", "-n", "-c", lines], check=True)
        assert shlex.split(lines)


def test_the_websocat_line_signs_the_game_in(worker, snippets, connect):
    """It is one frame on one line."""
    line = snippets["websocat"]["then type"]
    assert "\n" not in line
    client = connect()
    client.send_text(line)
    assert client.wait_for("authenticate")["status"] == "success"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_is_answered_by_a_web_socket(worker, snippets):
    command = shlex.split(snippets["curl"]["in a shell"])
    process = ServerProcess(command, env=clean_environment(no_proxy="*"))
    process.wait_for_line("101 Switching Protocols")
    process.kill()


@pytest.mark.parametrize(
    "name",
    [
        "websockets",
        pytest.param(
            "gossip_client", marks=pytest.mark.skipif(not LIBRARY.exists(), reason="the library is not in this tree")
        ),
    ],
)
def test_the_programs_connect_and_receive(worker, snippets, stored, connect, tmp_path, name):
    """As printed. A message from another game arrives."""
    program = tmp_path / "game.py"
    program.write_text(snippets[name]["game.py"])
    running = ServerProcess(
        [sys.executable, str(program)], env=clean_environment(PYTHONPATH=str(LIBRARY)), cwd=tmp_path
    )
    _, credentials = stored.game_with_credentials("Other")
    other = connect()
    other.authenticate(credentials.client_id, credentials.client_secret, channels=["gossip"])
    line = None
    for _ in range(40):  # the program takes a moment to start and subscribe
        other.request("channels/send", {"channel": "gossip", "name": "Odo", "message": "Hello, Harbour"})
        try:
            line = running.wait_for_line("Hello, Harbour", seconds=1)
            break
        except AssertionError:
            continue
    assert line is not None, running.output
    running.kill()


@pytest.mark.skipif(not LIBRARY.exists(), reason="the library is not in this tree")
def test_the_doctor_finds_nothing_wrong(worker, snippets, game):
    command = shlex.split(snippets["gossip_client"]["check the connection"].splitlines()[1])
    done = subprocess.run(
        [sys.executable, *command[1:]],
        env=clean_environment(
            PYTHONPATH=str(LIBRARY),
            GOSSIP_CLIENT_SECRET=game.text_of("client-secret"),
            HOME=os.environ.get("HOME", "/"),
        ),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
