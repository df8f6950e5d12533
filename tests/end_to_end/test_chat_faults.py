"""What a chat must never do: look alive when it is dead, or lose, cut or half send what was typed."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from shared.db import transaction, utc_now
from shared.services import history
from shared.services.authority.actors import OPERATOR
from shared.services.history import Line
from shared.services.moderation import channel_states
from tests.end_to_end.test_chat import (  # noqa: F401
    announced,
    gossip,
    is_live,
    join,
    line,
    open_chat,
    say,
    sign_in,
    speak,
    texts,
)
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

HIDE = """
  let isHidden = false;
  Object.defineProperty(document, "hidden", { get: () => isHidden });
  window.hideTab = (value) => { isHidden = value; document.dispatchEvent(new Event("visibilitychange")); };
"""


def tell(game: Any, text: str, *, to: str = "Wren") -> None:
    """Send a tell to somebody in a browser, who may be about to come online."""
    payload = {"from_name": "Ash", "to_game": "Grapevine", "to_name": to, "message": text}
    wait_until(lambda: game.request("tells/send", payload)["status"] == "success", what="the tell goes through")


def go_to(page: Page, channel: str) -> None:
    page.locator(".chat-channels").get_by_role("link", name=channel).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(channel)


def test_a_frozen_worker_is_noticed(open_chat: Any, gossip: Any) -> None:  # noqa: F811
    """Nothing is heard for 35 seconds: the page says so, gives the line back, and comes back when the worker does."""
    chat = open_chat()
    page = chat.open()
    page.add_init_script("delete window.SharedWorker")  # the fake clock is the page's
    page.clock.install()
    page.goto("/sign-in?next=/chat/gossip")
    page.get_by_label("Username or email").fill("wren")
    page.get_by_label("Password").fill("correct horse battery")
    page.locator("main form.stack button").click()
    is_live(page)
    chat.worker.process.send_signal(signal.SIGSTOP)
    try:
        say(page, "into the void")
        pending = page.locator("#chat-outbox .line")
        expect(pending).to_have_class(re.compile("pending"))
        page.clock.run_for(30_000)
        expect(page.locator("#chat-state")).to_have_text("Live")
        page.clock.run_for(12_000)
        expect(page.locator("#chat-state")).not_to_have_text("Live")
        expect(pending).to_contain_text("The connection was lost before an answer arrived")
    finally:
        chat.worker.process.send_signal(signal.SIGCONT)
    page.clock.resume()
    page.clock.run_for(60_000)
    is_live(page)
    # The worker reads the line after all. The page learns that, and offers no second one.
    expect(line(page, "into the void")).to_be_visible(timeout=20_000)
    expect(pending).to_have_count(0)
    assert texts(page) == ["into the void"]


def test_nothing_is_lost_between_rooms(open_chat: Any, gossip: Any, join: Any) -> None:  # noqa: F811
    """Channels are exchanged without a load. Drafts, tells and the answer to the last one survive it, and a reload."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    page.evaluate("document.body.dataset.loaded = 'once'")
    tell(game, "are you there?")
    expect(page.locator("#chat-tell-list a")).to_contain_text("Ash@Harbour 1")
    page.locator("#chat-text").fill("half a thought")
    go_to(page, "testing")
    expect(page).to_have_url(re.compile("/chat/testing$"))
    expect(page.locator("#chat-text")).to_have_value("")
    page.locator("#chat-text").fill("another")
    speak(game, "said on gossip meanwhile")
    expect(page.locator('.chat-channels a[data-channel="gossip"] .unread-count')).to_have_text("1")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("gossip")
    expect(page.locator("#chat-text")).to_have_value("half a thought")
    expect(line(page, "said on gossip meanwhile")).to_be_visible()
    page.go_forward()
    expect(page.locator("#chat-text")).to_have_value("another")
    say(page, "/r I am here")
    assert game.wait_for("tells/receive")["payload"]["message"] == "I am here"
    page.locator("#chat-tell-list a").click()
    expect(page.locator(".line.tell .said")).to_have_text(["are you there?", "I am here"])
    say(page, "in the conversation")
    game.wait_for("tells/receive", payload={"message": "in the conversation"})
    expect(page.locator(".line.tell .said")).to_have_count(3)
    expect(page.locator("body")).to_have_attribute("data-loaded", "once")
    page.reload()
    is_live(page)
    expect(page.locator(".line.tell .said")).to_have_text(["are you there?", "I am here", "in the conversation"])
    go_to(page, "gossip")
    expect(page.locator("#chat-text")).to_have_value("half a thought")
    second = page.context.new_page()
    second.goto("/chat/gossip")
    is_live(second)
    expect(second.locator("#chat-tell-list a")).to_contain_text("Ash@Harbour")
    say(page, "/tell Ash@Harbour from the first tab")
    second.locator("#chat-tell-list a").click()
    expect(second.locator(".line.tell .said").last).to_have_text("from the first tab")


def test_a_person_is_online_on_every_page(open_chat: Any, gossip: Any, join: Any) -> None:  # noqa: F811
    """A tell reaches them there, changes the hidden tab's title, and is in the chat when they open it."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    page.add_init_script(HIDE)
    page.goto("/games")
    mark = page.locator("#chat-mark")
    expect(mark).to_have_text("●")
    page.evaluate("hideTab(true)")
    tell(game, "psst")
    expect(mark).to_have_text("1")
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    expect(page.locator("#icon")).to_have_attribute("href", re.compile("icon-1"))
    page.evaluate("hideTab(false)")
    expect(page).to_have_title(re.compile(r"^Games"))
    page.goto("/chat/gossip")
    is_live(page)
    page.evaluate("hideTab(true)")
    speak(game, "not to you")
    expect(page).to_have_title(re.compile("^• gossip"))
    speak(game, "hello Wren!")
    expect(page).to_have_title(re.compile(r"^\(1\) gossip"))
    expect(page.locator(".line.mentions .said")).to_have_text("hello Wren!")
    expect(page.locator("#chat-tell-list a")).to_contain_text("Ash@Harbour 1")


@pytest.mark.usefixtures("announced")
def test_a_paused_channel_says_so(open_chat: Any, gossip: Any) -> None:  # noqa: F811
    chat = open_chat()
    page = chat.sign_in("wren")
    with transaction() as session:
        channel_states.pause(session, OPERATOR, channel="gossip", minutes=10, reason="a flood of adverts")
    expect(page.locator("#chat-limits")).to_contain_text("This channel is paused until")
    expect(page.locator("#chat-limits")).to_contain_text("A flood of adverts.")
    expect(page.locator("#chat-state")).to_have_text("Paused")
    second = page.context.new_page()  # shares the connection, which is told only once
    second.goto("/chat/gossip")
    expect(second.locator("#chat-state")).to_have_text("Paused")
    second.close()
    say(page, "anyone?")
    failed = page.locator(".line.failed")
    expect(failed).to_contain_text("This channel is paused for another 10 minutes: A flood of adverts.")
    with transaction() as session:
        channel_states.resume(session, OPERATOR, channel="gossip")
    is_live(page)
    expect(page.locator("#chat-limits")).to_be_empty()
    failed.get_by_role("button", name="Try again").click()
    expect(line(page, "anyone?")).to_have_count(1)
    assert texts(page)[-1] == "anyone?"


def test_what_is_typed_is_sent_whole(open_chat: Any, gossip: Any, join: Any) -> None:  # noqa: F811
    """The Enter that ends a conversion sends nothing; slashes and tags are text; nothing is cut at the limit."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    text = page.locator("#chat-text")
    expect(text).to_be_focused()
    text.fill("かな")
    text.dispatch_event("keydown", {"key": "Enter", "keyCode": 229, "isComposing": False})
    expect(text).to_have_value("かな")
    text.press("Enter")
    for typed, received in (
        ("/usr/bin/env python", "/usr/bin/env python"),
        ("//shrug", "/shrug"),
        ("/me waves", "/me waves"),
        ("write <b>bold</b>", "write < b>bold< /b>"),
    ):
        say(page, typed)
        game.wait_for("channels/broadcast", payload={"message": received})
    expect(page.locator(".line.emote")).to_contain_text("wren@Grapevine waves")
    say(page, "/shrug")
    expect(page.locator("#chat-problem")).to_contain_text("There is no command /shrug")
    expect(text).to_have_value("/shrug")
    long = "😀" * 4001
    text.fill(long)
    expect(page.locator("#chat-room-left")).to_have_text("1 too many")
    text.press("Enter")
    expect(page.locator("#chat-problem")).to_contain_text("1 characters too long")
    expect(text).to_have_value(long)
    text.fill(long[1:])
    text.press("Enter")
    assert game.wait_for("channels/broadcast", payload={"message": long[1:]})
    expect(page.locator("#chat-outbox .line")).to_have_count(0)
    text.press("ArrowUp")
    expect(text).to_have_value(long[1:])


def test_the_input_is_near_and_the_log_is_one_stop(open_chat: Any, gossip: Any) -> None:  # noqa: F811
    """Twenty lines with links and menus in between make no difference."""
    with transaction() as session:
        lines = [
            Line(gossip.id, "game:1", "Harbour", f"P{n}", f"https://example.com/{n}", utc_now()) for n in range(20)
        ]
        history.store_lines(session, lines, worker="w")
    page = open_chat().sign_in("wren")
    page.locator(".skip").first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the message box"
    page.keyboard.press("Enter")
    expect(page.locator("#chat-text")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#chat-log")).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator('.line[data-name="P18"]')).to_be_focused()
    page.keyboard.press("Enter")
    menu = page.get_by_role("menu")
    expect(menu.get_by_role("menuitem")).to_have_text(
        ["Game: Harbour", "Tell", "Mention", "Copy link", "Open example.com", "Ignore", "Report…"]
    )
    page.keyboard.press("ArrowDown")
    expect(menu.get_by_role("menuitem", name="Tell")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator('.line[data-name="P18"]')).to_be_focused()
    page.keyboard.press("m")
    expect(page.locator("#chat-text")).to_have_value("P18: ")
    page.locator('.line[data-name="P18"]').focus()
    page.keyboard.press("Tab")
    expect(page.locator("#chat-text")).to_be_focused()
    page.keyboard.press("Alt+ArrowDown")
    expect(page.get_by_role("heading", level=1)).to_have_text("testing")
    page.keyboard.press("Control+k")
    page.keyboard.type("gos")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("gossip")
    expect(page.locator("#chat-text")).to_have_value("P18: ")


@pytest.mark.parametrize(("width", "height"), [(320, 256), (740, 360), (390, 800), (1280, 800)])
def test_there_is_room_for_lines(open_chat: Any, gossip: Any, width: int, height: int) -> None:  # noqa: F811
    """At 400 % zoom and on a phone's side, too. On a laptop, at least 22 lines can be read at once."""
    with transaction() as session:
        lines = [Line(gossip.id, "game:1", "Harbour", f"P{n}", f"line {n}", utc_now()) for n in range(60)]
        history.store_lines(session, lines, worker="w")
    page = open_chat().sign_in("wren", viewport={"width": width, "height": height})
    page.reload()
    is_live(page)
    visible = page.evaluate(
        """() => {
          const log = document.getElementById("chat-log").getBoundingClientRect();
          const isSeen = ({ top, bottom }) => top >= log.top && bottom <= log.bottom + 1;
          return [...document.querySelectorAll(".line")].filter((row) => isSeen(row.getBoundingClientRect())).length;
        }"""
    )
    assert visible >= {256: 3, 360: 6, 800: 22 if width > 400 else 20}[height]
    expect(page.locator("#chat-text")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.emulate_media(forced_colors="active")
    current, other = (
        page.locator(".chat-channels a[aria-current]"),
        page.locator(".chat-channels a:not([aria-current])"),
    )
    border = "element => getComputedStyle(element).borderTopWidth"
    assert (current.evaluate(border), other.first.evaluate(border)) == ("2px", "0px")


def test_texts_of_any_direction_stay_apart(open_chat: Any, gossip: Any, join: Any) -> None:  # noqa: F811
    """A right-to-left line reads from the right, and a name cannot reorder what follows it."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    speak(game, "שלום לכולם", name="אש")
    for _ in ("live", "after a reload"):
        said = page.locator(".line .said").last
        expect(said).to_have_text("שלום לכולם")
        assert said.evaluate("element => getComputedStyle(element).direction") == "rtl"
        assert page.locator(".line .who bdi").last.inner_text() == "אש"
        page.reload()
        is_live(page)


def test_new_lines_are_announced_once(open_chat: Any, gossip: Any, join: Any) -> None:  # noqa: F811
    """By a polite region that can be paused; the log itself announces nothing."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    region = page.locator("#chat-announcer[aria-live=polite]")
    assert page.locator("#chat-log").get_attribute("aria-live") == "off"
    speak(game, "one")
    speak(game, "/me waves")
    say(page, "my own")
    expect(line(page, "my own")).to_be_visible()
    expect(region.locator("p")).to_have_text(["Ash: one", "Ash waves"])
    page.get_by_role("button", name="Commands, keys and options").click()
    page.get_by_label("Announce new messages to screen readers").uncheck()
    page.get_by_role("button", name="Close").click()
    speak(game, "two")
    expect(line(page, "two")).to_be_visible()
    expect(region.locator("p")).to_have_count(0)


def test_acting_in_place(open_chat: Any, gossip: Any, join: Any, stored: Any) -> None:  # noqa: F811
    """Report and ignore without leaving the room; a moderator mutes, warns and redacts from the same menu."""
    stored.user("mod", role="moderator")
    chat = open_chat()
    game = join(chat.socket_url)
    page, desk = chat.sign_in("wren"), chat.sign_in("mod")
    speak(game, "buy my wares")
    row = line(page, "buy my wares")
    row.locator(".line-menu").click()
    page.get_by_role("menuitem", name="Report").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("buy my wares")
    dialog.get_by_label("What is wrong?").fill("Advertising")
    dialog.get_by_role("button", name="Send report").click()
    expect(page.locator(".local").last).to_contain_text("Thank you.")
    row.locator(".who").click()
    page.get_by_role("menuitem", name="Ignore").click()
    expect(page.locator(".local").last).to_contain_text("You no longer see what Ash@Harbour says")

    line(desk, "buy my wares").click(button="right")
    desk.get_by_role("menuitem", name="Redact").click()
    desk.get_by_label("Reason").fill("Advertising")
    desk.get_by_role("button", name="Redact permanently").click()
    expect(desk.locator(".line .said").first).to_have_text("(redacted by a moderator)")
    speak(game, "more wares")
    line(desk, "more wares").locator(".line-menu").click()
    desk.get_by_role("menuitem", name="Mute").click()
    desk.get_by_label("Reason").fill("Advertising")
    desk.get_by_role("button", name="Mute").click()
    expect(desk.locator(".local").last).to_have_text("Ash@Harbour is muted.")
    answer = game.request("channels/send", {"channel": "gossip", "name": "Ash", "message": "still here"})
    assert answer["code"] == "muted"
    speak(game, "ignored?", name="Odo")
    expect(line(page, "ignored?")).to_be_visible()


def test_a_long_press_opens_the_menu(open_chat: Any, gossip: Any, join: Any) -> None:  # noqa: F811
    """On a phone. It stays open after the finger is lifted."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren", has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    speak(game, "press me")
    row = line(page, "press me")
    row.scroll_into_view_if_needed()
    box = row.locator(".said").bounding_box()
    touches = page.context.new_cdp_session(page)
    point = {"x": box["x"] + 5, "y": box["y"] + 5}
    touches.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    tell_item = page.get_by_role("menuitem", name="Tell")
    expect(tell_item).to_be_visible()
    touches.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tell_item.tap()
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Ash@Harbour")


def test_mentions_and_tells_notify_if_asked_for(open_chat: Any, gossip: Any, join: Any) -> None:  # noqa: F811
    """Only while the tab is hidden. A click shows what it is about."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.open(permissions=["notifications"])
    page.add_init_script(HIDE)
    page.add_init_script("""
      window.notified = [];
      const Real = Notification;
      window.Notification = class extends Real {
        constructor(title, options) { super(title, options); notified.push(this); }
      };
    """)
    sign_in(page)
    notified = "notified.map(({ title, body }) => [title, body])"
    speak(game, "wren, before anybody asked")
    page.evaluate("hideTab(true)")
    speak(game, "wren, are you there?")
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    assert page.evaluate(notified) == []
    page.evaluate("hideTab(false)")

    say(page, "/help")
    page.get_by_label("Notify me of mentions and tells").check()
    page.keyboard.press("Escape")
    speak(game, "wren, I can see you")
    expect(line(page, "wren, I can see you")).to_be_visible()
    page.evaluate("hideTab(true)")
    speak(game, "a line to nobody")
    speak(game, "wren, here")
    tell(game, "psst")
    expected = [["Ash@Harbour mentions you on gossip", "wren, here"], ["Ash@Harbour tells you", "psst"]]
    wait_until(lambda: page.evaluate(notified) == expected, what="both notifications")
    page.evaluate("notified[1].onclick()")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ash@Harbour")


def test_permanent_links_and_search(open_chat: Any, gossip: Any) -> None:  # noqa: F811
    """Both without a load, and both have an address of their own."""
    with transaction() as session:
        lines = [Line(gossip.id, "game:1", "Harbour", f"P{n % 3}", f"storm number {n}", utc_now()) for n in range(120)]
        ids = history.store_lines(session, lines, worker="w")
    page = open_chat().sign_in("wren")
    page.evaluate("document.body.dataset.loaded = 'once'")
    page.locator(".chat-search summary").click()
    page.get_by_label("Words").fill("number 7")
    page.get_by_label("From").fill("P1")
    page.get_by_label("From").press("Enter")
    expect(page.locator(".chat-more").first).to_contain_text("5 matches")
    assert texts(page) == ["storm number 7", "storm number 70", "storm number 73", "storm number 76", "storm number 79"]
    expect(page.locator("#chat-form")).to_be_hidden()
    page.locator(".line").nth(1).hover()
    page.locator(".line .at").nth(1).click()
    expect(page.locator(".line.is-here .said")).to_have_text("storm number 70")
    expect(page.locator(".line.is-here")).to_be_in_viewport()
    expect(page).to_have_url(re.compile(rf"/chat/gossip\?at={ids[70]}"))
    expect(page.locator("body")).to_have_attribute("data-loaded", "once")
    page.get_by_role("link", name="Back to the latest").click()
    expect(page.locator("#chat-form")).to_be_visible()
    expect(line(page, "storm number 119")).to_be_in_viewport()
