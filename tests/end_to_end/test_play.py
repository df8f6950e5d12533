"""Play a whole session in the browser, against a scripted game and the real gateway."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from app.modules import FOLDER
from gateway.telnet import options as t
from shared import db
from shared.db import utc_now
from shared.services import play
from shared.services.authority.actors import OPERATOR
from tests.support.endpoints import Endpoint
from tests.support.processes import free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

IAC_GA = bytes([t.IAC, t.GA])
WELCOME = (
    b"\x1b[1;34mThe Harbour\x1b[0m, https://harbour.example/map\r\n\x1b[38;5;226mYellow\x1b[0m "
    b"\x1b[38;2;10;10;10mnight\x1b[0m \x1b[7minverse\x1b[0m <b>no markup</b>\r\n\r\nBy what name? "
)


class Harbour:
    """A game that asks for a name and a password, shows health by GMCP, and repeats what it is told."""

    def __init__(self) -> None:
        self.received = b""
        self.connection: socket.socket | None = None
        self._endpoint = Endpoint(self._play)
        self.port = self._endpoint.port

    @property
    def connections(self) -> int:
        return self._endpoint.connections

    def send(self, content: bytes) -> None:
        assert self.connection is not None
        self.connection.sendall(content)

    def _play(self, connection: socket.socket) -> bytes:
        self.connection, self.received = connection, b""
        self.send(bytes([t.IAC, t.DO, t.TTYPE, t.IAC, t.DO, t.NAWS, t.IAC, t.WILL, t.GMCP]))
        self.send(bytes([t.IAC, t.SB, t.TTYPE, 1, t.IAC, t.SE]) * 3 + WELCOME + IAC_GA)
        lines: list[bytes] = []
        while data := connection.recv(4096):
            self.received += data
            plain = re.sub(rb"\xff\xfa.*?\xff\xf0|\xff[\xfb-\xfe].", b"", self.received, flags=re.DOTALL)
            for line in plain.split(b"\r\n")[len(lines) : -1]:
                lines.append(line)
                self._answer(len(lines), line)
        return self.received

    def _answer(self, number: int, line: bytes) -> None:
        if number == 1:
            self.send(bytes([t.IAC, t.WILL, t.ECHO]) + b"Password: " + IAC_GA)
        elif number == 2:
            vitals = b'Char.Vitals {"hp": 40, "maxhp": 100}'
            self.send(bytes([t.IAC, t.WONT, t.ECHO]) + b"\r\nWelcome back.\r\n")
            self.send(bytes([t.IAC, t.SB, t.GMCP]) + vitals + bytes([t.IAC, t.SE]))
            self.send(b"<40hp> " + IAC_GA)
        else:
            self.send(b"You say: " + line + b"\r\n\r\n<%dhp> " % (40 + number) + IAC_GA)

    def close(self) -> None:
        self._endpoint.close()


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    port = free_port()
    return {**environment, "GATEWAY_PORT": str(port), "GATEWAY_URL": f"ws://127.0.0.1:{port}/play-socket"}


@pytest.fixture
def harbour() -> Iterator[Harbour]:
    game = Harbour()
    yield game
    game.close()


@pytest.fixture
def gateway(site: Any, start_gateway: Callable[..., Any]) -> Any:
    return start_gateway(PUBLIC_URL=site.url)


@pytest.fixture
def playable(stored: Any, harbour: Harbour) -> None:
    game = stored.game("Harbour", name="Midnight Harbour", description="Ships & fog.")
    way = stored.connection(game, host="127.0.0.1", port=harbour.port)
    with db.transaction() as session:
        play.set_switches(
            session,
            OPERATOR,
            short_name="Harbour",
            is_allowed=True,
            allows_guests=True,
            sends_address=False,
            is_asked=False,  # the scripted game serves one connection
        )
        play.ask_for_proof(session, OPERATOR, connection_id=way.id, now=utc_now())
        (task,) = play.take_proofs(session, now=utc_now(), at_most=1)
        play.finish_proof(session, task, proof=play.Proof.DNS, failure=None, now=utc_now())


def announced(page: Page) -> list[str]:
    return page.locator("#play-announcer p").all_text_contents()


def check_axe(page: Page) -> None:
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()


@pytest.mark.usefixtures("playable", "gateway")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_whole_session(page: Page, harbour: Harbour, width: int, tmp_path: Path) -> None:
    """From the game's page to a command, with a password, a gauge, a reload and the log."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if width < 400 else "light")
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))

    page.goto("/games/Harbour")
    page.get_by_role("link", name="Play in the browser").click()
    log, command = page.locator("#play-log"), page.locator("#play-text")
    expect(log).to_contain_text("By what name?")
    expect(log).to_contain_text("<b>no markup</b>")
    expect(log.locator("b")).to_have_count(0)
    assert (
        log.get_by_role("link", name="https://harbour.example/map").get_attribute("href")
        == "https://harbour.example/map"
    )
    for name in ("#play-connect", "#play-news", "#play-secret", "#play-gauges"):
        expect(page.locator(name)).to_be_hidden()
    check_axe(page)

    command.fill("Wren")
    command.press("Enter")
    expect(page.locator("#play-secret")).to_be_visible()
    assert command.get_attribute("type") == "password"
    command.fill("open sesame")
    command.press("Enter")
    expect(log).to_contain_text("Welcome back.")
    assert command.get_attribute("type") == "text"
    expect(page.locator("#play-gauges")).to_contain_text("Health 40/100")
    for text in ("hello", "hello again"):
        command.fill(text)
        command.press("Enter")
        expect(log).to_contain_text(f"You say: {text}")
    command.press("ArrowUp")
    command.press("ArrowUp")
    assert command.input_value() == "hello"
    command.press("ArrowUp")
    command.press("ArrowUp")
    assert command.input_value() == "Wren"  # and never the password
    assert "open sesame" not in page.content() + page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    check_axe(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    said = announced(page)
    for line in ("You say: hello", "You say: hello again", "Welcome back.", "By what name?"):
        assert said.count(line) == 1, said
    assert [line for line in said if line.endswith("hp>")] == ["<40hp>"]  # a prompt is not repeated

    before = log.inner_text()
    page.reload()
    expect(log).to_contain_text("You say: hello again")
    assert log.inner_text().replace("hello\n", "\n").count("You say: hello again") == 1
    assert "Welcome back." in before and harbour.connections == 1
    assert "You say: hello" not in announced(page)
    harbour.send(b"A ship arrives.\r\n")
    expect(log).to_contain_text("A ship arrives.")
    wait_until(lambda: "A ship arrives." in announced(page), what="the new line is announced")

    page.locator("#play-settings summary").click()
    check_axe(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the log").click()
    assert "A ship arrives." in Path(download.value.path()).read_text()
    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator("#play-state")).to_contain_text("you have disconnected")
    page.get_by_role("button", name="Connect", exact=True).click()
    wait_until(lambda: harbour.connections == 2, what="a second connection")
    assert faults == []


@pytest.mark.usefixtures("playable", "gateway")
def test_a_screen_reader_and_other_settings_are_remembered(page: Page, harbour: Harbour) -> None:
    page.goto("/games/Harbour")
    page.get_by_role("link", name="Play with a screen reader").click()
    expect(page.locator("#play-log")).to_contain_text("By what name?")
    wait_until(lambda: b"MTTS " in harbour.received, what="the terminal type")
    number = int(re.search(rb"MTTS (\d+)", harbour.received)[1])
    assert number & t.MTTS_SCREEN_READER
    wait_until(lambda: bytes([t.IAC, t.SB, t.NAWS]) in harbour.received, what="the size")

    page.locator("#play-settings summary").click()
    page.get_by_label("Words, with commas between them").fill("dragon, wren")
    page.get_by_label("Text size").fill("150")
    harbour.send(b"\r\nA Dragon and a dragonfly meet Wren.\r\n")
    expect(page.locator("#play-log mark")).to_have_text(["Dragon", "Wren"])
    page.goto("/games/Harbour/play")
    expect(page.get_by_label("I use a screen reader")).to_be_checked(timeout=10_000)
    assert page.locator("#play").evaluate("play => play.style.getPropertyValue('--play-size')") == "150%"


@pytest.mark.usefixtures("playable")
def test_a_review_by_keys_and_a_lost_gateway(page: Page, harbour: Harbour, gateway: Any) -> None:
    page.goto("/games/Harbour/play")
    log, command = page.locator("#play-log"), page.locator("#play-text")
    expect(log).to_contain_text("By what name?")
    harbour.send(b"\r\none\r\ntwo\r\nthree\r\n")
    expect(log).to_contain_text("three")
    command.focus()
    for key in ("Alt+ArrowUp", "Alt+ArrowUp", "Alt+ArrowDown"):
        command.press(key)
    assert announced(page)[-3:] == ["three", "two", "three"]
    assert page.evaluate("document.activeElement.id") == "play-text"

    gateway.kill()
    expect(page.locator("#play-state")).to_contain_text("The connection was lost")


@pytest.mark.usefixtures("playable", "gateway")
def test_a_flood_leaves_the_page_alive(page: Page, harbour: Harbour) -> None:
    """Three megabytes at once: the log is bounded, and the command line answers."""
    page.goto("/games/Harbour/play")
    log, command = page.locator("#play-log"), page.locator("#play-text")
    expect(log).to_contain_text("By what name?")
    flood = b"".join(b"%077d\r\n" % number for number in range(40_000)) + b"the end\r\n"
    threading.Thread(target=harbour.send, args=[flood], daemon=True).start()
    expect(log).to_contain_text("the end", timeout=60_000)
    assert log.evaluate("log => log.childElementCount") <= 3_000
    command.fill("still here")
    assert command.input_value() == "still here"


def test_a_game_that_cannot_be_played_says_so(page: Page, stored: Any) -> None:
    stored.game("Reef")
    page.goto("/games/Reef/play")
    expect(page.locator("main")).to_contain_text("cannot be played in the browser")


ORIGIN = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def modules(browser: Any) -> Iterator[Page]:
    """An empty page that can import the modules."""

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix(f"{ORIGIN}/")
        if path.endswith(".js"):
            route.fulfill(body=(FOLDER / path).read_text(), content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html><body></body>", content_type="text/html")

    page = browser.new_page()
    page.route(f"{ORIGIN}/**", serve)
    page.goto(f"{ORIGIN}/")
    yield page
    page.close()


def feed(page: Page, *parts: str) -> list[dict[str, Any]]:
    script = """async (parts) => {
      const { Ansi } = await import("/play/ansi.js");
      const ansi = new Ansi();
      return parts.flatMap((part) => ansi.feed(part));
    }"""
    pieces: list[dict[str, Any]] = page.evaluate(script, list(parts))
    return pieces


def test_escape_sequences(modules: Page) -> None:
    styled = "\x1b[1;31mred\x1b[22m thin\x1b[38;5;99;48;2;1;2;300m both\x1b[0m plain"
    assert feed(modules, styled) == [
        {"text": "red", "style": {"bold": True, "fg": 1}},
        {"text": " thin", "style": {"fg": 1}},
        {"text": " both", "style": {"fg": 99, "bg": [1, 2, 255]}},
        {"text": " plain", "style": {}},
    ]
    for sequence in (
        "\x1b[2J",
        "\x1b[10;5H",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1b(B",
        "\x1b7",
        "\x1b[?25l",
    ):
        for cut in range(len(sequence) + 1):
            pieces = feed(modules, f"a{sequence[:cut]}", f"{sequence[cut:]}b")
            assert "".join(piece["text"] for piece in pieces) == "ab", (sequence, cut)
    assert feed(modules, "a\x07\x08\u202eb\tc\n")[0]["text"] == "ab\tc\n"
    assert feed(modules, "\x1b[" + "9" * 500 + "x", "go on")[-1]["text"].endswith("go on")
    assert feed(modules, "\x1b[38;5m", "x") == [{"text": "x", "style": {}}]


def test_every_colour_can_be_read_in_both_themes(modules: Page) -> None:
    worst = modules.evaluate("""async () => {
      const { colours, contrast } = await import("/play/colours.js");
      const parse = (css, own) => (css ? css.match(/\\d+/g).map(Number) : own);
      let worst = 21;
      for (const page of [{ ink: [43, 33, 29], paper: [255, 253, 248] }, { ink: [241, 232, 224], paper: [38, 32, 35] }])
        for (let fg = -1; fg < 256; fg += 1)
          for (let bg = -1; bg < 256; bg += 5)
            for (const inverse of [false, true]) {
              const style = { inverse, ...(fg >= 0 && { fg }), ...(bg >= 0 && { bg }) };
              const { color, background } = colours(style, page);
              worst = Math.min(worst, contrast(parse(color, page.ink), parse(background, page.paper)));
            }
      return worst;
    }""")
    assert worst >= 4.5


def test_recall_finds_what_begins_like_the_text(modules: Page) -> None:
    steps = modules.evaluate("""async () => {
      const { History } = await import("/play/history.js");
      const history = new History();
      for (const line of ["look", "say hi", "say hi", "north", "say bye"]) history.add(line);
      const up = (text) => history.step(-1, text), down = (text) => history.step(1, text);
      const found = [up("say"), up(""), up(""), down(""), down("")];
      history.add("");
      return [...found, up(""), up("")];
    }""")
    assert steps == ["say bye", "say hi", None, "say bye", "say", "say bye", "north"]


def test_gauges_of_several_servers(modules: Page) -> None:
    script = "async (values) => (await import('/play/gauges.js')).findGauges(values)"
    found = modules.evaluate(script, {"hp": "12", "maxhp": 50, "mana": 3, "max_mana": 9, "mv": 1, "moves": 4})
    assert [(gauge["name"], gauge["value"], gauge["max"]) for gauge in found] == [("Health", 12, 50), ("Mana", 3, 9)]
    assert modules.evaluate(script, {"hp": 5, "maxhp": 0, "sp": "x", "maxsp": 3}) == []
