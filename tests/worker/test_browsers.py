"""Browsers' sockets: lines, who is online, tells, what closes them, read marks."""

from __future__ import annotations

from typing import Any

import pytest

from shared import chat_tokens
from shared.db import reading, transaction
from shared.services import accounts, channels, read_marks, sessions, users
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.services.moderation import channel_states, ignores
from shared.signals import AccountChanged
from tests.support.network import Network
from tests.support.servers import SECRET_KEY
from tests.support.waiting import wait_until
from tests.worker.pages import (
    NETWORK_CONSTANTS,
    NETWORK_SETTINGS,
    _numbers,
    channel,
    join_chat,
    new_user,
    open_page,
    players_of_grapevine,
    refused,
    token_for,
)

__all__ = ["NETWORK_SETTINGS", "NETWORK_CONSTANTS", "channel"]

# Lines


def test_a_browser_and_a_game_receive_each_others_lines(network: Network, channel: str) -> None:
    page = join_chat(network, channels=[channel])
    game = network.join(worker=1, channels=[channel], version="2.4.0")

    assert page.request("channels/send", {"channel": channel, "message": "hello <b>there</b>"})["status"] == "success"
    line = game.wait_for("channels/broadcast", payload={"channel": channel})["payload"]
    assert (line["game"], line["name"], line["message"]) == ("Grapevine", page.username, "hello there")

    game.request("channels/send", {"channel": channel, "name": "Ash", "message": "welcome"})
    answer = page.wait_for("channels/broadcast", payload={"message": "welcome"})["payload"]
    assert (answer["game"], answer["name"]) == (game.peer.short_name, "Ash")  # type: ignore[attr-defined]
    assert answer["id"] > line["id"] and answer["sent_at"].endswith("Z")


def test_browsers_receive_each_line_once_including_their_own(network: Network, channel: str) -> None:
    first, other = join_chat(network, channels=[channel]), join_chat(network, channels=[channel], worker=1)
    first.request("channels/send", {"channel": channel, "message": "first"})
    other.wait_for("channels/broadcast", payload={"message": "first"})
    other.request("channels/send", {"channel": channel, "message": "second"})
    for page in (first, other):
        page.wait_for("channels/broadcast", payload={"message": "second"})
        said = [frame["payload"]["message"] for frame in page.events("channels/broadcast")]
        assert said == ["first", "second"]


@pytest.mark.one_worker
def test_the_senders_line_arrives_before_the_answer(network: Network, channel: str) -> None:
    page = join_chat(network, channels=[channel])
    page.send("channels/send", {"channel": channel, "message": "mine"}, ref=7)
    page.wait_for("channels/send", ref=7)
    order = [frame["event"] for frame in page.frames if frame["event"].startswith("channels/")]
    assert order == ["channels/broadcast", "channels/send"]


@pytest.mark.one_worker
def test_a_page_cannot_send_under_another_name(network: Network, channel: str) -> None:
    page = join_chat(network, channels=[channel])
    page.request("channels/send", {"channel": channel, "message": "me", "name": "somebody", "game": "Other"})
    line = page.wait_for("channels/broadcast")["payload"]
    assert (line["name"], line["game"]) == (page.username, "Grapevine")


def test_browsers_cannot_subscribe_to_hidden_channels(network: Network) -> None:
    hidden = network.factory.channel(is_hidden=True).name
    page = open_page(network)
    answer = page.request("authenticate", {"token": token_for(new_user(network)), "channels": [hidden]})
    assert answer["payload"]["channels"] == []
    assert page.request("channels/send", {"channel": hidden, "message": "psst"})["code"] == "not-subscribed"


@pytest.mark.parametrize("end", ["hidden", "deleted"])
def test_pages_are_unsubscribed_from_a_deleted_or_hidden_channel(network: Network, channel: str, end: str) -> None:
    page = join_chat(network, channels=[channel])
    with transaction() as session:
        deleted = channels.get_channel(session, channel)
        if end == "hidden":
            channels.update_channel(session, OPERATOR, name=channel, is_hidden=True)
        else:
            channels.delete_channel(session, OPERATOR, name=channel)
    assert page.wait_for("channels/closed")["payload"] == {"id": deleted.id}
    assert page.request("channels/send", {"channel": channel, "message": "psst"})["code"] == "not-subscribed"


def test_pages_receive_the_new_name_of_a_channel(network: Network, channel: str) -> None:
    """The event comes before the first line under the new name. Other changes are sent in the same event."""
    pages = [join_chat(network, channels=[channel], worker=number) for number in (0, 1)]
    elsewhere = join_chat(network)
    renamed = network.factory.channel().name[::-1].strip("-")
    with transaction() as session:
        updated = channels.update_channel(session, OPERATOR, name=channel, new_name=renamed)
    for page in pages:
        assert page.wait_for("channels/changed")["payload"] == {"id": updated.id, "name": renamed}
        assert page.request("channels/send", {"channel": renamed, "message": "hello"})["status"] == "success"
        assert page.wait_for("channels/broadcast")["payload"]["channel"] == renamed
    assert elsewhere.events("channels/changed") == []


def test_only_the_flooding_sender_is_refused(network: Network, channel: str) -> None:
    user = new_user(network)
    pages = [join_chat(network, user, channels=[channel]) for _ in range(2)]
    answers = [pages[n % 2].request("channels/send", {"channel": channel, "message": f"{n}"}) for n in range(14)]
    refused = [answer for answer in answers if answer["status"] == "failure"]
    assert refused and {answer["code"] for answer in refused} == {"rate-limited"}
    assert all(answer["retry_after_ms"] > 0 for answer in refused)
    other = join_chat(network, channels=[channel])
    assert other.request("channels/send", {"channel": channel, "message": "calm"})["status"] == "success"


@pytest.mark.one_worker
def test_bad_text_names_the_field(network: Network, channel: str) -> None:
    page = join_chat(network, channels=[channel])
    for message in ("", "x" * 4001, None, 7):
        answer = page.request("channels/send", {"channel": channel, "message": message})
        assert answer["code"] == "invalid" and '"message"' in answer["error"]


# Who is online


def test_a_user_is_online_while_any_page_is_open(network: Network) -> None:
    game = network.join()
    user = new_user(network)
    first = join_chat(network, user, worker=0)
    expected = {"game": "Grapevine", "name": user.username}
    assert game.wait_for("players/sign-in", payload={"name": user.username})["payload"] == expected
    second = join_chat(network, user, worker=1)
    wait_until(lambda: user.username in players_of_grapevine(game), what="online")
    first.close(1001)
    network.flush(game)
    assert user.username in players_of_grapevine(game)
    second.close(1001)
    assert game.wait_for("players/sign-out", payload={"name": user.username})["payload"] == expected
    assert user.username not in players_of_grapevine(game)
    network.flush(game)
    assert len([f for f in game.events("players/sign-in") if f["payload"]["name"] == user.username]) == 1
    assert len([f for f in game.events("players/sign-out") if f["payload"]["name"] == user.username]) == 1


def test_a_second_page_is_not_announced(network: Network) -> None:
    """Moving from page to page closes one socket and opens another."""
    game = network.join()
    user = new_user(network)
    for worker in (0, 1, 0):
        join_chat(network, user, worker=worker).close(1001)
    game.wait_for("players/sign-out", payload={"name": user.username})
    names = [frame["payload"]["name"] for frame in game.events("players/sign-in")]
    assert names.count(user.username) == 1


def test_a_hidden_user_is_not_listed_but_can_speak(network: Network, channel: str) -> None:
    user = new_user(network)
    with transaction() as session:
        accounts.set_privacy(session, actors.of_user(session, user.id), is_profile_hidden=False, is_online_hidden=True)
    game = network.join(channels=[channel], players=["Ash"])
    page = join_chat(network, user, channels=[channel])
    page.request("channels/send", {"channel": channel, "message": "boo"})
    assert game.wait_for("channels/broadcast")["payload"]["name"] == user.username
    assert user.username not in players_of_grapevine(game)
    assert user.username not in page.request("channels/listeners", {"channel": channel})["payload"]["people"]
    answer = game.request(
        "tells/send", {"from_name": "Ash", "to_game": "grapevine", "to_name": user.username, "message": "psst"}
    )
    assert (answer["code"], answer["error"]) == ("player-offline", "receiving player offline")
    network.flush(game)
    assert user.username not in [frame["payload"]["name"] for frame in game.events("players/sign-in")]


def test_hiding_from_lists_takes_effect_at_once(network: Network) -> None:
    game = network.join()
    page = join_chat(network)
    for is_hidden in (True, False):
        with transaction() as session:
            accounts.set_privacy(
                session, actors.of_user(session, page.user_id), is_profile_hidden=False, is_online_hidden=is_hidden
            )
        wait_until(
            lambda hidden=is_hidden: (page.username in players_of_grapevine(game)) is not hidden,  # type: ignore[misc]
            what="the list is right",
        )
    assert not page.is_closed


def test_the_listeners_of_a_channel_are_listed(network: Network, channel: str) -> None:
    page = join_chat(network, channels=[channel])
    game = network.join(channels=[channel], players=["Ash", "Bram"], worker=1)
    expected = {
        "people": [page.username],
        "people_count": 1,
        "games": [{"game": game.peer.short_name, "players": 2}],  # type: ignore[attr-defined]
    }
    wait_until(
        lambda: page.request("channels/listeners", {"channel": channel}).get("payload") == expected,
        what="the listeners are known",
    )


# Tells


def test_tells_go_both_ways_and_reach_every_page_of_a_user(network: Network) -> None:
    user = new_user(network)
    pages = [join_chat(network, user, worker=0), join_chat(network, user, worker=1)]
    stranger = join_chat(network)
    game = network.join(players=["Ash"])
    wait_until(lambda: user.username in players_of_grapevine(game), what="online")
    network.flush(game)  # every worker knows both pages
    answer = game.request(
        "tells/send",
        {"from_name": "Ash", "to_game": "GRAPEVINE", "to_name": user.username.upper(), "message": "are you there?"},
    )
    assert answer["status"] == "success"
    for page in pages:
        tell = page.wait_for("tells/receive")["payload"]
        assert (tell["from_game"], tell["from_name"], tell["message"]) == (
            game.peer.short_name,  # type: ignore[attr-defined]
            "Ash",
            "are you there?",
        )
        assert len(page.events("tells/receive")) == 1
    assert not stranger.events("tells/receive")
    for page in pages:
        answer = page.request(
            "tells/send",
            {"to_game": game.peer.short_name, "to_name": "ash", "message": "yes"},  # type: ignore[attr-defined]
        )
        assert answer["status"] == "success", answer
        tell = game.wait_for("tells/receive")["payload"]
        assert (tell["from_game"], tell["from_name"], tell["message"]) == ("Grapevine", user.username, "yes")


def test_browsers_send_tells_to_each_other(network: Network) -> None:
    sender, other = join_chat(network, worker=0), join_chat(network, worker=1)
    tell = {"to_game": "Grapevine", "to_name": other.username, "message": "hi"}
    wait_until(lambda: sender.request("tells/send", tell)["status"] == "success", what="the tell goes through")
    assert other.wait_for("tells/receive")["payload"]["from_name"] == sender.username


@pytest.mark.one_worker
@pytest.mark.parametrize(
    ("to_game", "to_name", "code"),
    [("NoSuchGame", "x", "game-offline"), ("Grapevine", "nobody-here", "player-offline"), ("", "", "invalid")],
)
def test_undeliverable_tells_are_refused(network: Network, to_game: str, to_name: str, code: str) -> None:
    page = join_chat(network)
    answer = page.request("tells/send", {"to_game": to_game, "to_name": to_name, "message": "hi"})
    assert answer["code"] == code


@pytest.mark.one_worker
def test_browsers_cannot_register_characters(network: Network) -> None:
    page = join_chat(network)
    tell = {"to_game": "Grapevine", "to_name": "system", "message": "register 0eaed916-0000-4000-8000-000000000000"}
    assert page.request("tells/send", tell)["status"] == "success"
    assert "Only games" in page.wait_for("tells/receive")["payload"]["message"]


# What closes it


def _change_password(user_id: int) -> None:
    with transaction() as session:
        accounts.change_password(
            session, actors.of_user(session, user_id), current="correct horse battery", new="another horse battery"
        )


def _end_sessions(user_id: int) -> None:
    with transaction() as session:
        accounts.end_sessions(session, actors.of_user(session, user_id))


def _delete(user_id: int) -> None:
    with transaction() as session:
        accounts.delete_account(session, actors.of_user(session, user_id), password="correct horse battery")


@pytest.mark.parametrize("end", [_change_password, _end_sessions, _delete])
def test_the_end_of_a_session_closes_its_pages(network: Network, end: Any) -> None:
    user = new_user(network)
    pages = [join_chat(network, user, worker=0), join_chat(network, user, worker=1)]
    other = join_chat(network)
    end(user.id)
    for page in pages:
        assert page.wait_closed() == 4003
        assert page.close_reason == "the session has ended"
    other.request("channels/listeners", {"channel": "none"})
    assert not other.is_closed


def test_signing_out_closes_the_pages_of_that_session_only(network: Network) -> None:
    """This includes pages whose token was fetched before."""
    user = new_user(network)

    def token(number: str) -> str:
        return chat_tokens.make_token(
            [SECRET_KEY], user_id=user.id, session_token=user.session_token, session_number=number
        )

    here, there = sessions.new_number(), sessions.new_number()
    pages = [open_page(network, worker=worker) for worker in range(2)]
    other = open_page(network)
    for page, number in ((pages[0], here), (pages[1], here), (other, there)):
        assert page.request("authenticate", {"token": token(number)})["status"] == "success"
    fetched = token(here)
    with transaction() as session:
        sessions.end(session, here, user_id=user.id)
    for page in pages:
        assert (page.wait_closed(), page.close_reason) == (4003, "the session has ended")
    assert refused(network, fetched)["error"] == "the session has ended"
    other.request("channels/listeners", {"channel": "none"})
    assert not other.is_closed


def test_pages_speak_under_a_new_username(network: Network, channel: str) -> None:
    page = join_chat(network, channels=[channel])
    with transaction() as session:
        from shared.bus import announce

        user = users.find_user(session, page.user_id)
        assert user is not None
        user.username = f"renamed-{page.user_id}"
        announce(session, AccountChanged(user.id))

    def sending_name() -> str:
        page.request("channels/send", {"channel": channel, "message": "who am I?"})
        return page.wait_for("channels/broadcast")["payload"]["name"]

    wait_until(lambda: sending_name() == f"renamed-{page.user_id}", what="the new name")


# Read marks


def test_read_marks_are_stored(network: Network, channel: str) -> None:
    page = join_chat(network, channels=[channel])
    with reading() as session:
        channel_id = channels.get_channel(session, channel).id

    def read_mark() -> int | None:
        with reading() as session:
            return read_marks.last_read(session, user_id=page.user_id, channel_id=channel_id)

    for number in (5, 9, 7):
        page.send("channels/read", {"channel": channel, "id": number})
    wait_until(lambda: read_mark() == 9, what="the mark")
    page.send("channels/read", {"channel": channel, "id": 11})
    page.request("channels/listeners", {"channel": channel})
    page.close(1001)
    wait_until(lambda: read_mark() == 11, what="the mark of a page that has closed")


def test_channels_without_a_subscription_have_no_read_marks(network: Network, channel: str) -> None:
    page = join_chat(network)
    page.send("channels/read", {"channel": channel, "id": 5}, ref="r")
    assert page.request("channels/listeners", {"channel": channel})["code"] == "not-subscribed"
    with reading() as session:
        channel_id = channels.get_channel(session, channel).id
        assert read_marks.last_read(session, user_id=page.user_id, channel_id=channel_id) is None


def test_pages_do_not_receive_lines_from_ignored_users(network: Network, channel: str) -> None:
    """This applies on every worker, from the next line on. Everyone else still receives the lines."""
    user, rude = new_user(network), new_user(network)
    pages = [join_chat(network, user, channels=[channel], worker=number) for number in (0, 1)]
    other = join_chat(network, channels=[channel])
    pest = join_chat(network, rude, channels=[channel], worker=1)
    game = network.join(channels=[channel], players=["Pest"], worker=1)

    def has_received(text: str) -> bool:
        """Return whether any page has received a line. Waits for a later line that everyone receives."""
        other.wait_for("channels/broadcast", payload={"message": text})
        number = next(_numbers)
        other.request("channels/send", {"channel": channel, "message": f"mark {number}"})
        for page in pages:
            page.wait_for("channels/broadcast", payload={"message": f"mark {number}"})
        received = {
            any(frame["payload"]["message"] == text for frame in page.events("channels/broadcast")) for page in pages
        }
        return any(received)

    def is_heard_from_game() -> bool:
        text = f"buy {next(_numbers)}"
        game.request("channels/send", {"channel": channel, "name": "PEST", "message": text})
        return has_received(text)

    def is_heard_from_person() -> bool:
        text = f"sell {next(_numbers)}"
        pest.request("channels/send", {"channel": channel, "message": text})
        pest.wait_for("channels/broadcast", payload={"message": text})
        return has_received(text)

    assert is_heard_from_game() and is_heard_from_person()
    _ignore(user, f"pest@{game.peer.short_name}")  # type: ignore[attr-defined]
    _wait_for_answer(is_heard_from_game, False)
    assert is_heard_from_person()
    _ignore(user, rude.username, is_person=True)
    _wait_for_answer(is_heard_from_person, False)
    with transaction() as session:
        for ignore in ignores.list_ignores(session, user.id):
            ignores.delete_ignore(session, actors.of_user(session, user.id), ignore_id=ignore.id)
    _wait_for_answer(is_heard_from_game, True)
    assert is_heard_from_person()


def test_ignoring_all_of_grapevine_hides_neither_own_lines_nor_system_notices(network: Network, channel: str) -> None:
    page, other = (join_chat(network, channels=[channel]) for _ in range(2))
    with reading() as session:
        user = accounts.get_account(session, page.user_id)
    _ignore(user, "*@Grapevine")

    def is_other_heard() -> bool:
        text = f"from another {next(_numbers)}"
        other.request("channels/send", {"channel": channel, "message": text})
        own_text = f"from me {next(_numbers)}"
        page.request("channels/send", {"channel": channel, "message": own_text})
        page.wait_for("channels/broadcast", payload={"message": own_text})
        return any(frame["payload"]["message"] == text for frame in page.events("channels/broadcast"))

    _wait_for_answer(is_other_heard, False)
    with transaction() as session:
        channel_states.slow_down(session, actors.OPERATOR, channel=channel, seconds=0)
        channel_states.pause(session, actors.OPERATOR, channel=channel, minutes=1, reason="spam")
    assert "paused" in page.wait_for("channels/broadcast", payload={"name": "system"})["payload"]["message"]


def _ignore(user: Any, pattern: str, **how: Any) -> None:
    with transaction() as session:
        ignores.add_ignore(session, actors.of_user(session, user.id), pattern=pattern, **how)


def _wait_for_answer(ask: Any, expected: bool) -> None:
    wait_until(lambda: ask() is expected, what=f"{ask.__name__} is {expected} at every worker")
