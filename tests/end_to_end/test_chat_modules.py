"""The pure modules of the chat's script, each imported into an empty page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from app.chat import text
from app.chat.colours import HUES, hue_of
from app.modules import FOLDER

pytestmark = pytest.mark.browser
ORIGIN = "http://127.0.0.1:9"


def serve(route: Route) -> None:
    path = route.request.url.removeprefix(f"{ORIGIN}/")
    if path.endswith(".js"):
        route.fulfill(body=(FOLDER / path).read_text(), content_type="text/javascript")
    else:
        route.fulfill(body="<!doctype html><body data-root=''></body>", content_type="text/html")


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(locale="en-GB")
    page.route(f"{ORIGIN}/**", serve)
    page.goto(f"{ORIGIN}/")
    yield page
    page.close()


def call(page: Page, module: str, name: str, *arguments: Any) -> Any:
    """Call a function of a module."""
    script = "async ([module, name, values]) => (await import(module))[name](...values)"
    return page.evaluate(script, [f"/{module}", name, list(arguments)])


def test_commands(modules: Page) -> None:
    """Whatever is no command is said as it is: nothing that is typed gets lost."""

    def parse(line: str) -> dict[str, str]:
        return dict(call(modules, "chat/commands.js", "parse", line))

    for said in ("hello", "/usr/bin/env python", "/", "1/2", "/:-)", "/ hello", "/o\\ /o/"):
        assert parse(said) == {"kind": "say", "text": said}, said
    assert parse("//who") == {"kind": "say", "text": "/who"}
    assert parse("///x") == {"kind": "say", "text": "//x"}
    assert parse("/me waves") == {"kind": "say", "text": "/me waves"}
    assert parse("  ") == {"kind": "empty"}
    told = {"kind": "tell", "name": "Ash of Ashfall", "game": "Harbour", "text": "hi  there\nyou"}
    assert parse("/tell Ash of Ashfall@Harbour hi  there\nyou") == told
    assert parse("/T Ash@Harbour hi")["kind"] == "tell"
    assert parse("/r yes") == {"kind": "reply", "text": "yes"}
    assert parse("/ignore Ash@Harbour") == {"kind": "ignore", "name": "Ash", "game": "Harbour"}
    assert parse("/who")["kind"] == "who" and parse("/HELP")["kind"] == "help"
    for wrong in ("/tell", "/tell Ash hi", "/tell Ash@Harbour", "/r", "/me", "/ignore Ash", "/wave"):
        assert parse(wrong)["kind"] == "wrong", wrong
    assert "type //wave" in parse("/wave at all")["text"]


def test_texts(modules: Page) -> None:
    """Links are found as the site finds them; tags are made harmless instead of being cut; names are whole words."""
    for said in (
        "see https://example.com/a?b=c&d=e, please",
        "(http://example.com/x) and https://example.com/y_(z).",
        "HTTPS://Example.com! javascript:alert(1) https:// http://, xhttps://example.com",
        'https://example.com/"onmouseover="alert(1) https://example.com/<script>',
    ):
        pieces = call(modules, "chat/text.js", "pieces", said)
        assert "".join(piece["text"] for piece in pieces) == said
        expected = [a.replace("&amp;", "&") for a in re.findall(r'<a href="([^"]*)"', str(text.linked(said)))]
        assert [piece["address"] for piece in pieces if "address" in piece] == expected
    assert call(modules, "chat/text.js", "emote", "/me waves") == text.emote("/me waves") == "waves"
    assert call(modules, "chat/text.js", "emote", "/mean") is text.emote("/mean") is None
    for typed, sent in (("a <b>bold</b> x<y", "a < b>bold< /b> x< y"), ("a < b", "a < b"), ("if a<b", "if a<b")):
        assert call(modules, "chat/text.js", "withoutTags", typed) == sent
    assert call(modules, "chat/text.js", "excess", "😀" * 4001) == 1
    mentions = "async ([name, said]) => (await import('/chat/text.js')).mentionOf(name)(said)"
    for said, is_mention in (("Wren: hi", True), ("hi wren!", True), ("wrens", False), ("wren-2", False), ("", False)):
        assert modules.evaluate(mentions, ["wren", said]) is is_mention, said
    assert modules.evaluate(mentions, ["a.b", "axb"]) is False


def test_speakers_have_the_same_hue_on_every_page(modules: Page) -> None:
    speakers = [("Ash", "Harbour"), ("ASH", "harbour"), ("שלום", "MidMUD"), ("Ünal", "X"), ("😀", "Y")]
    hues = [call(modules, "chat/colours.js", "hueOf", *speaker) for speaker in speakers]
    assert hues == [hue_of(*speaker) for speaker in speakers]
    assert hues[0] == hues[1]
    assert {hue_of(f"player{n}", "Game") for n in range(200)} == set(range(HUES))


def test_lines_of_one_speaker_within_five_minutes_stand_under_one_name(modules: Page) -> None:
    def is_grouped(seconds: int, **changes: Any) -> bool:
        before = {"speaker": "a@b", "at": 0, "isEmote": False}
        line = {**before, "at": seconds * 1000, **changes}
        return bool(call(modules, "chat/grouping.js", "isGrouped", before, line))

    assert is_grouped(299) and not is_grouped(300)
    assert not is_grouped(1, speaker="c@b") and not is_grouped(1, isEmote=True)
    assert not call(modules, "chat/grouping.js", "isGrouped", None, {"speaker": "a", "at": 0, "isEmote": False})


def test_completions(modules: Page) -> None:
    names, commands = ["Ash@Harbour", "Asher@X", "Odo@X", "Ash@Y"], ["/tell", "/me", "/help"]

    def complete(before: str) -> list[str]:
        return list(call(modules, "chat/completion.js", "completions", before, names, commands)["choices"])

    assert complete("as") == ["Ash: ", "Asher: "]
    assert complete("hi @as") == ["Ash ", "Asher "]
    assert complete("/t") == ["/tell "]
    assert complete("/tell as") == ["Ash@Harbour ", "Asher@X ", "Ash@Y "]
    assert complete("/tell Ash@h") == ["Ash@Harbour "]
    assert complete("") == complete("hello ") == complete("zz") == []


def test_conversations_are_the_same_in_all_tabs(modules: Page) -> None:
    """Each tab counts a tell once, however it learned of it; two equal tells are two."""
    result = modules.evaluate(
        """async () => {
          const { Book } = await import("/chat/tells.js");
          const tell = { name: "Ash", game: "Harbour", text: "hi", sent_at: "2026-01-01T10:00:00Z" };
          const [first, second] = [new Book(), new Book()];
          for (let n = 0; n < 2; n += 1) first.add({ ...tell, id: first.nameReceived(tell) });
          second.merge(JSON.parse(JSON.stringify(first)));
          for (let n = 0; n < 2; n += 1) second.add({ ...tell, id: second.nameReceived(tell) });
          const unread = second.unreadCount;
          second.add({ ...tell, id: "own", text: "yes", sent_at: "2026-01-01T10:00:05Z", isOwn: true });
          second.add({ name: "Odo", game: "X", text: "old", sent_at: "2026-01-01T09:00:00Z", id: "o" });
          second.markRead("ash@harbour");
          first.merge(JSON.parse(JSON.stringify(second)));
          return {
            sizes: [first.tells.size, second.tells.size], unread, left: first.unreadCount,
            order: first.conversations().map(({ name, last }) => [name, last.text]),
            last: first.lastReceived.text,
          };
        }"""
    )
    assert result == {
        "sizes": [4, 4],
        "unread": 2,
        "left": 1,
        "order": [["Ash", "yes"], ["Odo", "old"]],
        "last": "hi",
    }


def test_sent_lines_are_recalled(modules: Page) -> None:
    result = modules.evaluate(
        """async () => {
          const { Sent } = await import("/chat/drafts.js");
          const sent = new Sent([]);
          for (const text of ["one", "two", "one"]) sent.add(text);
          const back = ["typing", "", "", ""].map((typed) => sent.back(typed));
          return [...back, sent.forward(), sent.forward(), sent.forward()];
        }"""
    )
    assert result == [None, "one", "two", None, "one", "", None]


def test_a_silent_connection_is_closed_and_made_again(browser: Browser) -> None:
    """Heartbeats are answered; requests that are lost say so; the visitor's first frame names the channels."""
    page = browser.new_page()
    page.route(f"{ORIGIN}/**", serve)
    page.clock.install()
    page.goto(f"{ORIGIN}/")
    result = page.evaluate(
        """async () => {
          const { Socket } = await import("/link/socket.js");
          Math.random = () => 0; // the shortest delay before it connects again
          const sockets = [];
          globalThis.WebSocket = class {
            constructor() { this.sent = []; sockets.push(this); }
            send(text) { this.sent.push(JSON.parse(text)); }
            close() { this.isClosed = true; }
            hear(frame) { this.onmessage({ data: JSON.stringify(frame) }); }
          };
          const states = [];
          globalThis.states = states;
          globalThis.sockets = sockets;
          const options = { socket: "ws://x", silence: 35, channels: ["gossip"] };
          globalThis.socket = new Socket(options, (state) => states.push(state.name), () => {});
          await socket.connect();
          sockets[0].onopen();
          sockets[0].hear({ event: "channels/watch", ref: 1, status: "success", payload: { channels: ["gossip"] } });
          sockets[0].hear({ event: "heartbeat" });
          socket.ask("x", {}).then((answer) => { globalThis.answer = answer.status; });
          return sockets[0].sent;
        }"""
    )
    assert result == [
        {"event": "channels/watch", "ref": 1, "payload": {"channels": ["gossip"]}},
        {"event": "heartbeat"},
        {"event": "x", "ref": 2, "payload": {}},
    ]
    page.clock.run_for(34_000)
    assert page.evaluate("[states.at(-1), sockets[0].isClosed ?? false]") == ["joined", False]
    page.clock.run_for(7_000)
    assert page.evaluate("[answer, sockets[0].isClosed, states]") == [
        "lost",
        True,
        ["connecting", "joined", "waiting", "connecting"],
    ]
    page.clock.run_for(60_000)  # a worker that never answers the handshake
    assert page.evaluate("sockets.length") > 2
    page.close()
