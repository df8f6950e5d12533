"""A moderator at work in a real browser, and the effects on real sockets at two workers."""

from __future__ import annotations

import itertools
import re

import pytest
from playwright.sync_api import Page, expect

from shared import db
from shared.models import User
from shared.services import characters, games
from shared.services.authority import actors
from shared.services.moderation import reports
from tests.support.client import SocketClient
from tests.support.moderating import Moderated, actor, make_moderated
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
    """Two games at two workers, and their messages."""

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
def moderator_page(world, new_page) -> Page:
    """A moderator's page, signed in."""
    return sign_in(new_page(), "mod")


def say(socket: SocketClient, text: str, name: str = "Wren") -> dict:
    return socket.request("channels/send", {"channel": "gossip", "name": name, "message": text})


def until_refused(socket: SocketClient, text: str, name: str = "Wren") -> dict:
    """Send until a message is refused: the workers may learn of the commit after the browser has its response."""
    return _until(socket, text, name, "failure")


def until_accepted(socket: SocketClient, text: str, name: str = "Wren") -> dict:
    """Send until a message is accepted."""
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


def test_lines_appear_live_and_a_mute_stops_them(moderator_page, world) -> None:
    """From a line on the live page to a mute of its speaker, whose next line is refused; then the mute is lifted."""
    moderator_page.goto("/moderation/live")
    assert say(world.ashfall, "Buy silver <b>now</b>")["status"] == "success"
    line = moderator_page.locator("#live .said", has_text="Buy silver")
    expect(line).to_be_visible()
    expect(line.locator(".channel")).to_have_text("gossip")
    line.locator("time").click()
    moderator_page.get_by_role("link", name="Sanction Wren").click()
    expect(moderator_page.get_by_label("Who")).to_have_value("Wren@Ashfall")
    moderator_page.get_by_label("Reason").fill("Adverts")
    moderator_page.get_by_role("button", name="Impose").click()
    done(moderator_page, "in force")
    assert "Adverts" in until_refused(world.ashfall, "Again")["error"]
    assert say(world.ashfall, "I am another", name="Odo")["status"] == "success"
    moderator_page.get_by_label("Reason").fill("They promised")
    moderator_page.get_by_role("button", name="Lift").click()
    done(moderator_page, "lifted")
    until_accepted(world.ashfall, "Thank you")


def test_a_banned_game_is_disconnected(moderator_page, world) -> None:
    """At once, with code 4003. The owner sees the reason on the game's page."""
    moderator_page.goto("/moderation/sanctions/new?target_kind=game&target=Ashfall")
    moderator_page.get_by_label("Ban", exact=True).check()
    moderator_page.get_by_label("For how long").select_option("Permanently")
    moderator_page.get_by_label("Reason").fill("Its owner floods us")
    moderator_page.get_by_role("button", name="Impose").click()
    done(moderator_page, "Ashfall")
    assert world.ashfall.wait_closed() == 4003
    assert say(world.reef, "Peace")["status"] == "success"


def test_a_channel_is_paused_resumed_slowed_and_closed(moderator_page, world) -> None:
    """The channel is notified, and nobody can speak until it is resumed."""
    moderator_page.goto("/moderation/channels/gossip")
    moderator_page.get_by_label("Minutes").fill("5")
    moderator_page.locator("form", has=moderator_page.get_by_role("button", name="Pause the channel")).get_by_label(
        "Reason"
    ).fill("Calm")
    moderator_page.get_by_role("button", name="Pause the channel").click()
    done(moderator_page, "is paused")
    for socket in (world.reef, world.ashfall):
        notice = socket.wait_for("channels/broadcast", payload={"game": "Grapevine", "name": "system"})
        assert "Calm" in notice["payload"]["message"]
        assert "paused" in until_refused(socket, "But")["error"]
    moderator_page.get_by_role("button", name="Resume").click()
    done(moderator_page, "is no longer paused")
    until_accepted(world.ashfall, "Well")

    moderator_page.get_by_label("Seconds between two lines").fill("600")
    moderator_page.get_by_role("button", name="Set slow mode").click()
    done(moderator_page, "is in slow mode")
    until_refused(world.ashfall, "And well", name="Odo")

    moderator_page.get_by_label("Seconds between two lines").fill("0")
    moderator_page.get_by_role("button", name="Set slow mode").click()
    moderator_page.locator("summary", has_text="Close gossip").click()
    moderator_page.locator("form", has=moderator_page.get_by_role("button", name="Close the channel")).get_by_label(
        "Reason"
    ).fill("Over")
    moderator_page.get_by_role("button", name="Close the channel").click()
    done(moderator_page, "is closed")
    until_refused(world.reef, "Hello?")
    moderator_page.get_by_role("button", name="Reopen").click()
    done(moderator_page, "open again")
    until_accepted(world.reef, "Hello!")


def test_a_filter_is_tested_switched_on_and_refuses(moderator_page, world) -> None:
    """First the test result, then the worker acts the same way."""
    assert say(world.ashfall, "Buy silver")["status"] == "success"
    moderator_page.goto("/moderation/filters/new")
    moderator_page.get_by_label("Word or pattern").fill("silver")
    moderator_page.get_by_label("What happens").select_option("Refuse the line")
    moderator_page.get_by_role("button", name=re.compile("Try it")).click()
    expect(moderator_page.locator("#tried-count")).to_contain_text("1 of the last 2 messages")
    moderator_page.get_by_role("button", name="Save").click()
    done(moderator_page, "still off")
    assert say(world.ashfall, "More silver")["status"] == "success"
    moderator_page.get_by_role("button", name="Switch on").click()
    done(moderator_page, "is now on")
    until_refused(world.ashfall, "Yet more silver")
    assert say(world.reef, "Gold is better")["status"] == "success"


def test_a_report_is_sent_decided_and_answered(moderator_page, world, new_page) -> None:
    """From a player's form to the moderators and back. The message is redacted on the way."""
    say(world.ashfall, "You are all fools")
    reader = sign_in(new_page(), "reader")
    number = world.moderated.message + 1
    reader.goto(f"/report?message={number}")
    expect(reader.locator(".quote")).to_contain_text("You are all fools")
    reader.get_by_label("What is wrong").fill("Rude")
    reader.get_by_role("button", name="Send report").click()
    done(reader, "Thank you")

    moderator_page.goto("/moderation/reports")
    moderator_page.get_by_role("link", name="Wren@Ashfall").click()
    expect(moderator_page.locator(".case-facts .is-here")).to_contain_text("You are all fools")
    moderator_page.get_by_role("link", name="Redact…").click()
    moderator_page.locator("summary", has_text="Redact").click()
    moderator_page.get_by_label("Reason").fill("Insults")
    moderator_page.get_by_role("button", name="Redact permanently").click()
    done(moderator_page, "permanently deleted")
    expect(moderator_page.locator("main")).not_to_contain_text("You are all fools")
    moderator_page.get_by_role("link", name=re.compile("Report \\d")).click()
    moderator_page.get_by_label("Uphold: it broke the rules").check()
    moderator_page.get_by_label("Outcome").fill("The line is gone")
    moderator_page.get_by_role("button", name="Decide").click()
    done(moderator_page, "upheld")

    reader.goto("/account/reports")
    expect(reader.locator("main")).to_contain_text("The line is gone")
    history = world.reef.request("channels/history", {"channel": "gossip"})
    assert "You are all fools" not in str(history), history


def test_reports_are_decided_one_after_the_other(moderator_page, world, stored, new_page) -> None:
    """Two moderators: one claims a report, the other is told and goes on to the next. A mute is in force at once."""
    stored.user("second", role="moderator")
    second = sign_in(new_page(), "second")
    say(world.ashfall, "Buy my wares", name="Odo")
    with db.transaction() as session:
        reader = actor(session, world.moderated.player)
        reports.create_report(session, reader, game="Ashfall", name="Odo", text="Adverts")
    first = world.moderated.report
    moderator_page.goto(f"/moderation/reports/{first}")
    moderator_page.get_by_role("button", name="Claim it").click()
    expect(moderator_page.locator(".claim")).to_contain_text("You are working on this")
    moderator_page.get_by_role("textbox", name="Note").fill("Asked them to stop on Monday")
    moderator_page.get_by_role("button", name="Add note").click()

    second.goto(f"/moderation/reports/{first}")
    expect(second.locator(".claim")).to_contain_text("mod has been working on this")
    expect(second.locator(".notes")).to_contain_text("Asked them to stop on Monday")
    expect(second.locator(".tabs a", has_text="Reports")).to_contain_text("2")
    second.get_by_label("Dismiss").check()
    second.get_by_label("Outcome").fill("Nothing wrong")
    second.get_by_role("button", name="Decide").click()
    expect(second.get_by_role("alert")).to_contain_text("Mod started to work on this report")
    expect(second.get_by_label("Outcome")).to_have_value("Nothing wrong")

    moderator_page.get_by_label("Dismiss").check()
    moderator_page.get_by_label("Outcome").fill("Once is not a flood")
    moderator_page.get_by_role("button", name="Decide").click()
    expect(moderator_page.get_by_role("heading", level=1)).to_have_text(f"Report {first + 1}")
    done(moderator_page, f"Report {first}: dismissed")
    moderator_page.get_by_label("mute the player for an hour").check()
    moderator_page.get_by_label("Outcome").fill("No adverts here")
    moderator_page.get_by_role("button", name="Decide").click()
    expect(moderator_page.locator(".flash").first).to_contain_text("Odo@Ashfall is muted for an hour")
    done(moderator_page, "No other open report")
    answer = say(world.ashfall, "Buy more", name="Odo")
    assert (answer["status"], answer["code"]) == ("failure", "muted") and "No adverts here" in answer["error"]
    expect(moderator_page.locator(".tabs a", has_text="Reports")).to_contain_text("0")


def test_a_sanction_is_appealed_and_somebody_else_grants_it(world, new_page) -> None:
    """The owner appeals, an admin grants it, and the game can speak again."""
    moderator, owner, admin = (sign_in(new_page(), name) for name in ("mod", "wright", "warden"))
    moderator.goto("/moderation/sanctions/new?target_kind=game&target=Ashfall")
    moderator.get_by_label("Reason").fill("A flood")
    moderator.get_by_role("button", name="Impose").click()
    done(moderator, "in force")
    until_refused(world.ashfall, "Why?")

    owner.goto("/manage/games/Ashfall")
    owner.locator("#game-sanctions a").click()
    expect(owner.locator("main")).to_contain_text("A flood")
    owner.get_by_role("link", name=re.compile("^Appeal")).click()
    owner.get_by_label("Your appeal").fill("It was a loop in our code, and is mended")
    owner.get_by_role("button", name="Send the appeal").click()
    done(owner, "appeal has been sent")

    moderator.goto("/moderation/appeals")
    moderator.locator("li", has_text="Ashfall").get_by_role("link", name="wright").click()
    expect(moderator.locator(".callout")).to_contain_text("Another moderator")
    admin.goto("/moderation/appeals")
    admin.locator("li", has_text="Ashfall").get_by_role("link", name="wright").click()
    admin.get_by_label("Grant").check()
    admin.get_by_label("Reason").fill("Mended it is")
    admin.get_by_role("button", name="Decide").click()
    done(admin, "decided")
    until_accepted(world.ashfall, "Thank you")
    owner.goto("/account/appeals")
    expect(owner.locator("main")).to_contain_text("Mended it is")


def test_an_owner_mutes_a_player_for_a_game(world, new_page) -> None:
    """The player's lines do not reach that game until the mute is removed. Lines of others do."""
    numbers = itertools.count(1)

    def hears_wren() -> bool:
        """Return whether Wren's line arrived. Lines arrive in order: after Odo's, Wren's can no longer arrive."""
        number = next(numbers)
        say(world.ashfall, f"Wren {number}")
        say(world.ashfall, f"Odo {number}", name="Odo")
        world.reef.wait_for("channels/broadcast", payload={"message": f"Odo {number}"})
        return any(frame["payload"]["message"] == f"Wren {number}" for frame in world.reef.events("channels/broadcast"))

    assert hears_wren()
    owner = sign_in(new_page(), "wright")
    owner.goto("/manage/games/Reef/mutes")
    owner.get_by_label("Who", exact=True).fill("Wren@Ashfall")
    owner.get_by_role("button", name="Mute").click()
    done(owner, "now mutes")
    wait_until(lambda: not hears_wren(), what="Wren is muted")
    owner.get_by_role("button", name="Remove wren@ashfall").click()
    done(owner, "no longer mutes wren@ashfall")
    wait_until(hears_wren, what="Wren is no longer muted")


def test_a_player_ignores_on_the_site_and_the_sender_cannot_tell(world, stored, new_page) -> None:
    """The setting applies to a character in a game, even at another worker than the sender's."""
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
    reader.get_by_label("Who", exact=True).fill("wREN@ashfall")
    reader.get_by_role("button", name="Ignore", exact=True).click()
    expect(reader.locator("#ignores")).to_contain_text("wren@Ashfall")
    wait_until(lambda: tell("Wren") == offline, what="the answer is the same as for an offline player")
    assert tell("Odo")["status"] == "success"

    reader.get_by_role("button", name="Remove wren@Ashfall").click()
    done(reader, "You no longer ignore")
    wait_until(lambda: tell("Wren")["status"] == "success", what="they are no longer ignored")

    claim(stored.user("pest"), "Ashfall", "Wren")
    reader.get_by_label("Who", exact=True).fill("pest")
    reader.get_by_label("Include all of their registered characters").check()
    reader.get_by_role("button", name="Ignore", exact=True).click()
    wait_until(lambda: tell("Wren") == offline, what="the person's character is ignored")


def claim(user, short_name: str, name: str) -> None:
    """Register and approve a character."""
    with db.transaction() as session:
        key = session.get(User, user.id).registration_key
        game = games.get_game(session, short_name)
        character = characters.register_character(session, game_id=game.id, name=name, key=key)
        session.flush()
        characters.approve_character(session, actors.of_user(session, user.id), character_id=character.id)


def test_a_chat_user_reports_a_line_and_is_muted(stored, start_site, start_worker, browser) -> None:
    """The account is muted. The chat and the account page show the reason."""
    world = make_moderated(stored)  # before the worker starts, so that it knows the channel
    port = free_port()
    address = f"ws://127.0.0.1:{port}/socket"
    site = start_site(SOCKET_URL=address)
    start_worker(SOCKET_PORT=str(port), PUBLIC_URL=site.url, SOCKET_URL=address)
    with browser.new_context(base_url=site.url) as readers, browser.new_context(base_url=site.url) as moderators:
        reader, moderator_page = sign_in(readers.new_page(), "reader"), sign_in(moderators.new_page(), "mod")
        reader.goto("/chat/gossip")
        expect(reader.locator("#chat-state")).to_have_text("Live", timeout=20_000)
        reader.locator(f"#chat-lines [data-id='{world.message}']").focus()
        reader.keyboard.press("Enter")
        expect(reader.get_by_role("menuitem", name="Report…")).to_be_visible()
        reader.keyboard.press("Escape")
        reader.locator("#chat-text").fill("Hello, <3 everyone")
        reader.keyboard.press("Enter")
        line = reader.locator("#chat-lines .line", has_text="Hello, <3 everyone")
        expect(line).to_have_attribute("data-id", re.compile(r"^\d+$"))

        moderator_page.goto("/moderation/records/users/reader")
        expect(moderator_page.locator("main")).to_contain_text("Hello, <3 everyone")
        moderator_page.get_by_role("link", name="Sanction reader").click()
        moderator_page.get_by_label("Reason").fill("Enough for today")
        moderator_page.get_by_role("button", name="Impose").click()
        done(moderator_page, "in force")

        failed = reader.locator(".line.failed")

        def is_refused() -> bool:
            reader.locator("#chat-text").fill("Still here?")
            reader.keyboard.press("Enter")
            return failed.count() > 0

        wait_until(is_refused, what="the chat says why")
        problem = failed.first.locator(".why")
        expect(problem).to_contain_text(re.compile(r"You are muted for another \d+ \w+: Enough for today\."))
        expect(problem.get_by_role("link", name="See it and appeal")).to_have_attribute("href", "/account/sanctions")
        reader.goto("/account")
        expect(reader.locator("#own-sanctions")).to_contain_text("Enough for today")
        expect(reader.locator("#own-sanctions")).to_contain_text("by a moderator")
