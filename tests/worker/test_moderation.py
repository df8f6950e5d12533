"""Moderation over real sockets, of one worker and of two. What moderators decide applies everywhere at once."""

from __future__ import annotations

from typing import Any

import pytest

from shared.db import transaction
from shared.models import Channel
from shared.services import applications, channels, characters, users
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.services.moderation import (
    channel_states,
    filters,
    game_mutes,
    messages,
    reports,
    sanctions,
)
from tests.support.client import Frame, SocketClient
from tests.support.network import Network, Peer
from tests.support.waiting import wait_until
from tests.worker.pages import ORIGIN, open_page, token_for

# The worker trusts a proxy, so tests can connect from any address.
NETWORK_SETTINGS = {"SOCKET_URL": "wss://example.com/socket", "PUBLIC_URL": ORIGIN, "OFFLINE_SECONDS": "0.5"}


def do(function: Any, /, *arguments: Any, by: Any = None, **options: Any) -> Any:
    """Do something as the operator, or as a user, and commit."""
    with transaction() as session:
        actor = actors.OPERATOR if by is None else actors.of_user(session, by.id)
        return function(session, actor, *arguments, **options)


def say(client: SocketClient, channel: str, message: str = "hello", name: str = "Alice") -> Frame:
    return client.request("channels/send", {"channel": channel, "name": name, "message": message})


def until(client: SocketClient, channel: str, code: str | None, **options: Any) -> Frame:
    """Send lines until the answer has this code, or succeeds if there is none."""
    return wait_until(
        lambda: (answer := say(client, channel, **options)).get("code") == code and answer, what=f"{code} of {channel}"
    )


@pytest.fixture
def channel(network: Network) -> Any:
    """Return a channel that only this test uses, and delete it afterwards."""
    return network.factory.channel()


@pytest.fixture
def pair(network: Network, channel: Channel) -> tuple[SocketClient, SocketClient]:
    """Join two games, on different workers if there are two. Alice is online in the first, Bob in the second."""
    return (
        network.join(players=["Alice"], worker=0, channels=[channel.name]),
        network.join(players=["Bob"], worker=1, channels=[channel.name]),
    )


# Sanctions


@pytest.mark.parametrize("kind", ["mute", "ban"])
def test_a_sanctioned_player_learns_the_reason_the_end_and_who_can_lift_it(
    pair: Any, channel: Channel, kind: str
) -> None:
    alice, bob = pair
    sanction = do(
        sanctions.sanction,
        kind=kind,
        target_kind="player",
        target=f"aLICE@{alice.peer.short_name}",
        seconds=600,
        reason="flooding",
    )
    word = {"mute": "muted", "ban": "banned"}[kind]
    answer = until(alice, channel.name, word, name="ALICE")
    assert answer["error"] == f"{word} until {sanction.until:%Y-%m-%dT%H:%M:%SZ}: flooding"
    assert 0 < answer["seconds_left"] <= 600 and answer["lifted_by"] == "moderators"
    assert say(alice, channel.name, name="Carol")["status"] == "success"
    tell = {"from_name": "Alice", "to_game": bob.peer.short_name, "to_name": "Bob", "message": "hi"}
    assert alice.request("tells/send", tell)["code"] == word

    do(sanctions.lift, sanction_id=sanction.id, reason="promised")
    assert until(alice, channel.name, None)["status"] == "success"
    do(sanctions.restore, sanction_id=sanction.id, reason="broke it")
    until(alice, channel.name, word)
    do(sanctions.undo, sanction_id=sanction.id, reason="a mistake")
    until(alice, channel.name, None)


def test_a_sanction_ends_on_time_and_a_permanent_one_stays(pair: Any, channel: Channel) -> None:
    alice, _bob = pair
    target = f"Alice@{alice.peer.short_name}"
    do(sanctions.sanction, kind="mute", target_kind="player", target=target, seconds=1, reason="briefly")
    until(alice, channel.name, "muted")
    until(alice, channel.name, None)
    do(sanctions.sanction, kind="mute", target_kind="player", target=target, reason="for good")
    answer = until(alice, channel.name, "muted")
    assert answer["error"] == "muted: for good" and "seconds_left" not in answer


def test_a_sanction_can_apply_to_one_channel_only(pair: Any, channel: Channel, network: Network) -> None:
    alice, bob = pair
    other = network.factory.channel()
    alice.request("channels/subscribe", {"channel": other.name})
    target = f"Alice@{alice.peer.short_name}"
    do(
        sanctions.sanction,
        kind="ban",
        target_kind="player",
        target=target,
        channel=channel.name,
        reason="off topic",
    )
    until(alice, channel.name, "banned")
    assert say(alice, other.name)["status"] == "success"
    tell = {"from_name": "Alice", "to_game": bob.peer.short_name, "to_name": "Bob", "message": "hi"}
    assert alice.request("tells/send", tell)["status"] == "success"


def test_a_muted_game_cannot_speak_and_a_banned_game_is_disconnected(network: Network, channel: Channel) -> None:
    game = network.game()
    sockets = [network.join(game, channels=[channel.name], worker=number) for number in range(2)]
    bystander = network.join(channels=[channel.name])
    muted = do(sanctions.sanction, kind="mute", target_kind="game", target=game.short_name, reason="spam")
    for socket in sockets:
        assert until(socket, channel.name, "muted")["error"] == "muted: spam"
    do(sanctions.lift, sanction_id=muted.id, reason="over")
    for socket in sockets:
        until(socket, channel.name, None)

    ban = do(sanctions.sanction, kind="ban", target_kind="game", target=game.short_name, seconds=900, reason="spam")
    for socket in sockets:
        assert socket.wait_closed() == 4003
        assert socket.close_reason.startswith("banned until ") and socket.close_reason.endswith(": spam")
    assert say(bystander, channel.name)["status"] == "success"
    for number in range(2):
        again = network.open(worker=number)
        again.send("authenticate", credentials_of(game))
        refused = again.wait_for("authenticate")
        assert (refused["status"], refused["code"]) == ("failure", "banned")
        assert refused["seconds_left"] > 0
        assert again.wait_closed() == 4003
    do(sanctions.undo, sanction_id=ban.id, reason="a mistake")
    wait_until(lambda: may_join(network, game), what="the game may come back")


def credentials_of(game: Peer) -> dict[str, Any]:
    return {"client_id": game.client_id, "client_secret": game.client_secret, "supports": ["channels"]}


def may_join(network: Network, game: Peer, address: str = "192.0.2.1", **options: Any) -> bool:
    client = network.open(header=[f"X-Forwarded-For: {address}"], **options)
    client.send("authenticate", credentials_of(game))
    return bool(client.wait_for("authenticate")["status"] == "success")


@pytest.mark.one_worker
def test_a_long_reason_does_not_break_the_close(network: Network) -> None:
    client = network.join()
    do(sanctions.sanction, kind="ban", target_kind="game", target=client.peer.short_name, reason="żółw " * 99)
    assert client.wait_closed() == 4003
    assert client.close_reason.startswith("banned: żółw")


def test_addresses_can_be_muted_and_banned(network: Network, channel: Channel) -> None:
    clients = [from_address(network, "198.51.100.7", channel, worker=number) for number in range(2)]
    neighbour = from_address(network, "198.51.101.7", channel)
    target = {"target_kind": "address", "reason": "a flood"}
    mute = do(sanctions.sanction, kind="mute", target="198.51.100.0/24", **target)
    for client in clients:
        assert until(client, channel.name, "muted")["error"] == "muted: a flood"
    do(sanctions.lift, sanction_id=mute.id, reason="over")
    for client in clients:
        until(client, channel.name, None)
    ban = do(sanctions.sanction, kind="ban", target="198.51.100.7", **target)
    for client in clients:
        assert (client.wait_closed(), client.close_reason) == (4003, "banned: a flood")
    assert say(neighbour, channel.name)["status"] == "success"
    assert not may_join(network, network.game(), "198.51.100.7")
    assert may_join(network, network.game(), "198.51.100.8")
    do(sanctions.lift, sanction_id=ban.id, reason="over")
    wait_until(lambda: may_join(network, network.game(), "198.51.100.7"), what="the address may come back")


def test_a_banned_address_cannot_chat_from_a_browser(network: Network) -> None:
    """This includes pages that are already open."""
    header = ["X-Forwarded-For: 198.51.100.99"]
    user = network.factory.user(is_verified=True)
    page = open_page(network, header=header)
    assert page.request("authenticate", {"token": token_for(user), "channels": []})["status"] == "success"
    ban = {"kind": "ban", "target_kind": "address", "target": "198.51.100.99", "reason": "a flood"}
    sanction = do(sanctions.sanction, **ban)
    assert (page.wait_closed(), page.close_reason) == (4003, "banned: a flood")
    for worker in range(2):
        wait_until(
            lambda worker=worker: not may_join(network, network.game(), "198.51.100.99", worker=worker), what="the ban"
        )
        page = open_page(network, worker=worker, header=header)
        answer = page.request("authenticate", {"token": token_for(user), "channels": []})
        assert (answer["status"], answer["error"]) == ("failure", "banned: a flood")
        assert page.wait_closed() == 4003
    do(sanctions.lift, sanction_id=sanction.id, reason="over")


def test_staff_behind_a_banned_address_chat_until_they_are_staff_no_longer(network: Network, channel: Channel) -> None:
    header = ["X-Forwarded-For: 198.51.100.77"]
    moderator = network.factory.user(role="moderator", is_verified=True)
    player = network.factory.user(is_verified=True)
    pages = [open_page(network, header=header) for _ in range(2)]
    for page, user in zip(pages, (moderator, player), strict=True):
        authentication = {"token": token_for(user), "channels": [channel.name]}
        assert page.request("authenticate", authentication)["status"] == "success"
    target = {"target_kind": "address", "target": "198.51.100.77"}
    sanction = do(sanctions.sanction, kind="ban", reason="a flood", **target)
    assert pages[1].wait_closed() == 4003
    line = {"channel": channel.name, "message": "still here"}
    assert pages[0].request("channels/send", line)["status"] == "success"
    other = open_page(network, worker=1, header=header)
    assert other.request("authenticate", {"token": token_for(moderator), "channels": []})["status"] == "success"
    do(users.set_role, username=moderator.username, role="player")
    assert (pages[0].wait_closed(), other.wait_closed()) == (4003, 4003)
    do(sanctions.lift, sanction_id=sanction.id, reason="over")


def from_address(network: Network, address: str, channel: Channel, **options: Any) -> SocketClient:
    """Open a socket of a new game, from this address according to the proxy."""
    game = network.game()
    client = network.open(header=[f"X-Forwarded-For: {address}"], **options)
    client.authenticate(game.client_id, game.client_secret, channels=[channel.name])
    return client


def test_muting_a_user_mutes_all_their_characters(network: Network, channel: Channel) -> None:
    user = network.factory.user()
    client = network.join(players=["Wren"], channels=[channel.name])
    claim(user, client, "Wren")
    do(sanctions.sanction, kind="mute", target_kind="user", target=user.username, reason="rude")
    assert until(client, channel.name, "muted", name="wren")["error"] == "muted: rude"
    assert say(client, channel.name, name="Robin")["status"] == "success"


def test_sanctioned_players_learn_who_may_lift_the_sanction(network: Network, channel: Channel) -> None:
    """Only admins can lift the sanction of a moderator, until that person is no longer a moderator."""
    user = network.factory.user(role="moderator")
    client = network.join(players=["Owl"], channels=[channel.name])
    claim(user, client, "Owl")
    game = client.peer.short_name  # type: ignore[attr-defined]
    do(sanctions.sanction, kind="mute", target_kind="player", target=f"Owl@{game}", reason="rude")
    assert until(client, channel.name, "muted", name="Owl")["lifted_by"] == "admins"
    with transaction() as session:
        users.set_role(session, OPERATOR, username=user.username, role="player")
    wait_until(
        lambda: say(client, channel.name, name="Owl")["lifted_by"] == "moderators",
        what="the moderator has lost the role",
    )


def claim(user: Any, client: SocketClient, name: str) -> None:
    """Register a player of a game as a user's character."""
    with transaction() as session:
        key = session.merge(user, load=True).registration_key
        character = characters.register_character(
            session, game_id=int(client.peer.key.removeprefix("game:")), name=name, key=key
        )
        characters.approve_character(session, actors.of_user(session, user.id), character_id=character.id)


def test_a_warned_player_receives_the_warning_once(network: Network) -> None:
    game = network.game()
    sockets = [network.join(game, players=["Alice"], worker=number) for number in range(2)]
    network.wait_player(game, "Alice")
    do(
        sanctions.sanction,
        kind="warn",
        target_kind="player",
        target=f"alice@{game.short_name}",
        reason="mind your words",
    )
    wait_until(lambda: any(received_tells(socket) for socket in sockets), what="the warning")
    network.flush(*sockets)
    tells = [frame["payload"] for socket in sockets for frame in socket.events("tells/receive")]
    [tell] = tells
    assert (tell["from_name"], tell["from_game"], tell["to_name"]) == ("system", "Grapevine", "Alice")
    assert tell["message"] == "A moderator warns you: mind your words"


def received_tells(socket: SocketClient) -> list[Frame]:
    socket.settle()
    return socket.events("tells/receive")


# Channels


def test_a_paused_channel_is_silent_and_its_subscribers_learn_why(pair: Any, channel: Channel) -> None:
    alice, bob = pair
    do(channel_states.pause, channel=channel.name, minutes=5, reason="calm down")
    notice = bob.wait_for("channels/broadcast", payload={"game": "Grapevine"})["payload"]
    assert notice["name"] == "system" and notice["message"] == "This channel is paused for 5 minutes: calm down"
    alice.wait_for("channels/broadcast", payload={"game": "Grapevine"})
    for client in pair:
        assert until(client, channel.name, "channel-paused")["error"] == "channel is paused"
    do(channel_states.resume, channel=channel.name)
    bob.wait_for("channels/broadcast", payload={"message": "This channel is open again."})
    until(alice, channel.name, None)
    history = alice.request("channels/history", {"channel": channel.name})["payload"]["messages"]
    # The history may also have lines that were sent before a worker knew of the pause.
    notices = [line["message"] for line in history if (line["game"], line["name"]) == ("Grapevine", "system")]
    assert notices == ["This channel is paused for 5 minutes: calm down", "This channel is open again."]


def test_slow_mode_applies_per_player_over_all_workers(network: Network, channel: Channel) -> None:
    game = network.game()
    sockets = [network.join(game, channels=[channel.name], worker=number) for number in range(2)]
    listeners = [network.join(channels=[channel.name], worker=number) for number in range(2)]
    do(channel_states.slow_down, channel=channel.name, seconds=600)
    wait_until(lambda: say(sockets[0], channel.name, name="Probe").get("code") == "rate-limited", what="slow mode")
    wait_until(lambda: say(sockets[1], channel.name, name="Probe2").get("code") == "rate-limited", what="slow mode")
    assert say(sockets[0], channel.name, "first", name="Dan")["status"] == "success"
    for listener in listeners:
        listener.wait_for("channels/broadcast", payload={"message": "first"})
    for socket in sockets:
        answer = say(socket, channel.name, "second", name="dan")
        assert answer["error"] == "rate limit exceeded" and 0 < answer["retry_after_ms"] <= 600_000
    assert say(sockets[1], channel.name, name="Eve")["status"] == "success"


def test_nobody_can_subscribe_to_a_closed_channel(pair: Any, channel: Channel, network: Network) -> None:
    alice, bob = pair
    do(channel_states.close, channel=channel.name, reason="no longer needed")
    assert until(alice, channel.name, "channel-paused")["error"] == "channel is closed"
    until(bob, channel.name, "channel-paused")
    late = network.join(worker=0)
    assert late.request("channels/subscribe", {"channel": channel.name})["code"] == "channel-refused"
    do(channel_states.reopen, channel=channel.name)
    until(alice, channel.name, None)


# Filters


@pytest.fixture
def make_filter() -> Any:
    """Return a function that creates filters, and delete them after the test."""
    filter_ids: list[int] = []

    def make(**fields: Any) -> Any:
        created = do(filters.create_filter, is_on=True, **fields)
        filter_ids.append(created.id)
        return created

    yield make
    for filter_id in filter_ids:
        do(filters.delete_filter, filter_id=filter_id)


def test_filters_refuse_mask_and_flag(pair: Any, channel: Channel, make_filter: Any) -> None:
    alice, bob = pair
    make_filter(kind="word", text="darn", action="mask")
    make_filter(kind="pattern", text=r"vi+agra|c[a@]sino", action="refuse")
    flagged = make_filter(kind="word", text="scoundrel", action="flag")
    until(alice, channel.name, "filtered", message="cheap viiiagra")
    assert until(bob, channel.name, "filtered", message="C@SINO")["error"].startswith("this message is not allowed")

    assert say(alice, channel.name, "Darn it, darned darn")["status"] == "success"
    # Lines sent before the filters were in force are skipped.
    assert bob.wait_for("channels/broadcast", payload={"name": "Alice", "message": "**** it, darned ****"})
    assert say(alice, channel.name, "you scoundrel!", name="Zed")["status"] == "success"
    assert bob.wait_for("channels/broadcast", payload={"name": "Zed"})["payload"]["message"] == "you scoundrel!"

    def flagged_reports() -> Any:
        with transaction() as session:
            page = reports.list_reports(session, actors.OPERATOR)
            return [report for report in page.items if report.name == "Zed" and report.channel == channel.name]

    [report] = wait_until(flagged_reports, what="the flag")
    assert (report.kind, report.quote) == ("message", "you scoundrel!")
    assert [reporter.key for reporter in report.reporters] == [f"filter:{flagged.id}"]


def test_rules_limit_links_floods_and_repeats(pair: Any, channel: Channel, make_filter: Any) -> None:
    alice, bob = pair
    make_filter(kind="link", count=1, action="refuse")
    until(alice, channel.name, "filtered", message="http://a.example https://b.example")
    assert say(alice, channel.name, "see http://a.example")["status"] == "success"
    make_filter(kind="repeat", count=2, seconds=600, action="refuse")
    make_filter(kind="flood", count=5, seconds=600, action="refuse")
    until(bob, channel.name, "filtered", message="again", name="Bob")
    wait_until(lambda: say(alice, channel.name, "again", name="Al").get("code") == "filtered", what="repeats")
    for number in range(3):
        say(alice, channel.name, f"line {number}", name="Al")
    answer = say(alice, channel.name, "one more", name="Al")
    assert answer["error"] == "too many messages in a short time"


# History


def test_a_redacted_message_is_removed_from_the_history(pair: Any, channel: Channel) -> None:
    alice, bob = pair
    say(alice, channel.name, "a secret")
    line = bob.wait_for("channels/broadcast", payload={"message": "a secret"})
    lines = alice.request("channels/history", {"channel": channel.name})["payload"]["messages"]
    assert [line["message"] for line in lines] == ["a secret"]
    count = len(bob.frames)
    do(messages.redact, message_id=lines[0]["id"], reason="private")
    assert alice.request("channels/history", {"channel": channel.name})["payload"]["messages"] == []
    bob.settle()
    expected = ("heartbeat", "channels/unsubscribe", "games/disconnect")  # games of other tests disconnect
    assert [frame for frame in bob.frames[count:] if frame["event"] not in expected] == []
    assert line["payload"]["name"] == "Alice"


def test_banned_players_are_not_announced(network: Network, channel: Channel) -> None:
    """Their names can be adverts. Notices about muted players, and everyone else, are sent as usual."""
    sender, listener = network.join(channels=[channel.name], worker=0), network.join(worker=1)
    game = sender.peer.short_name
    for kind, name in (("ban", "Buy Gold"), ("mute", "Loud")):
        do(sanctions.sanction, kind=kind, target_kind="player", target=f"{name}@{game}", reason="advert")
    until(sender, channel.name, "banned", name="Buy Gold")
    for event in ("players/sign-in", "players/sign-out"):
        for name in ("buy gold", "Loud", "Nice"):
            assert sender.request(event, {"name": name})["status"] == "success"
        listener.wait_for(event, payload={"name": "Nice"})
    notices = [frame["payload"] for frame in listener.frames if frame["event"].startswith("players/sign-")]
    names = [notice["name"] for notice in notices if notice["game"] == game]
    assert names == ["Loud", "Nice"] * 2


def notices_of(client: SocketClient, name: str) -> list[str]:
    """Return the notices about a player that a socket has received so far."""
    client.settle()
    return [
        frame["event"]
        for frame in client.frames
        if frame["event"].startswith("players/sign-") and frame["payload"].get("name") == name
    ]


def test_a_player_banned_while_online_is_announced_once_as_signed_out(network: Network, channel: Channel) -> None:
    """This applies to bans of the player's name and of the person behind it. Mutes send no notice."""
    user = network.factory.user()
    sender = network.join(players=["Alice", "Loud", "Wren"], channels=[channel.name], worker=0)
    listener, beside = network.join(worker=1), network.join(worker=0)
    claim(user, sender, "Wren")
    game = sender.peer.short_name  # type: ignore[attr-defined]
    do(sanctions.sanction, kind="mute", target_kind="player", target=f"loud@{game}", reason="advert")
    do(sanctions.sanction, kind="ban", target_kind="player", target=f"alice@{game}", reason="advert")
    notice = {"game": game, "name": "Alice"}
    assert listener.wait_for("players/sign-out", payload={"name": "Alice"})["payload"] == notice
    do(sanctions.sanction, kind="ban", target_kind="user", target=user.username, reason="advert")
    for client in (listener, beside):  # the sender's worker must know of the ban before the player signs out
        client.wait_for("players/sign-out", payload={"name": "Wren"})
    for name in ("Alice", "Wren", "Loud"):
        sender.request("players/sign-out", {"name": name})
    listener.wait_for("players/sign-out", payload={"name": "Loud"})
    payloads = [frame["payload"] for frame in listener.events("players/sign-out")]
    left = [payload["name"] for payload in payloads if payload["game"] == game]
    assert sorted(left) == ["Alice", "Loud", "Wren"]


def test_banned_users_who_open_the_chat_are_not_announced(network: Network, channel: Channel) -> None:
    game = network.join(worker=1)
    banned, other = network.factory.user(is_verified=True), network.factory.user(is_verified=True)
    sanction = do(sanctions.sanction, kind="ban", target_kind="user", target=banned.username, reason="advert")
    sender = network.join(players=["Alice"], worker=0, channels=[channel.name])
    do(sanctions.sanction, kind="ban", target_kind="player", target=f"Later@{sender.peer.short_name}", reason="x")  # type: ignore[attr-defined]
    until(sender, channel.name, "banned", name="Later")  # then the worker knows the earlier ban too
    for user in (banned, other):
        page = open_page(network, worker=0)
        assert page.request("authenticate", {"token": token_for(user), "channels": []})["status"] == "success"
    game.wait_for("players/sign-in", payload={"name": other.username})
    assert notices_of(game, banned.username) == []
    listed = game.request("players/status", {"game": "Grapevine"})["payload"]["players"]
    assert other.username in listed and banned.username not in listed
    answer = sender.request(
        "tells/send", {"from_name": "Alice", "to_game": "Grapevine", "to_name": banned.username, "message": "psst"}
    )
    assert answer["code"] == "player-offline"
    do(sanctions.lift, sanction_id=sanction.id, reason="over")
    game.wait_for("players/sign-in", payload={"name": banned.username})


@pytest.mark.parametrize("as_player", [False, True])
def test_a_user_banned_while_chatting_goes_offline_and_can_still_read(
    network: Network, channel: Channel, as_player: bool
) -> None:
    game = network.join(worker=1, channels=[channel.name])
    user = network.factory.user(is_verified=True)
    page = open_page(network, worker=0)
    page.request("authenticate", {"token": token_for(user), "channels": [channel.name]})
    game.wait_for("players/sign-in", payload={"name": user.username})
    target = {"target_kind": "user", "target": user.username}
    if as_player:
        target = {"target_kind": "player", "target": f"{user.username}@Grapevine"}
    do(sanctions.sanction, kind="ban", reason="advert", **target)
    game.wait_for("players/sign-out", payload={"name": user.username})
    assert user.username not in game.request("players/status", {"game": "Grapevine"})["payload"]["players"]
    assert page.request("channels/send", {"channel": channel.name, "message": "psst"})["code"] == "banned"
    say(game, channel.name, "still heard")
    page.wait_for("channels/broadcast", payload={"message": "still heard"})
    assert notices_of(game, user.username) == ["players/sign-in", "players/sign-out"]


# Owners and players


def test_a_game_does_not_receive_lines_of_players_its_owner_mutes(network: Network, channel: Channel) -> None:
    game = network.game()
    listeners = [network.join(game, players=["Mia"], channels=[channel.name], worker=number) for number in range(2)]
    other = network.join(channels=[channel.name])
    sender = network.join(players=["Spammer", "Nice"], channels=[channel.name])
    network.wait_player(game, "Mia")
    mute = do(game_mutes.add_mute, short_name=game.short_name, pattern="spam*@*")

    def is_muted() -> bool:
        tell = {"from_name": "Spammer", "to_game": game.short_name, "to_name": "Mia", "message": "hi"}
        return bool(sender.request("tells/send", tell).get("error") == "receiving player offline")

    wait_until(is_muted, what="the mute")
    wait_until(
        lambda: unheard(sender, channel, listeners, other), what="both workers hide the player's lines from the game"
    )
    say(sender, channel.name, "good day", name="Nice")
    for listener in (*listeners, other):
        listener.wait_for("channels/broadcast", payload={"message": "good day"})
    do(game_mutes.delete_mute, mute_id=mute.id)
    wait_until(lambda: not unheard(sender, channel, listeners, other), what="the mute ends")


def test_the_history_of_a_game_omits_players_its_owner_mutes(network: Network, channel: Channel) -> None:
    """A page is never empty while there is more, however many muted lines are skipped."""
    game = network.game()
    listener, other = network.join(game, channels=[channel.name]), network.join(channels=[channel.name])
    sender = network.join(players=["Spammer", "Nice"], channels=[channel.name])
    texts = ["first", *(f"buy {number}" for number in range(6)), "last"]
    for text in texts:
        name = "Spammer" if text.startswith("buy") else "Nice"
        assert say(sender, channel.name, text, name=name)["status"] == "success"

    def history(client: SocketClient, **fields: Any) -> Any:
        return client.request("channels/history", {"channel": channel.name, **fields})["payload"]

    def read(client: SocketClient, **fields: Any) -> list[str]:
        return [line["message"] for line in history(client, **fields)["messages"]]

    assert read(listener) == texts
    do(game_mutes.add_mute, short_name=game.short_name, pattern="spam*@*")
    wait_until(lambda: read(listener) == ["first", "last"], what="the mute")
    assert read(other) == texts
    page = history(listener, limit=2)
    assert [line["message"] for line in page["messages"]] == ["last"] and page["more"]
    page = history(listener, limit=2, before=page["messages"][0]["id"])
    assert [line["message"] for line in page["messages"]] == ["first"]
    page = history(listener, limit=2, after=page["messages"][0]["id"])
    assert [line["message"] for line in page["messages"]] == ["last"] and not page["more"]


_count = iter(range(10_000))


def unheard(sender: SocketClient, channel: Channel, listeners: list[SocketClient], other: SocketClient) -> bool:
    """Return whether the spammer's next line reaches the other game but none of the listeners."""
    number = next(_count)
    say(sender, channel.name, f"buy {number}", name="SPAMMER")
    other.wait_for("channels/broadcast", payload={"message": f"buy {number}"})
    say(sender, channel.name, f"mark {number}", name="Nice")
    for listener in listeners:
        listener.wait_for("channels/broadcast", payload={"message": f"mark {number}"})
    return not any(
        frame["payload"]["message"] == f"buy {number}"
        for listener in listeners
        for frame in listener.events("channels/broadcast")
    )


def test_a_user_ignores_by_tell_for_all_characters(network: Network) -> None:
    user, rude = network.factory.user(), network.factory.user()
    bob = network.join(players=["Bob", "Nobody"], worker=0)
    other = network.join(players=["Robert"], worker=1)
    pest = network.join(players=["Pest", "Imp", "Friend"], worker=1)
    for client, name in ((bob, "Bob"), (other, "Robert")):
        claim(user, client, name)
    claim(rude, pest, "Pest")
    claim(rude, pest, "Imp")
    for client, name in ((bob, "Bob"), (other, "Robert"), (pest, "Pest")):
        network.wait_player(client.peer, name)

    assert system(bob, "ignores") == "You ignore nobody."
    assert system(bob, "ignore me", name="Nobody").startswith("I do not know who you are")
    assert system(bob, f"IGNORE  pest@{pest.peer.short_name}").startswith("You ignore pest@")
    wait_until(lambda: not reaches(pest, "Pest", bob, "Bob"), what="the ignore")
    wait_until(lambda: not reaches(pest, "pEST", other, "Robert"), what="the ignore of the other character")
    assert reaches(pest, "Imp", bob, "Bob") and reaches(pest, "Friend", bob, "Bob")

    assert "all their characters" in system(other, f"ignore person Imp@{pest.peer.short_name}", name="Robert")
    wait_until(lambda: not reaches(pest, "Imp", bob, "Bob"), what="the person is ignored")
    assert reaches(pest, "Friend", bob, "Bob")
    assert f"pest@{pest.peer.short_name}" in system(bob, "ignores")
    assert system(bob, "ignore Bob@Nope").startswith("There is no game Nope: ")
    assert system(bob, f"unignore person {rude.username}").startswith("You hear")
    assert system(bob, f"unignore Pest@{pest.peer.short_name}").startswith("You hear")
    wait_until(lambda: reaches(pest, "Pest", bob, "Bob"), what="the ignore ends")


def system(client: SocketClient, message: str, name: str = "Bob") -> str:
    """Return the answer of `system` to a tell."""
    tell = {"from_name": name, "to_game": "Grapevine", "to_name": "system", "message": message}
    assert client.request("tells/send", tell)["status"] == "success"
    text = client.wait_for("tells/receive", payload={"from_game": "Grapevine"})["payload"]["message"]
    return str(text)


def reaches(sender: SocketClient, name: str, to: SocketClient, to_name: str) -> bool:
    tell = {"from_name": name, "to_game": to.peer.short_name, "to_name": to_name, "message": "psst"}
    answer = sender.request("tells/send", tell)
    if answer["status"] == "failure":
        assert answer["error"] == "receiving player offline"
        return False
    return True


# Reports


def test_a_game_reports_and_duplicate_reports_are_merged(pair: Any, channel: Channel, network: Network) -> None:
    alice, _bob = pair
    say(alice, channel.name, "buy gold")
    [line] = alice.request("channels/history", {"channel": channel.name})["payload"]["messages"]
    payload = {"game": alice.peer.short_name, "name": "alice", "message_id": line["id"], "text": "spam"}
    games = [network.join(version="2.4.0", worker=number) for number in range(2)]
    longer = {**payload, "name": f"alice@{alice.peer.short_name}"}
    answers = [client.request("reports/create", payload) for client in games]
    answers.append(games[0].request("reports/create", longer))
    assert [answer["status"] for answer in answers] == ["success"] * 3, answers
    assert len({answer["payload"]["id"] for answer in answers}) == 1
    with transaction() as session:
        report = reports.get_report(session, actors.OPERATOR, answers[0]["payload"]["id"])
        assert sorted(reporter.name for reporter in report.reporters) == sorted(g.peer.short_name for g in games)

    wrong = games[0].request("reports/create", {**payload, "name": "Bob"})
    assert (wrong["code"], wrong["error"]) == ("invalid", "this message is another player's")
    assert games[0].request("reports/create", {**payload, "message_id": 10**9})["code"] == "not-found"
    assert games[0].request("reports/create", {**payload, "game": "NoSuch"})["code"] == "not-found"
    assert games[0].request("reports/create", {**payload, "text": " "})["code"] == "invalid"
    older = network.join(version="2.3.0")
    assert older.request("reports/create", payload)["code"] == "unknown-event"


# Applications


@pytest.fixture
def moderator(network: Network) -> SocketClient:
    """Join an application with the scope, on the first worker."""
    peer = network.application()
    do_scopes(peer, ["moderate"])
    client = network.join(peer, worker=0)
    wait_until(
        lambda: client.request("moderation/lift", {"id": 10**9, "reason": "x"})["code"] == "not-found", what="the scope"
    )
    return client


def do_scopes(peer: Peer, scopes: list[str]) -> None:
    with transaction() as session:
        applications.set_scopes(session, OPERATOR, short_name=peer.short_name, scopes=scopes)


def test_an_application_can_moderate(moderator: SocketClient, pair: Any, channel: Channel, network: Network) -> None:
    alice, bob = pair
    paused = moderator.request("moderation/pause", {"channel": channel.name, "minutes": 1.0, "reason": "calm"})
    assert paused == {"event": "moderation/pause", "ref": paused["ref"], "status": "success"}
    until(bob, channel.name, "channel-paused")
    assert moderator.request("moderation/resume", {"channel": channel.name})["status"] == "success"
    until(alice, channel.name, None)
    target = {"kind": "mute", "target": f"Alice@{alice.peer.short_name}", "seconds": 60, "reason": "flooding"}
    answer = moderator.request("moderation/sanction", target)
    until(alice, channel.name, "muted")
    lifted = moderator.request("moderation/lift", {"id": answer["payload"]["id"], "reason": "fine"})
    assert lifted == {"event": "moderation/lift", "ref": lifted["ref"], "status": "success"}
    until(alice, channel.name, None)
    assert moderator.request("moderation/lift", {"id": answer["payload"]["id"], "reason": "x"})["code"] == "conflict"
    line = alice.request("channels/history", {"channel": channel.name, "limit": 1})["payload"]["messages"][0]
    assert moderator.request("moderation/redact", {"message_id": line["id"], "reason": "x"})["status"] == "success"
    left = alice.request("channels/history", {"channel": channel.name})["payload"]["messages"]
    assert line["id"] not in [message["id"] for message in left]


@pytest.mark.one_worker
def test_an_act_is_enforced_on_this_worker_before_it_is_answered(
    moderator: SocketClient, pair: Any, channel: Channel
) -> None:
    alice, _ = pair
    for kind, code in (("mute", "muted"), ("ban", "banned")):
        target = {"kind": kind, "target": f"Alice@{alice.peer.short_name}", "seconds": 60, "reason": "flooding"}
        answer = moderator.request("moderation/sanction", target)
        assert say(alice, channel.name)["code"] == code
        moderator.request("moderation/lift", {"id": answer["payload"]["id"], "reason": "fine"})
        assert say(alice, channel.name)["status"] == "success"
    moderator.request("moderation/pause", {"channel": channel.name, "reason": "calm"})
    assert say(alice, channel.name)["code"] == "channel-paused"


@pytest.mark.one_worker
def test_a_muted_player_cannot_speak_under_a_name_that_looks_like_theirs(
    moderator: SocketClient, network: Network, channel: Channel
) -> None:
    client = network.join(players=[], worker=0, channels=[channel.name])
    target = {"kind": "mute", "target": f"Bob@{client.peer.short_name}", "seconds": 60, "reason": "flooding"}
    moderator.request("moderation/sanction", target)
    for name in ("Bob", "bOB", "B\u200bob", "\uff22\uff4f\uff42", "\u0412ob", "B\u043eb", "B0b", "Bo\u200db\ufe0f"):
        assert say(client, channel.name, name=name)["code"] == "muted", ascii(name)
    for name in ("Bobo", "Rob", "B\u00f3b"):
        assert say(client, channel.name, name=name)["status"] == "success", ascii(name)
    for blank in ("\u200b", "\u3164\u2800", "\ufeff \u2060"):
        assert say(client, channel.name, name=blank)["code"] == "invalid", ascii(blank)
        assert say(client, channel.name, name="Rob", message=blank)["code"] == "invalid", ascii(blank)
    for kept in ("\U0001f469\u200d\U0001f4bb", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"):
        assert say(client, channel.name, name="Rob", message=kept)["status"] == "success", ascii(kept)


def test_acts_are_sent_to_applications_with_the_scope_only(
    moderator: SocketClient, network: Network, channel: Channel
) -> None:
    plain, game = network.join(network.application(), worker=0), network.join(worker=0)
    far = network.application()
    far_client = network.join(far, worker=1)
    do_scopes(far, ["moderate"])
    wait_until(
        lambda: far_client.request("moderation/lift", {"id": 10**9, "reason": "x"})["code"] == "not-found",
        what="a scope that is given later",
    )
    staff = network.factory.user(role="moderator")
    do(channel_states.slow_down, channel=channel.name, seconds=5, by=staff)
    for client in (moderator, far_client):
        act = client.wait_for("moderation/act", payload={"target": channel.name, "act": "channel/slow"})["payload"]
        assert (act["by"], act["role"], act["target_kind"]) == (staff.username, "moderator", "channel")
        assert act["after"]["slow_seconds"] == 5
    do_scopes(far, [])
    wait_until(
        lambda: far_client.request("moderation/lift", {"id": 1, "reason": "x"})["code"] == "missing-scope",
        what="the scope is taken away",
    )
    count = len(far_client.events("moderation/act"))
    do(channel_states.slow_down, channel=channel.name, seconds=0, by=staff)
    moderator.wait_for("moderation/act", payload={"target": channel.name, "act": "channel/slow"})
    network.flush(plain, game, far_client, moderator)
    assert plain.events("moderation/act") == game.events("moderation/act") == []
    assert len(far_client.events("moderation/act")) == count


def test_an_approved_hidden_channel_becomes_public(network: Network) -> None:
    channel = network.factory.channel(is_hidden=True)
    do(channel_states.approve, channel=channel.name)
    with transaction() as session:
        assert channels.get_channel(session, channel.name).is_hidden is False


@pytest.mark.one_worker
@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30, 1e30, -1, 0])
def test_unknown_numbers_are_not_found(moderator: SocketClient, network: Network, number: float) -> None:
    """This includes numbers that are too large for the database."""
    game = network.join(version="2.4.0", players=["Bob"])
    for client, event, payload in (
        (moderator, "moderation/lift", {"id": number, "reason": "r"}),
        (moderator, "moderation/redact", {"message_id": number, "reason": "r"}),
        (game, "reports/create", {"game": game.peer.short_name, "name": "Bob", "text": "t", "message_id": number}),
    ):
        assert client.request(event, payload)["code"] in ("not-found", "invalid"), event
