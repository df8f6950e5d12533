"""A moderator at work in a real browser; the effect on real sockets, at two workers."""

from __future__ import annotations

import itertools
import re

import pytest
from playwright.sync_api import Page, expect

from shared import db
from shared.models import User
from shared.services import characters, games
from shared.services.authority import actors
from tests.support.client import SocketClient
from tests.support.moderating import Moderated, make_moderated
from tests.support.processes import free_port
from tests.support.waiting import wait_until

PASSWORD = "correct horse battery"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def sign_in(page: Page, username: str) -> Page:
    page.goto("/sign-in")
    page.get_by_label("Username or email").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    page.wait_for_url(lambda url: "sign-in" not in url)
    return page


class World:
    """Two games at two workers, and what was said."""

    def __init__(self, stored, start_worker, connect) -> None:
        self.moderated: Moderated = make_moderated(stored, channel="noise")
        stored.channel("gossip")
        first, second = start_worker(), start_worker()
        self.reef, self.ashfall = (
            self._join(stored, connect, first, "Reef"),
            self._join(stored, connect, second, "Ashfall"),
        )

    def _join(self, stored, connect, worker, short_name: str) -> SocketClient:
        _game, credentials = stored.game_with_credentials(short_name, owner=self.moderated.owner)
        socket = connect(worker.url)
        socket.authenticate(
            credentials.client_id,
            credentials.client_secret,
            channels=["gossip"],
            supports=["channels", "players", "tells"],
            version="2.4.0",
        )
        for name in ("Wren", "Odo"):
            socket.request("players/sign-in", {"name": name})
        return socket


@pytest.fixture
def world(stored, start_worker, connect) -> World:
    return World(stored, start_worker, connect)


@pytest.fixture
def desk(world, new_page) -> Page:
    """A moderator's page, signed in."""
    return sign_in(new_page(), "mod")


def say(socket: SocketClient, text: str, name: str = "Wren") -> dict:
    return socket.request("channels/send", {"channel": "gossip", "name": name, "message": text})


def until_refused(socket: SocketClient, text: str, name: str = "Wren") -> dict:
    """The first refusal: the commit is told to the workers after the browser has its answer, or before."""
    return _until(socket, text, name, "failure")


def until_heard(socket: SocketClient, text: str, name: str = "Wren") -> dict:
    """The first success."""
    return _until(socket, text, name, "success")


def _until(socket: SocketClient, text: str, name: str, status: str) -> dict:
    answers: list[dict] = []

    def is_there() -> bool:
        answers.append(say(socket, text, name))
        return answers[-1]["status"] == status

    wait_until(is_there, what=f"{text} is a {status}")
    return answers[-1]


def done(page: Page, words: str) -> None:
    expect(page.locator(".flash").last).to_contain_text(words)


def test_lines_turn_up_live_and_a_mute_stops_them(desk, world) -> None:
    """From the line on the live page to the sanction of its speaker, whose next line is refused; then lifted."""
    desk.goto("/moderation/live")
    assert say(world.ashfall, "Buy silver <b>now</b>")["status"] == "success"
    line = desk.locator("#live .said", has_text="Buy silver")
    expect(line).to_be_visible()
    expect(line.locator(".channel")).to_have_text("gossip")
    line.locator("time").click()
    desk.get_by_role("link", name="Sanction Wren").click()
    expect(desk.get_by_label("Who")).to_have_value("Wren@Ashfall")
    desk.get_by_label("Reason").fill("Adverts")
    desk.get_by_role("button", name="Impose it").click()
    done(desk, "in force at once")
    assert "Adverts" in until_refused(world.ashfall, "Again")["error"]
    assert say(world.ashfall, "I am another", name="Odo")["status"] == "success"
    desk.get_by_label("Reason").fill("They promised")
    desk.get_by_role("button", name="Lift it").click()
    done(desk, "lifted")
    until_heard(world.ashfall, "Thank you")


def test_a_banned_game_is_disconnected(desk, world) -> None:
    """At once, with 4003; the owner reads why on the game's page."""
    desk.goto("/moderation/sanctions/new?target_kind=game&target=Ashfall")
    desk.get_by_label("Ban", exact=True).check()
    desk.get_by_label("For how long").select_option("For good")
    desk.get_by_label("Reason").fill("Its owner floods us")
    desk.get_by_role("button", name="Impose it").click()
    done(desk, "Ashfall")
    assert world.ashfall.wait_closed() == 4003
    assert say(world.reef, "Peace")["status"] == "success"


def test_a_channel_is_paused_resumed_slowed_and_closed(desk, world) -> None:
    """The channel is told, and nobody speaks until it goes on."""
    desk.goto("/moderation/channels/gossip")
    desk.get_by_label("Minutes").fill("5")
    desk.locator("form", has=desk.get_by_role("button", name="Pause the channel")).get_by_label("Reason").fill("Calm")
    desk.get_by_role("button", name="Pause the channel").click()
    done(desk, "is paused")
    for socket in (world.reef, world.ashfall):
        notice = socket.wait_for("channels/broadcast", payload={"game": "Grapevine", "name": "system"})
        assert "Calm" in notice["payload"]["message"]
        assert "paused" in until_refused(socket, "But")["error"]
    desk.get_by_role("button", name="Resume").click()
    done(desk, "may talk again")
    until_heard(world.ashfall, "Well")

    desk.get_by_label("Seconds between two lines").fill("600")
    desk.get_by_role("button", name="Set the pace").click()
    done(desk, "is in slow mode")
    until_refused(world.ashfall, "And well", name="Odo")

    desk.get_by_label("Seconds between two lines").fill("0")
    desk.get_by_role("button", name="Set the pace").click()
    desk.locator("summary", has_text="Close gossip").click()
    desk.locator("form", has=desk.get_by_role("button", name="Close the channel")).get_by_label("Reason").fill("Over")
    desk.get_by_role("button", name="Close the channel").click()
    done(desk, "is closed")
    until_refused(world.reef, "Hello?")
    desk.get_by_role("button", name="Open it again").click()
    done(desk, "open again")
    until_heard(world.reef, "Hello!")


def test_a_filter_is_tried_switched_on_and_refuses(desk, world) -> None:
    """The test box first; then the worker does what it showed."""
    assert say(world.ashfall, "Buy silver")["status"] == "success"
    desk.goto("/moderation/filters/new")
    desk.get_by_label("Word or pattern").fill("silver")
    desk.get_by_label("What happens").select_option("Refuse the line")
    desk.get_by_role("button", name=re.compile("Try it")).click()
    expect(desk.locator("#tried-count")).to_contain_text("1 of the last 2 messages")
    desk.get_by_role("button", name="Save").click()
    done(desk, "It is off")
    assert say(world.ashfall, "More silver")["status"] == "success"
    desk.get_by_role("button", name="Switch on").click()
    done(desk, "on, everywhere")
    until_refused(world.ashfall, "Yet more silver")
    assert say(world.reef, "Gold is better")["status"] == "success"


def test_a_report_is_made_decided_and_answered(desk, world, new_page) -> None:
    """From a player's form to the moderator's queue and back; on the way the message is redacted."""
    say(world.ashfall, "You are all fools")
    reader = sign_in(new_page(), "reader")
    number = world.moderated.message + 1
    reader.goto(f"/report?message={number}")
    expect(reader.locator(".quote")).to_contain_text("You are all fools")
    reader.get_by_label("What is wrong").fill("Rude")
    reader.get_by_role("button", name="Report it").click()
    done(reader, "Thank you")

    desk.goto("/moderation/reports")
    desk.get_by_role("link", name="Wren@Ashfall").click()
    desk.get_by_role("link", name="See what was said around it").click()
    desk.locator("summary", has_text="Redact").click()
    desk.get_by_label("Reason").fill("Insults")
    desk.get_by_role("button", name="Redact it for good").click()
    done(desk, "gone for good")
    expect(desk.locator("main")).not_to_contain_text("You are all fools")
    desk.get_by_role("link", name=re.compile("Report \\d")).click()
    desk.get_by_label("Upheld").check()
    desk.get_by_label("Outcome").fill("The line is gone")
    desk.get_by_role("button", name="Decide").click()
    done(desk, "decided")

    reader.goto("/account/reports")
    expect(reader.locator("main")).to_contain_text("The line is gone")
    history = world.reef.request("channels/history", {"channel": "gossip"})
    assert "You are all fools" not in str(history), history


def test_a_sanction_is_appealed_and_the_appeal_granted_by_another(world, new_page) -> None:
    """The owner appeals; an admin grants; the game speaks again."""
    moderator, owner, admin = (sign_in(new_page(), name) for name in ("mod", "wright", "warden"))
    moderator.goto("/moderation/sanctions/new?target_kind=game&target=Ashfall")
    moderator.get_by_label("Reason").fill("A flood")
    moderator.get_by_role("button", name="Impose it").click()
    done(moderator, "in force")
    until_refused(world.ashfall, "Why?")

    owner.goto("/manage/games/Ashfall")
    owner.locator("#game-sanctions a").click()
    expect(owner.locator("main")).to_contain_text("A flood")
    owner.get_by_role("link", name=re.compile("^Appeal")).click()
    owner.get_by_label("Your appeal").fill("It was a loop in our code, and is mended")
    owner.get_by_role("button", name="Send the appeal").click()
    done(owner, "appeal is made")

    moderator.goto("/moderation/appeals")
    moderator.locator("li", has_text="Ashfall").get_by_role("link", name="wright").click()
    expect(moderator.locator(".callout")).to_contain_text("another moderator")
    admin.goto("/moderation/appeals")
    admin.locator("li", has_text="Ashfall").get_by_role("link", name="wright").click()
    admin.get_by_label("Grant it").check()
    admin.get_by_label("Why, as who appealed").fill("Mended it is")
    admin.get_by_role("button", name="Decide").click()
    done(admin, "decided")
    until_heard(world.ashfall, "Thank you")
    owner.goto("/account/appeals")
    expect(owner.locator("main")).to_contain_text("Mended it is")


def test_an_owner_mutes_a_player_for_a_game(world, new_page) -> None:
    """Their lines do not reach that game; others' do, and so do theirs again once the mute is gone."""
    numbers = itertools.count(1)

    def hears_wren() -> bool:
        """Lines come in order: once Odo's is there, Wren's before it will not come any more."""
        number = next(numbers)
        say(world.ashfall, f"Wren {number}")
        say(world.ashfall, f"Odo {number}", name="Odo")
        world.reef.wait_for("channels/broadcast", payload={"message": f"Odo {number}"})
        return any(frame["payload"]["message"] == f"Wren {number}" for frame in world.reef.events("channels/broadcast"))

    assert hears_wren()
    owner = sign_in(new_page(), "wright")
    owner.goto("/manage/games/Reef/mutes")
    owner.get_by_label("Whom").fill("Wren@Ashfall")
    owner.get_by_role("button", name="Mute").click()
    done(owner, "hears nothing")
    wait_until(lambda: not hears_wren(), what="Wren is muted")
    owner.get_by_role("button", name="Hear again wren@ashfall").click()
    done(owner, "hears wren@ashfall again")
    wait_until(hears_wren, what="Wren is heard again")


def test_a_player_ignores_from_the_page_and_the_ignored_cannot_tell(world, stored, new_page) -> None:
    """What is set on the site holds for a character in a game, at another worker than whoever tells them something."""
    reader = sign_in(new_page(), "reader")
    claim(world.moderated.player, "Reef", "Odo")

    def tell(name: str, to: str = "Odo") -> dict:
        answer = world.ashfall.request(
            "tells/send", {"from_name": name, "to_game": "Reef", "to_name": to, "message": "psst"}
        )
        return {key: value for key, value in answer.items() if key != "ref"}

    wait_until(lambda: tell("Wren")["status"] == "success", what="the other worker knows that they are online")
    offline = tell("Wren", to="Nobody")
    assert offline["error"] == "receiving player offline"

    reader.goto("/account/ignores")
    reader.get_by_label("Whom").fill("wREN@ashfall")
    reader.get_by_role("button", name="Ignore", exact=True).click()
    expect(reader.locator("#ignores")).to_contain_text("wren@Ashfall")
    wait_until(lambda: tell("Wren") == offline, what="the answer is that of a player who is offline")
    assert tell("Odo")["status"] == "success"

    reader.get_by_role("button", name="Hear again wren@Ashfall").click()
    done(reader, "You hear")
    wait_until(lambda: tell("Wren")["status"] == "success", what="they are heard again")

    claim(stored.user("pest"), "Ashfall", "Wren")
    reader.get_by_label("Whom").fill("pest")
    reader.get_by_label("Include all of their registered characters").check()
    reader.get_by_role("button", name="Ignore", exact=True).click()
    wait_until(lambda: tell("Wren") == offline, what="the person's character is ignored")


def claim(user, short_name: str, name: str) -> None:
    """Register and approve a character."""
    with db.transaction() as session:
        key = session.get(User, user.id).registration_key
        game = games.get_game(session, short_name)
        made = characters.register_character(session, game_id=game.id, name=name, key=key)
        session.flush()
        characters.approve_character(session, actors.of_user(session, user.id), character_id=made.id)


def test_somebody_in_the_chat_reports_a_line_is_muted_and_reads_why(stored, start_site, start_worker, browser) -> None:
    """A person of the site, muted by their account: the chat says why, and so does their page."""
    port = free_port()
    address = f"ws://127.0.0.1:{port}/socket"
    site = start_site(SOCKET_URL=address)
    start_worker(SOCKET_PORT=str(port), PUBLIC_URL=site.url, SOCKET_URL=address)
    world = make_moderated(stored)
    with browser.new_context(base_url=site.url) as readers, browser.new_context(base_url=site.url) as moderators:
        reader, desk = sign_in(readers.new_page(), "reader"), sign_in(moderators.new_page(), "mod")
        reader.goto("/chat/gossip")
        expect(reader.locator("#chat-state")).to_have_text("Live", timeout=20_000)
        reader.locator(f"#chat-lines [data-id='{world.message}']").hover()
        expect(reader.locator(f"a[href='/report?message={world.message}']")).to_be_visible()
        reader.locator("#chat-text").fill("Hello, <3 everyone")
        reader.keyboard.press("Enter")
        line = reader.locator("#chat-lines .line", has_text="Hello, <3 everyone")
        expect(line.locator("a.report")).to_have_attribute("href", re.compile(r"^/report\?message=\d+$"))

        desk.goto("/moderation/records/users/reader")
        expect(desk.locator("main")).to_contain_text("Hello, <3 everyone")
        desk.get_by_role("link", name="Sanction reader").click()
        desk.get_by_label("Reason").fill("Enough for today")
        desk.get_by_role("button", name="Impose it").click()
        done(desk, "in force")

        def is_refused() -> bool:
            reader.locator("#chat-text").fill("Still here?")
            reader.keyboard.press("Enter")
            return "Enough for today" in reader.locator("#chat-problem").inner_text()

        wait_until(is_refused, what="the chat says why")
        problem = reader.locator("#chat-problem")
        expect(problem).to_have_text(re.compile(r"^You are muted for another \d+ \w+: Enough for today\. See it, and"))
        expect(problem.get_by_role("link")).to_have_attribute("href", "/account/sanctions")
        reader.goto("/account")
        expect(reader.locator("#own-sanctions")).to_contain_text("Enough for today")
        expect(reader.locator("#own-sanctions")).to_contain_text("by a moderator")
