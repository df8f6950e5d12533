"""Chat between real browsers and a real game, through real workers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from shared.bus import Bus, publish_after_commit
from shared.db import reading, transaction, utc_now
from shared.services import accounts, channels, history, read_marks
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.services.history import Line
from shared.services.moderation import ignores, messages
from tests.support.client import SocketClient
from tests.support.processes import free_port
from tests.support.servers import RunningSite, RunningWorker
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


PAIR = ("Pest", "Ash")


class Chat:
    """A site whose pages connect to a worker on a port that stays the same across restarts."""

    def __init__(self, start_site: Any, start_worker: Any, browser: Browser, **settings: str) -> None:
        self.socket_port = free_port()
        self.socket_url = f"ws://127.0.0.1:{self.socket_port}/socket"
        self._settings = settings
        self._start_worker = start_worker
        self._browser = browser
        self.site: RunningSite = start_site(SOCKET_URL=self.socket_url, **settings)
        self.worker: RunningWorker = self.start_worker()
        self.contexts: list[Any] = []

    def start_worker(self) -> RunningWorker:
        self.worker = self._start_worker(
            SOCKET_PORT=str(self.socket_port), PUBLIC_URL=self.site.url, SOCKET_URL=self.socket_url, **self._settings
        )
        return self.worker

    def open(self, **options: Any) -> Page:
        """Open a page in its own browser profile."""
        context = self._browser.new_context(base_url=self.site.url, **options)
        context.set_default_timeout(10_000)
        self.contexts.append(context)
        return context.new_page()

    def sign_in(self, username: str, path: str = "/chat/gossip", **options: Any) -> Page:
        """Return a page of a signed-in user that is live."""
        page = self.open(**options)
        sign_in(page, username, path)
        return page


def sign_in(page: Page, username: str = "wren", path: str = "/chat/gossip") -> None:
    page.goto(f"/sign-in?next={path}")
    page.get_by_label("Username or email").fill(username)
    page.get_by_label("Password").fill("correct horse battery")
    page.locator("main form.stack button").click()
    is_live(page)


def is_live(page: Page) -> None:
    expect(page.locator("#chat-state")).to_have_text("Live", timeout=20_000)


def say(page: Page, text: str) -> None:
    page.locator("#chat-text").fill(text)
    page.keyboard.press("Enter")


def texts(page: Page) -> list[str]:
    return page.locator("#chat-lines .line:not([hidden]) .said").all_inner_texts()


def line(page: Page, text: str) -> Any:
    return page.locator("#chat-lines .line").filter(has=page.get_by_text(text, exact=True))


@pytest.fixture
def open_chat(start_site: Any, start_worker: Any, browser: Browser) -> Iterator[Callable[..., Chat]]:
    opened: list[Chat] = []

    def make(**settings: str) -> Chat:
        opened.append(Chat(start_site, start_worker, browser, **settings))
        return opened[-1]

    yield make
    for chat in opened:
        for context in chat.contexts:
            context.close()
        assert "Traceback" not in chat.worker.output, chat.worker.output
        assert "Traceback" not in chat.site.output, chat.site.output


@pytest.fixture
def gossip(stored: Any) -> Any:
    stored.user("wren")
    stored.channel("testing")
    return stored.channel("gossip", description="Talk between all games.")


@pytest.fixture
def join(stored: Any, connect: Any) -> Callable[..., SocketClient]:
    """Open sockets of the game Harbour."""
    _, credentials = stored.game_with_credentials("Harbour")

    def open_socket(url: str, name: str = "gossip") -> SocketClient:
        game: SocketClient = connect(url)
        game.authenticate(
            credentials.client_id,
            credentials.client_secret,
            supports=["channels", "players", "tells"],
            channels=[name, "testing"],
            players=["Ash"],
        )
        return game

    return open_socket


@pytest.fixture
def announced(redis_url: str) -> Iterator[None]:
    """Announce commits of the test at once, as the site does."""
    publish_after_commit(Bus(redis_url))
    yield
    publish_after_commit(None)


def speak(game: SocketClient, text: str, *, name: str = "Ash", channel: str = "gossip") -> None:
    answer = game.request("channels/send", {"channel": channel, "name": name, "message": text})
    assert answer["status"] == "success", answer


def test_browser_and_game_talk_with_a_restart_in_between(open_chat: Any, gossip: Any, join: Any, stored: Any) -> None:
    """Nothing is lost or duplicated, and nobody reloads."""
    stored.user("starling")
    chat = open_chat()
    game = join(chat.socket_url)
    page, other = chat.sign_in("wren"), chat.sign_in("starling")
    page.evaluate("document.body.dataset.loaded = 'once'")

    speak(game, "hello from the game")
    expect(line(page, "hello from the game")).to_contain_text("Ash@Harbour")
    say(page, "hello from the browser")
    received = game.wait_for("channels/broadcast")["payload"]
    assert received == {"channel": "gossip", "game": "Grapevine", "name": "wren", "message": "hello from the browser"}
    for reader in (page, other):
        expect(line(reader, "hello from the browser")).to_contain_text("wren@Grapevine")
    expect(page.locator("#chat-text")).to_have_value("")

    chat.worker.process.terminate()
    assert chat.worker.process.wait(15) == 0
    expect(page.locator("#chat-state")).not_to_have_text("Live")
    say(page, "typed while away")
    expect(page.locator("#chat-problem")).to_contain_text("You are not connected")
    expect(page.locator("#chat-text")).to_have_value("typed while away")
    with transaction() as session:  # as another worker would have stored it
        history.store_lines(
            session, [Line(gossip.id, "game:1", "Harbour", "Ash", "said meanwhile", utc_now())], worker="another"
        )
    chat.start_worker()
    is_live(page)
    is_live(other)
    expect(page.locator("#chat-problem")).to_be_empty()
    page.locator("#chat-text").press("Enter")
    game = join(chat.socket_url)
    speak(game, "the game is back")
    for reader in (page, other):
        expect(line(reader, "the game is back")).to_be_visible()
        assert texts(reader)[:3] == ["hello from the game", "hello from the browser", "said meanwhile"]
        assert sorted(texts(reader)[3:]) == ["the game is back", "typed while away"]
    expect(page.locator("body")).to_have_attribute("data-loaded", "once")


def test_two_workers(open_chat: Any, gossip: Any, join: Any, stored: Any) -> None:
    """Browsers and games at different workers talk to each other, and a tell reaches each page of its recipient."""
    first, other = open_chat(), open_chat()
    game = join(other.socket_url)
    page, second = first.sign_in("wren"), other.sign_in("wren")
    say(page, "over there")
    assert game.wait_for("channels/broadcast")["payload"]["message"] == "over there"
    expect(line(second, "over there")).to_have_count(1)
    speak(game, "and back")
    for opened in (page, second):
        expect(line(opened, "and back")).to_have_count(1)
        assert texts(opened) == ["over there", "and back"]

    tell = {"from_name": "Ash", "to_game": "Grapevine", "to_name": "Wren", "message": "psst"}
    wait_until(
        lambda: len(game.request("players/status", {"game": "Grapevine"})["payload"]["players"]) == 2,
        what="wren is online",
    )
    assert game.request("tells/send", tell)["status"] == "success"
    for opened in (page, second):
        expect(opened.locator("#chat-tell-list a")).to_contain_text("Ash@Harbour 1")
    say(page, "/r who is there?")
    assert game.wait_for("tells/receive")["payload"]["message"] == "who is there?"
    second.locator("#chat-tell-list a").click()
    expect(second.locator(".line.tell")).to_contain_text("Ash@Harbour tells you: psst")
    say(page, "/tell Nobody@Harbour hello")
    expect(page.locator(".line.failed")).to_contain_text("That player is not online.")
    page.get_by_role("button", name="Edit").click()
    expect(page.locator("#chat-text")).to_have_value("/tell Nobody@Harbour hello")
    page.reload()
    expect(page.locator("#chat-lines .line")).to_have_count(2)


def test_messages_are_escaped_and_addresses_are_links(open_chat: Any, gossip: Any, join: Any) -> None:
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    faults: list[str] = []
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: faults.append(str(error)))
    # The worker strips tags. It does not see these as tags, but a careless page would.
    evil = "< img src=x onerror=alert(1)> &lt;b&gt; \" ' `"
    link = "https://example.com/a?b=<c&d=(e),"
    for text in (evil, f"look: {link} or http://example.com/x."):
        speak(game, text, name="< i>Ash &amp;")
    for _ in ("live", "after a reload"):
        expect(page.locator("#chat-lines .line")).to_have_count(2)
        assert texts(page)[0] == evil
        assert page.locator("#chat-lines .who").first.inner_text() == "< i>Ash &amp;"
        assert page.locator("#chat-lines :is(img, i, script)").count() == 0
        links = page.locator("#chat-lines .said a")
        assert [link.get_attribute("href") for link in links.all()] == [
            "https://example.com/a?b=",
            "http://example.com/x",
        ]
        assert {link.get_attribute("rel") for link in links.all()} == {"nofollow noopener ugc"}
        page.reload()
        is_live(page)
    assert faults == []


def test_lines_of_brackets_do_not_block_the_page(open_chat: Any, gossip: Any, join: Any) -> None:
    """The time for a line must not grow with the square of its length."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    for number in range(60):
        address = f"http://example.com/{number}"
        speak(game, address + ")" * (4000 - len(address)))
    speak(game, "the last one")
    expect(line(page, "the last one")).to_be_visible()  # the earlier lines took less than a third of a second each
    assert page.locator("#chat-lines .said a").first.get_attribute("href") == "http://example.com/0"


def test_ignored_players_are_not_seen(open_chat: Any, gossip: Any, join: Any) -> None:
    """Not live, not in the history, and not among missed lines. The page works as usual."""
    faults: list[str] = []
    with transaction() as session:
        user = accounts.users.find_user_by_username(session, "wren")
        ignores.add_ignore(session, actors.of_user(session, user.id), pattern="Pest@*")
        lines = [
            Line(gossip.id, "game:1", "Harbour", name, f"{name} {n}", utc_now()) for n in range(60) for name in PAIR
        ]
        history.store_lines(session, lines, worker="w")
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.locator("#chat-log").focus()
    for loaded in (100, 120):
        page.keyboard.press("Home")
        expect(page.locator("#chat-lines .line")).to_have_count(loaded)
    assert texts(page) == [f"Ash {n}" for n in range(60)]
    speak(game, "Pest live", name="Pest")
    speak(game, "Ash live")
    expect(page.locator("#chat-news")).to_have_text("1 new message ↓")
    expect(line(page, "Pest live")).to_have_count(0)
    chat.worker.kill()
    with transaction() as session:
        lines = [Line(gossip.id, "game:1", "Harbour", name, f"{name} meanwhile", utc_now()) for name in PAIR]
        history.store_lines(session, lines, worker="another")
    chat.start_worker()
    expect(page.locator("#chat-news")).to_have_text("2 new messages ↓", timeout=20_000)
    assert texts(page)[60:] == ["Ash live", "Ash meanwhile"]
    assert faults == []


def test_scrolling_up_loads_older_lines_and_keeps_the_position(open_chat: Any, gossip: Any, join: Any) -> None:
    with transaction() as session:
        lines = [Line(gossip.id, "game:1", "Harbour", "Ash", f"line {n}", utc_now()) for n in range(130)]
        history.store_lines(session, lines, worker="w")
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    expect(page.locator("#chat-lines .line")).to_have_count(50)
    expect(line(page, "line 129")).to_be_in_viewport()
    page.locator("#chat-log").focus()
    page.keyboard.press("Home")
    expect(page.locator("#chat-lines .line")).to_have_count(100)
    expect(line(page, "line 80")).to_be_in_viewport()

    speak(game, "something new")
    expect(page.locator("#chat-news")).to_have_text("1 new message ↓")
    expect(line(page, "line 80")).to_be_in_viewport()
    page.keyboard.press("Home")
    expect(page.locator("#chat-lines .line")).to_have_count(131)
    page.keyboard.press("Home")
    expect(page.locator(".chat-more")).to_have_text("This is the start of the channel.")
    assert texts(page) == [*(f"line {n}" for n in range(130)), "something new"]
    expect(line(page, "line 0")).to_be_in_viewport()
    page.locator("#chat-news").click()
    expect(line(page, "something new")).to_be_in_viewport()
    expect(page.locator("#chat-news")).to_be_hidden()


def test_strangers_scroll_and_browsers_without_scripts_follow_links(open_chat: Any, gossip: Any) -> None:
    with transaction() as session:
        lines = [Line(gossip.id, "game:1", "Harbour", "Ash", f"line {n}", utc_now()) for n in range(60)]
        history.store_lines(session, lines, worker="w")
    chat = open_chat()
    page = chat.open()
    page.goto("/chat/gossip")
    page.locator("#chat-log").focus()
    page.keyboard.press("Home")
    expect(page.locator("#chat-lines .line")).to_have_count(60)
    expect(page.get_by_role("link", name="Sign in to speak")).to_be_visible()

    plain = chat.open(java_script_enabled=False)
    plain.goto("/chat/gossip")
    assert texts(plain)[-1] == "line 59"
    plain.get_by_role("link", name="Older messages").click()
    assert texts(plain) == [f"line {n}" for n in range(10)]
    plain.get_by_role("link", name="Newer messages").click()
    assert texts(plain)[0] == "line 10"


def test_unread_marks(open_chat: Any, gossip: Any, join: Any) -> None:
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren", "/chat/testing")
    speak(game, "seen", channel="testing")
    expect(line(page, "seen")).to_be_visible()
    page.locator(".chat-channels").get_by_role("link", name="gossip").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("gossip")
    mark = page.locator('.chat-channels a[data-channel="testing"] .unread')
    expect(mark).to_be_hidden()
    for number in (1, 2):
        speak(game, f"psst {number}", channel="testing")
        expect(mark.locator(".unread-count")).to_have_text(str(number))
    page.reload()
    expect(mark.locator(".unread-count")).to_have_text("2")
    page.goto("/chat")
    expect(page.locator("main .unread:visible")).to_have_count(1)
    page.locator("main h2").get_by_role("link", name="testing").click()
    expect(page.locator(".new-mark")).to_be_visible()
    with reading() as session:
        testing = channels.get_channel(session, "testing")
        user = accounts.users.find_user_by_username(session, "wren")
    speak(game, "read live", channel="testing")
    expect(line(page, "read live")).to_be_visible()

    def unread() -> dict[int, int]:
        with reading() as session:
            return read_marks.count_unread(session, user_id=user.id, channel_ids=[testing.id])

    wait_until(lambda: unread() == {testing.id: 0}, what="lines read live are marked as read")
    page.goto("/chat")
    expect(page.locator("main .unread:visible")).to_have_count(0)


def test_a_session_that_ends_elsewhere_ends_the_chat(open_chat: Any, gossip: Any) -> None:
    chat = open_chat()
    page, elsewhere = chat.sign_in("wren"), chat.sign_in("wren")
    elsewhere.goto("/account")
    elsewhere.get_by_role("button", name="Sign out everywhere else").click()
    expect(page.locator("#chat-state")).to_contain_text("You are signed out.")
    expect(page.locator("#chat-form")).to_be_hidden()
    elsewhere.goto("/chat/gossip")
    is_live(elsewhere)
    page.locator("#chat-state").get_by_role("link", name="Sign in").click()
    expect(page).to_have_url(re.compile("/sign-in.*next="))


def test_sending_too_fast_shows_an_error_and_keeps_the_text(open_chat: Any, gossip: Any) -> None:
    chat = open_chat(RATE_LIMITS="on", LIMITS="channels/send:player=2/0.05")
    page = chat.sign_in("wren")
    for number in range(3):
        say(page, f"flood {number}")
    failed = page.locator(".line.failed")
    expect(failed).to_contain_text("You are sending too fast. Try again in")
    expect(failed.locator(".said")).to_have_text("flood 2")
    assert texts(page) == ["flood 0", "flood 1"]
    page.reload()
    is_live(page)
    expect(failed).to_contain_text("You are sending too fast")
    failed.get_by_role("button", name="Edit").click()
    expect(page.locator("#chat-text")).to_have_value("flood 2")
    expect(failed).to_have_count(0)


def test_a_channel_is_hidden_while_its_page_is_open(open_chat: Any, gossip: Any, run_flask: Any) -> None:
    chat = open_chat()
    page = chat.sign_in("wren")
    assert run_flask("channel", "update", "gossip", "--hidden").returncode == 0
    expect(page.locator("#chat-state")).to_contain_text("This channel is no longer public.")
    expect(page.locator("#chat-form")).to_be_hidden()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Page not found")


def test_a_channel_is_renamed_while_its_page_is_open(open_chat: Any, gossip: Any, join: Any) -> None:
    """The page continues under the new name, with its lines, its input and the unread counts."""
    chat = open_chat()
    page, other = chat.sign_in("wren"), chat.sign_in("wren", "/chat/testing")
    game = join(chat.socket_url)
    speak(game, "before")
    expect(line(page, "before")).to_be_visible()
    page.locator("#chat-text").fill("typed while it is gossip")
    with transaction() as session:
        channels.update_channel(session, OPERATOR, name="gossip", new_name="small-talk")
    expect(page.get_by_role("heading", level=1)).to_have_text("small-talk")
    expect(page).to_have_url(re.compile("/chat/small-talk$"))
    expect(page).to_have_title(re.compile("^small-talk · Chat"))
    page.locator("#chat-text").press("Enter")
    expect(line(page, "typed while it is gossip")).to_be_visible()
    speak(game, "after", channel="small-talk")
    expect(line(page, "after")).to_be_visible()
    mark = other.locator('.chat-channels a[data-channel="small-talk"] .unread-count')
    expect(mark).to_have_text("2")  # the reader's own line does not count
    chat.worker.kill()
    with transaction() as session:
        lines = [Line(gossip.id, "game:1", "Harbour", "Ash", "meanwhile", utc_now())]
        history.store_lines(session, lines, worker="another")
    chat.start_worker()
    expect(line(page, "meanwhile")).to_be_visible(timeout=20_000)
    other.locator(".chat-channels").get_by_role("link", name="small-talk").click()
    expect(line(other, "after")).to_be_visible()


def test_a_channel_is_renamed_while_its_page_is_disconnected(open_chat: Any, gossip: Any) -> None:
    """The page cannot learn the new name, so it says so and stops reconnecting."""
    chat = open_chat()
    page = chat.sign_in("wren")
    chat.worker.kill()
    expect(page.locator("#chat-state")).not_to_have_text("Live")
    with transaction() as session:
        channels.update_channel(session, OPERATOR, name="gossip", new_name="small-talk")
    chat.start_worker()
    expect(page.locator("#chat-state")).to_contain_text("This channel was deleted or renamed", timeout=20_000)
    expect(page.locator("#chat-form")).to_be_hidden()
    page.locator("#chat-state").get_by_role("link", name="All channels").click()
    page.locator("main h2").get_by_role("link", name="small-talk").click()
    is_live(page)


def test_the_page_shows_who_is_listening(open_chat: Any, gossip: Any, join: Any) -> None:
    chat = open_chat()
    join(chat.socket_url)
    page = chat.sign_in("wren", viewport={"width": 1280, "height": 800})
    expect(page.locator("#chat-people")).to_have_text("wren")
    expect(page.locator("#chat-games")).to_have_text("Harbour 1")
    expect(page.locator("#chat-people-count")).to_have_text("1")


def test_listeners_are_unknown_while_disconnected(open_chat: Any, gossip: Any) -> None:
    chat = open_chat()
    page = chat.sign_in("wren", viewport={"width": 1280, "height": 800})
    expect(page.locator("#chat-people")).to_have_text("wren")
    chat.worker.kill()
    expect(page.locator("#chat-who-unknown")).to_be_visible()
    expect(page.locator("#chat-people")).to_be_hidden()
    chat.start_worker()
    expect(page.locator("#chat-people")).to_be_visible(timeout=20_000)
    expect(page.locator("#chat-who-unknown")).to_be_hidden()


@pytest.mark.usefixtures("announced")
def test_a_line_that_is_fetched_and_arrives_live_counts_once(open_chat: Any, gossip: Any, join: Any) -> None:
    with transaction() as session:
        lines = [Line(gossip.id, "game:1", "Harbour", "Ash", f"line {n}", utc_now()) for n in range(130)]
        history.store_lines(session, lines, worker="w")
    chat = open_chat()
    page = chat.sign_in("wren")
    page.locator("#chat-log").focus()
    page.keyboard.press("Home")
    expect(page.locator("#chat-lines .line")).to_have_count(100)
    chat.worker.kill()
    with transaction() as session:
        lines = [Line(gossip.id, "game:1", "Harbour", "Ash", "meanwhile", utc_now())]
        (number,) = history.store_lines(session, lines, worker="another")
    chat.start_worker()
    expect(page.locator("#chat-news")).to_have_text("1 new message ↓", timeout=20_000)
    with transaction() as session:  # a late line of another worker, then a new line that shows that it has arrived
        history.announce_lines(session, [number], lines, worker="another")
    speak(join(chat.socket_url), "after it")
    expect(line(page, "after it")).to_have_count(1)
    expect(page.locator("#chat-news")).to_have_text("2 new messages ↓")


def test_removed_lines_can_be_loaded_again(open_chat: Any, gossip: Any, join: Any) -> None:
    """Also if the first line of the channel was on the page."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.open()
    page.route("**/chat/log.js", few_lines)
    sign_in(page)
    for number in range(8):
        speak(game, f"line {number}")
    expect(page.locator("#chat-lines .line")).to_have_count(5)
    page.get_by_role("link", name="Older messages").click()
    expect(page.locator("#chat-lines .line")).to_have_count(8)
    expect(page.locator(".chat-more")).to_have_text("This is the start of the channel.")
    speak(game, "one more")
    expect(page.get_by_role("link", name="Older messages")).to_have_count(1)
    assert texts(page) == [*(f"line {n}" for n in range(4, 8)), "one more"]


def few_lines(route: Route) -> None:
    """Serve the script with a limit of five lines per page."""
    answer = route.fetch()
    text = answer.text()
    assert "MAX_LINES = 2000" in text
    route.fulfill(response=answer, body=text.replace("MAX_LINES = 2000", "MAX_LINES = 5"))


def test_the_input_is_kept_if_too_much_was_missed(open_chat: Any, gossip: Any) -> None:
    chat = open_chat()
    page = chat.sign_in("wren")
    page.evaluate("document.body.dataset.loaded = 'once'")
    page.locator("#chat-text").fill("half a thought")
    chat.worker.kill()
    expect(page.locator("#chat-state")).not_to_have_text("Live")
    with transaction() as session:
        lines = [Line(gossip.id, "game:1", "Harbour", "Ash", f"line {n}", utc_now()) for n in range(1001)]
        history.store_lines(session, lines, worker="another")
    chat.start_worker()
    is_live(page)
    expect(line(page, "line 1000")).to_be_visible()
    assert texts(page) == [f"line {n}" for n in range(951, 1001)]
    expect(page.locator("#chat-text")).to_have_value("half a thought")
    expect(page.locator("body")).to_have_attribute("data-loaded", "once")
    page.reload()
    is_live(page)
    expect(page.locator("#chat-text")).to_have_value("half a thought")


def test_own_lines_from_another_page_are_not_unread(open_chat: Any, gossip: Any, join: Any) -> None:
    chat = open_chat()
    game = join(chat.socket_url)
    page, elsewhere = chat.sign_in("wren"), chat.sign_in("wren", "/chat/testing")
    say(page, "my own")
    expect(line(page, "my own")).to_be_visible()
    speak(game, "another's")
    expect(elsewhere.locator('.chat-channels a[data-channel="gossip"] .unread-count')).to_have_text("1")


@pytest.mark.usefixtures("announced")
def test_a_redacted_line_is_removed_from_open_pages(open_chat: Any, gossip: Any, join: Any, stored: Any) -> None:
    moderator = stored.user("mod", role="moderator")
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    for text in ("a secret", "and more"):
        speak(game, text)
    expect(line(page, "and more")).to_be_visible()
    number = int(page.locator("#chat-lines .line").first.get_attribute("data-id") or 0)
    with transaction() as session:
        messages.redact(session, actors.of_user(session, moderator.id), message_id=number, reason="Private")
    expect(page.locator("#chat-lines .said").first).to_have_text("(redacted by a moderator)")
    expect(line(page, "a secret")).to_have_count(0)
    expect(line(page, "and more")).to_be_visible()
    expect(page.locator("#chat-lines .line-menu")).to_have_count(1)


def test_a_line_redacted_while_disconnected_is_removed_later(open_chat: Any, gossip: Any, stored: Any) -> None:
    """However old it is. Other lines are not changed."""
    moderator = stored.user("mod", role="moderator")
    with transaction() as session:
        said = [Line(gossip.id, "game:1", "Harbour", "Ash", f"line {n}", utc_now()) for n in range(40)]
        ids = history.store_lines(session, said, worker="w")
    chat = open_chat()
    page = chat.sign_in("wren")
    is_live(page)
    chat.worker.kill()
    expect(page.locator("#chat-state")).not_to_have_text("Live")
    with transaction() as session:
        for number in (ids[0], ids[39]):
            messages.redact(session, actors.of_user(session, moderator.id), message_id=number, reason="Private")
    expect(line(page, "line 0")).to_be_visible()
    chat.start_worker()
    expect(page.locator("#chat-state")).to_have_text("Live", timeout=20_000)
    gone = "(redacted by a moderator)"
    assert texts(page) == [gone, *(f"line {n}" for n in range(1, 39)), gone]


@pytest.mark.usefixtures("announced")
def test_the_networks_own_lines_cannot_be_reported(open_chat: Any, gossip: Any) -> None:
    """Whether they were loaded with the page or arrived live."""
    chat = open_chat()
    page = chat.sign_in("wren")
    notice = Line(gossip.id, "grapevine", "Grapevine", "system", "The channel is slow now.", utc_now())
    with transaction() as session:
        ids = history.store_lines(session, [notice], worker="another")
        history.announce_lines(session, ids, [notice], worker="another")
    for _ in ("live", "after a reload"):
        expect(line(page, "The channel is slow now.")).to_be_visible()
        expect(page.locator("#chat-lines .line-menu")).to_have_count(0)
        page.reload()


def test_times_are_in_the_readers_zone(open_chat: Any, gossip: Any) -> None:
    from datetime import UTC, datetime

    with transaction() as session:
        moments = [datetime(2025, 5, 3, hour, 30, tzinfo=UTC) for hour in (20, 22, 23)]
        lines = [Line(gossip.id, "game:1", "Harbour", "Ash", f"at {m:%H}", m) for m in moments]
        history.store_lines(session, lines, worker="w")
    chat = open_chat()
    page = chat.open(timezone_id="Europe/Berlin", locale="en-GB")
    page.goto("/chat/gossip")
    assert page.locator(".line time").all_inner_texts() == ["22:30", "00:30", "01:30"]
    assert page.locator(".day").all_inner_texts() == ["Saturday, 3 May 2025", "Sunday, 4 May 2025"]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_input_is_always_visible(open_chat: Any, gossip: Any, join: Any, width: int) -> None:
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren", viewport={"width": width, "height": 700})
    for number in range(40):
        speak(game, f"a line that is long enough to need more than one row on a phone, number {number}")
    expect(page.locator("#chat-lines .line")).to_have_count(40)
    expect(page.locator("#chat-text")).to_be_in_viewport(ratio=1)
    expect(page.locator("#chat-lines .line").last).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    page.locator("#chat-text").focus()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.closest('#chat-log') !== null")


def test_a_line_that_arrives_during_the_unread_request_counts(open_chat: Any, gossip: Any, join: Any) -> None:
    """The site's response may be older than what arrived on the socket meanwhile."""
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    counted = []
    page.route("**/chat/unread.json", lambda route: counted.append((route, route.fetch())))
    page.goto("/chat/testing")
    is_live(page)
    wait_until(lambda: page.evaluate("0") or counted, what="the site has counted")
    speak(game, "one")
    badge = page.locator('.chat-channels a[data-channel="gossip"] .unread-count')
    expect(badge).to_have_text("1")
    with page.expect_event("requestfinished", lambda request: request.url.endswith("/unread.json")):
        for route, answer in counted:
            route.fulfill(response=answer)
    page.evaluate("new Promise((done) => setTimeout(done, 50))")
    expect(badge).to_have_text("1")


def test_lines_just_read_are_not_new_after_a_reload(open_chat: Any, gossip: Any, join: Any) -> None:
    chat = open_chat()
    game = join(chat.socket_url)
    page = chat.sign_in("wren")
    for text in ("one", "two"):
        speak(game, text)
        expect(line(page, text)).to_be_visible()
        page.reload()
        is_live(page)
        expect(page.locator(".new-mark")).to_have_count(0)
    page.goto("/chat/testing")
    is_live(page)
    speak(game, "three")
    expect(page.locator('.chat-channels a[data-channel="gossip"] .unread-count')).to_have_text("1")
    page.goto("/chat/gossip")
    assert page.locator("#chat-lines > li:not(.day)").all_inner_texts()[2] == "New since your last visit"
