"""Channels over real sockets, of one worker and of two (docs/protocol.md, §4, §11), and their history (2.4.0)."""

from __future__ import annotations

import uuid

import pytest

from shared import db
from shared.services import channels
from shared.services.authority.actors import OPERATOR
from tests.support.network import Network
from tests.support.waiting import wait_until

CHANNELS = ["channels"]


@pytest.fixture
def channel(network: Network):
    """Return the name of a channel that only this test uses, known to every worker."""
    return network.factory.channel().name


def say(client, channel, message, name="Alice"):
    return client.request("channels/send", {"channel": channel, "name": name, "message": message})


def received(client):
    return [frame["payload"]["message"] for frame in client.events("channels/broadcast")]


def fresh_name():
    return "f-" + "".join(chr(97 + int(digit, 16)) for digit in uuid.uuid4().hex[:12])


def subscribe_everywhere(network, clients, channel):
    for client in clients:
        assert client.request("channels/subscribe", {"channel": channel})["status"] == "success"


def test_a_message_reaches_every_other_subscriber(network, channel):
    sender, receiver, stranger = network.join(), network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], channel)
    answer = say(sender, channel, "Hello, world!")
    assert answer == {"event": "channels/send", "ref": answer["ref"], "status": "success"}
    frame = receiver.wait_for("channels/broadcast")
    assert uuid.UUID(frame.pop("ref"))
    assert frame == {
        "event": "channels/broadcast",
        "payload": {
            "channel": channel,
            "message": "Hello, world!",
            "game": sender.peer.short_name,
            "name": "Alice",
        },
    }
    network.flush(stranger, sender)
    assert [text for text in received(stranger) + received(sender) if text == "Hello, world!"] == []


def test_outer_spaces_are_kept_and_blank_messages_refused(network, channel):
    """Drawings begin with spaces. A blank text is not a message."""
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], channel)
    for blank in ("   ", "\n\n\n"):
        answer = say(sender, channel, blank)
        assert (answer["status"], answer["code"]) == ("failure", "invalid") and '"message"' in answer["error"]
    assert say(sender, channel, "   /\\ ")["status"] == "success"
    assert receiver.wait_for("channels/broadcast")["payload"]["message"] == "   /\\ "


def test_a_player_name_may_end_with_the_games_own_name(network, channel):
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], channel)
    for name in (f"Alice@{sender.peer.short_name}", "Bob@Elsewhere"):
        assert say(sender, channel, "hi", name=name)["status"] == "success"
    network.flush(receiver)
    speakers = [frame["payload"]["name"] for frame in receiver.events("channels/broadcast")]
    assert speakers[:2] == ["Alice", "Bob@Elsewhere"]


def test_the_senders_sockets_do_not_receive_its_message(network, channel):
    """The game has several subscribed sockets, on every worker."""
    first = network.join(worker=0)
    second, third = network.join(first.peer, worker=1), network.join(first.peer, worker=0)
    other = network.join()
    subscribe_everywhere(network, [first, second, third, other], channel)
    say(first, channel, "from one")
    other.wait_for("channels/broadcast", payload={"message": "from one"})
    network.flush(first, second, third)
    for socket in (first, second, third):
        assert "from one" not in received(socket)


def test_the_messages_of_one_sender_arrive_in_their_order(network, channel):
    sender, receivers = network.join(worker=0), [network.join(worker=number) for number in (0, 1, 1)]
    subscribe_everywhere(network, [sender, *receivers], channel)
    for number in range(200):
        sender.send("channels/send", {"channel": channel, "name": "Alice", "message": f"line {number}"}, ref=number + 1)
    sender.wait_for("channels/send", ref=200, seconds=10)
    assert [frame["ref"] for frame in sender.events("channels/send")] == list(range(1, 201))
    for receiver in receivers:
        receiver.wait_for("channels/broadcast", payload={"message": "line 199"}, seconds=10)
        assert received(receiver) == [f"line {number}" for number in range(200)]


def test_subscribing_twice_succeeds_and_delivers_once(network, channel):
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver, receiver], channel)
    say(sender, channel, "once")
    receiver.wait_for("channels/broadcast", payload={"message": "once"})
    network.flush(receiver)
    assert received(receiver).count("once") == 1


def test_unsubscribing_ends_delivery_and_always_succeeds(network, channel):
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], channel)
    for name in (channel, channel, "never-heard-of", "no good", ""):
        answer = receiver.request("channels/unsubscribe", {"channel": name})
        assert answer == {"event": "channels/unsubscribe", "ref": answer["ref"], "status": "success"}
    say(sender, channel, "into the void")
    network.flush(receiver)
    assert "into the void" not in received(receiver)
    failure = say(receiver, channel, "no more")
    assert (failure["status"], failure["code"], failure["error"]) == (
        "failure",
        "not-subscribed",
        f"not subscribed to '{channel}'",
    )


def test_subscribing_to_a_new_name_creates_a_hidden_channel(network):
    name = fresh_name()
    first, second = network.join(worker=0), network.join(worker=1)
    subscribe_everywhere(network, [first, second], name)
    with db.reading() as session:
        created = channels.get_channel(session, name)
    assert created.is_hidden and created.made_by == first.peer.short_name
    say(first, name, "it works at once")
    second.wait_for("channels/broadcast", payload={"channel": name, "message": "it works at once"})


def test_several_sockets_may_create_one_channel_at_once(network):
    name = fresh_name()
    clients = [network.join(worker=number) for number in range(6)]
    for number, client in enumerate(clients):
        client.send("channels/subscribe", {"channel": name if number % 2 else name.upper()}, ref="r")
    for client in clients:
        assert client.wait_for("channels/subscribe", ref="r")["status"] == "success"
    with db.reading() as session:
        assert [c.name.lower() for c in channels.list_channels(session)].count(name) == 1
    say(clients[0], name, "to all")
    for client in clients[1:]:
        client.wait_for("channels/broadcast", payload={"message": "to all"})


@pytest.mark.in_process
@pytest.mark.parametrize("name", ["", "ab", "x" * 16, "no good", "digit7", "ALL", "all", "chän", "a\tb\tc", "nul\0nul"])
def test_an_invalid_name_is_refused_and_creates_nothing(network, name):
    client = network.join()
    answer = client.request("channels/subscribe", {"channel": name})
    assert (answer["status"], answer["code"]) == ("failure", "channel-refused")
    assert answer["error"] == f"Could not subscribe to '{name}'"
    assert "payload" not in answer
    with db.reading() as session:
        assert channels.find_channel(session, name) is None if "\0" not in name else True


def test_only_subscribing_creates_a_channel(network):
    name = fresh_name()
    client = network.join()
    assert say(client, name, "anyone?")["code"] == "not-subscribed"
    client.request("channels/unsubscribe", {"channel": name})
    assert client.request("channels/history", {"channel": name})["code"] == "not-subscribed"
    with db.reading() as session:
        assert channels.find_channel(session, name) is None


def test_names_ignore_case_and_frames_use_the_channels_spelling(network):
    name = network.factory.channel("Sp-" + fresh_name()[2:8].upper()).name
    sender, receiver = network.join(), network.join()
    assert sender.request("channels/subscribe", {"channel": name.lower()})["status"] == "success"
    assert receiver.request("channels/subscribe", {"channel": name.upper()})["status"] == "success"
    assert say(sender, name.swapcase(), "any case")["status"] == "success"
    frame = receiver.wait_for("channels/broadcast", payload={"message": "any case"})
    assert frame["payload"]["channel"] == name
    receiver.request("channels/unsubscribe", {"channel": name.lower()})
    say(sender, name, "gone")
    network.flush(receiver)
    assert "gone" not in received(receiver)


def test_names_and_messages_are_cleaned(network, channel):
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], channel)
    for sent, expected in [
        ("<b>bold</b> and \x1b[31mred\x1b[0m", "bold and red"),
        ("I <3 this, 1 < 2", "I <3 this, 1 < 2"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("a\x00b\x07c\u202ed", "abcd"),
        ("<!EL x>plain</a>", "plain"),
        ("żółw ☃ 🐢", "żółw ☃ 🐢"),
    ]:
        assert say(sender, channel, sent, name="<i>Ali\x1b[1mce</i>")["status"] == "success"
        payload = receiver.wait_for("channels/broadcast")["payload"]
        assert (payload["message"], payload["name"]) == (expected, "Alice")


@pytest.mark.in_process
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"message": ""}, "message"),
        ({"message": "<b></b>\x1b[0m"}, "message"),
        ({"message": "x" * 4001}, "message"),
        ({"message": None}, "message"),
        ({"message": 5}, "message"),
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": ["Alice"]}, "name"),
        ({"channel": None}, "channel"),
        ({"channel": 7}, "channel"),
        ({"message": "half \ud800"}, "message"),
        ({"name": "half \udfff"}, "name"),
    ],
)
def test_the_error_for_a_malformed_message_names_the_field(network, channel, change, field):
    sender = network.join()
    subscribe_everywhere(network, [sender], channel)
    answer = sender.request("channels/send", {"channel": channel, "name": "A", "message": "hi", **change})
    assert (answer["status"], answer["code"]) == ("failure", "invalid")
    assert f'"{field}"' in answer["error"]
    assert say(sender, channel, "hi")["status"] == "success"


def test_the_longest_name_and_message_are_delivered(network, channel):
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], channel)
    say(sender, channel, "x" * 4000, name="n" * 60)
    assert receiver.wait_for("channels/broadcast")["payload"]["message"] == "x" * 4000


def test_requests_without_a_ref_get_no_answer(network, channel):
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], channel)
    for payload in ({"channel": channel, "name": "A", "message": "quiet"}, {"channel": channel}, None, [], "x"):
        sender.send("channels/send", payload)
    sender.send("channels/subscribe", {"channel": "no good"})
    sender.send("channels/send", {"channel": "never-heard-of", "name": "A", "message": "x"})
    receiver.wait_for("channels/broadcast", payload={"message": "quiet"})
    sender.settle()
    assert sender.events("channels/send") == sender.events("error") == []


def test_deleting_a_channel_unsubscribes_silently(network):
    """Sending then fails as not subscribed. A later channel with the same name is a different one."""
    name = network.factory.channel("gone-" + fresh_name()[2:9]).name
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], name)
    with db.transaction() as session:
        channels.delete_channel(session, OPERATOR, name=name)
    wait_until(lambda: say(sender, name, "still?")["status"] == "failure", what="the channel is gone")
    failure = say(sender, name, "still?")
    assert (failure["code"], failure["error"]) == ("not-subscribed", f"not subscribed to '{name}'")
    assert {frame["event"] for frame in receiver.settle()} <= {"heartbeat", "channels/broadcast"}
    network.factory.channel(name)
    third = network.join()
    assert third.request("channels/subscribe", {"channel": name})["status"] == "success"
    say(third, name, "in the new one")
    network.flush(receiver)
    assert "in the new one" not in received(receiver)


def test_a_renamed_channel_keeps_its_subscribers(network):
    old, new = "o-" + fresh_name()[2:], "n-" + fresh_name()[2:]
    network.factory.channel(old)
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], old)
    with db.transaction() as session:
        channels.update_channel(session, OPERATOR, name=old, new_name=new)
    wait_until(lambda: say(sender, new, "renamed")["status"] == "success", what="the new name is known")
    assert receiver.wait_for("channels/broadcast", payload={"message": "renamed"})["payload"]["channel"] == new


def test_a_hidden_channel_works_like_any_other(network):
    name = network.factory.channel(fresh_name(), is_hidden=True).name
    sender, receiver = network.join(), network.join()
    subscribe_everywhere(network, [sender, receiver], name)
    say(sender, name, "in secret")
    receiver.wait_for("channels/broadcast", payload={"message": "in secret"})


# Applications


def test_an_application_receives_and_may_send_on_every_channel(network, channel):
    """This includes hidden and new channels, without subscribing."""
    application = network.application()
    replica = network.open()
    replica.authenticate(application.client_id, application.client_secret, sync=False)
    game = network.join()
    fresh = fresh_name()
    subscribe_everywhere(network, [game], channel)
    subscribe_everywhere(network, [game], fresh)
    for name in (channel, fresh):
        say(game, name, f"on {name}")
        replica.wait_for("channels/broadcast", payload={"channel": name, "message": f"on {name}"})
    for name in (channel, fresh):
        wait_until(
            lambda name=name: say(replica, name, f"from it to {name}")["status"] == "success", what="it may send"
        )
        frame = game.wait_for("channels/broadcast", payload={"message": f"from it to {name}"})
        assert frame["payload"]["game"] == application.short_name
    assert say(replica, "never-heard-of", "x")["code"] == "not-subscribed"
    replica.settle()
    assert not any(text.startswith("from it") for text in received(replica))


def test_an_application_that_unsubscribes_still_receives_lines(network, channel):
    application = network.application()
    replica, second = network.open(), network.open()
    for socket in (replica, second):
        socket.authenticate(application.client_id, application.client_secret, sync=False, channels=[channel])
    assert replica.request("channels/unsubscribe", {"channel": channel})["status"] == "success"
    game = network.join()
    subscribe_everywhere(network, [game], channel)
    say(game, channel, "loud")
    for socket in (replica, second):
        socket.wait_for("channels/broadcast", payload={"message": "loud"})
    say(replica, channel, "own")
    game.wait_for("channels/broadcast", payload={"message": "own"})
    second.settle()
    assert received(second) == ["loud"]


# History (2.4.0)


def test_broadcasts_have_an_id_since_version_2_4_0(network, channel):
    sender, old, new = network.join(), network.join(version="2.3.0"), network.join(version="2.4.0")
    subscribe_everywhere(network, [sender, old, new], channel)
    say(sender, channel, "dated")
    assert set(old.wait_for("channels/broadcast")["payload"]) == {"channel", "message", "game", "name"}
    payload = new.wait_for("channels/broadcast")["payload"]
    assert set(payload) == {"channel", "message", "game", "name", "id", "sent_at"}
    assert len(payload["sent_at"]) == 20 and payload["sent_at"].endswith("Z")
    page = new.request("channels/history", {"channel": channel})
    assert page["status"] == "success"
    assert page["payload"] == {
        "channel": channel,
        "messages": [
            {
                "id": payload["id"],
                "sent_at": payload["sent_at"],
                "game": sender.peer.short_name,
                "name": "Alice",
                "message": "dated",
            }
        ],
        "more": False,
    }


def test_the_history_is_read_in_pages(network, channel):
    sender = network.join()
    subscribe_everywhere(network, [sender], channel)
    for letter in "abcdef":
        say(sender, channel, letter)

    def page(**where):
        payload = sender.request("channels/history", {"channel": channel.upper(), **where})["payload"]
        assert payload["channel"] == channel
        return [message["message"] for message in payload["messages"]], payload["more"], payload["messages"]

    texts, more, messages = page()
    ids = [message["id"] for message in messages]
    assert (texts, more) == (list("abcdef"), False)
    assert ids == sorted(ids)
    assert page(limit=2)[:2] == (["e", "f"], True)
    assert page(before=ids[2])[:2] == (["a", "b"], False)
    assert page(before=ids[4], limit=2.0)[:2] == (["c", "d"], True)
    assert page(after=ids[1], limit=3)[:2] == (["c", "d", "e"], True)
    assert page(after=ids[5])[:2] == ([], False)
    assert page(after=10**30)[:2] == ([], False)
    assert page(before=-(10**30))[:2] == ([], False)


@pytest.mark.in_process
@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"before": 1, "after": 1}, "before"),
        ({"before": "x"}, "before"),
        ({"after": 1.5}, "after"),
        ({"channel": None}, "channel"),
    ],
)
def test_a_malformed_request_for_history_fails(network, channel, payload, field):
    client = network.join()
    subscribe_everywhere(network, [client], channel)
    answer = client.request("channels/history", {"channel": channel, **payload})
    assert (answer["status"], answer["code"]) == ("failure", "invalid") and f'"{field}"' in answer["error"]


def test_only_subscribers_read_the_history(network, channel):
    client, other = network.join(), network.join()
    subscribe_everywhere(network, [other], channel)
    say(other, channel, "private")
    answer = client.request("channels/history", {"channel": channel})
    assert (answer["status"], answer["code"]) == ("failure", "not-subscribed")
    application = network.application()
    replica = network.open()
    replica.authenticate(application.client_id, application.client_secret, sync=False)
    assert replica.request("channels/history", {"channel": channel})["payload"]["messages"]
    client.send("channels/history", {"channel": channel})
    assert client.settle() == [] or client.events("channels/history") == [answer]


@pytest.mark.one_worker
def test_acknowledged_lines_are_stored(network, channel):
    """It is stored even if the worker that received it is killed immediately afterwards."""
    sender = network.join()
    subscribe_everywhere(network, [sender], channel)
    say(sender, channel, "kept")
    from shared.services import history

    with db.reading() as session:
        lines, _ = history.channel_page(session, channels.get_channel(session, channel).id)
    assert [(message.text, message.peer, message.name) for message in lines] == [("kept", sender.peer.key, "Alice")]
