"""Check a real conversation against the AsyncAPI document. It sends every example and receives every kind of frame.

The pages under `/docs/protocol` and the document show the same examples.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from shared.db import transaction, utc_now
from shared.models import Game, Message, UserAgent
from shared.models.credentials import secret_digest
from shared.protocol import INCOMING, OUTGOING
from shared.protocol.catalogue import Kind, frame_kinds
from shared.services import applications, channels, games
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.support.asyncapi import Described
from tests.support.client import Frame, SocketClient
from tests.support.factory import edit_game
from tests.support.network import ALL_FLAGS, Network, Peer
from tests.support.one_worker import network_of_this_test
from tests.support.processes import ROOT, clean_environment
from tests.worker.conftest import running_network
from tests.worker.test_unasked import FAILURES
from worker.routes import ROUTES, Replies

EXAMPLES = {kind.name: kind.example for kind in frame_kinds()}
# A player's second tell fails with `retry_after_ms`.
SETTINGS = {"RATE_LIMITS": "on", "LIMITS": "tells/send:player=1/0.01", "OFFLINE_SECONDS": "0.5"}


@pytest.fixture(scope="module")
def _own_network(processes: None, tmp_path_factory, _migrated_sqlite) -> Iterator[Network]:
    with running_network(tmp_path_factory.mktemp("network"), _migrated_sqlite, 1, **SETTINGS) as network:
        yield network


@pytest.fixture
def network(_own_network) -> Iterator[Network]:
    yield from network_of_this_test(_own_network)


class Conversation:
    """Sends examples, and checks all frames against the document."""

    def __init__(self) -> None:
        self.described = Described()
        self.clients: list[SocketClient] = []
        self.sent: set[str] = set()

    def watch(self, client: SocketClient) -> SocketClient:
        """Check all frames that this socket receives when `check_kinds` is called."""
        self.clients.append(client)
        return client

    def send(self, client: SocketClient, event: str) -> Frame:
        """Send a request's example unchanged, and return it."""
        frame = EXAMPLES[f"{event.replace('/', '-')}.request"]
        assert self.described.name(frame, from_peer=True) == f"{event.replace('/', '-')}.request"
        client.send_text(json.dumps(frame))
        self.sent.add(event)
        return frame

    def request(self, client: SocketClient, event: str) -> Frame:
        """Send a request's example, and return its answer, which must be a success."""
        ref = self.send(client, event)["ref"]
        answer = client.wait_for(event, ref=ref)
        assert self.described.name(answer) == f"{event.replace('/', '-')}.success", answer
        return answer

    def check_kinds(self) -> set[str]:
        """Check all received frames, and return their kinds."""
        return {self.described.name(frame) for client in self.clients for frame in client.frames}


def example_game(network: Network) -> Peer:
    """Create the game of the examples, with the credentials that they show."""
    status, credentials = EXAMPLES["games-status.success"]["payload"], EXAMPLES["authenticate.request"]["payload"]
    created = network.factory.game(
        status["game"],
        owner=network._owner,
        name=status["display_name"],
        description=status["description"],
        homepage_url=status["homepage_url"],
    )
    with transaction() as session:
        game = session.get_one(Game, created.id)
        game.client_id = credentials["client_id"]
        game.client_secret_digest = secret_digest(credentials["client_secret"])
        session.add(UserAgent(name=credentials["user_agent"], repository_url=status["user_agent_url"]))
        for way in status["connections"]:
            games.add_connection(session, actors.of_user(session, network._owner.id), short_name=game.short_name, **way)
    return Peer(status["game"], credentials["client_id"], credentials["client_secret"], f"game:{created.id}")


def example_sender(network: Network) -> Peer:
    """Create the game that sends the tell in the examples."""
    name = EXAMPLES["tells-receive.event"]["payload"]["from_game"]
    game, credentials = network.factory.game_with_credentials(name, owner=network._owner)
    return Peer(name, credentials.client_id, credentials.client_secret, f"game:{game.id}")


def payload_of(event: str) -> dict[str, Any]:
    """Return the payload in the example of an event that the worker sends."""
    return EXAMPLES[f"{event.replace('/', '-')}.event"]["payload"]


def test_each_example_is_answered_and_each_event_is_sent(network: Network) -> None:
    """The worker sends everything that it can send, exactly as in the examples where possible."""
    talk = Conversation()
    network.factory.channel("gossip", is_hidden=False)
    game = example_game(network)
    moderator = network.application()
    with transaction() as session:
        applications.set_scopes(session, OPERATOR, short_name=moderator.short_name, scopes=["moderate"])
    application = talk.watch(network.join(moderator))
    other = talk.watch(network.join(example_sender(network), players=["Alice"], channels=["gossip"], version="2.3.0"))
    newer = talk.watch(network.join(network.game(), channels=["gossip"], version="2.4.0"))
    assert "reset" not in application.wait_for("sync/complete")["payload"]

    # Core
    client = talk.watch(network.open(answers_heartbeats=False))
    talk.send(client, "authenticate")
    assert client.wait_for("authenticate") == EXAMPLES["authenticate.success"]
    assert client.wait_for("heartbeat") == EXAMPLES["heartbeat.event"]
    assert other.wait_for("games/connect", payload={"game": "ExVenture"})["payload"] == payload_of("games/connect")

    # Players
    talk.request(client, "players/sign-in")
    assert other.wait_for("players/sign-in")["payload"] == payload_of("players/sign-in")
    talk.send(client, "heartbeat")
    network.wait_player(game, "Bob")
    assert talk.request(other, "players/status")["payload"] == EXAMPLES["players-status.success"]["payload"]

    # Games
    expected = EXAMPLES["games-status.success"]["payload"]
    network.wait_game(game, lambda payload: payload.get("user_agent_url") and payload["players_online_count"] == 2)
    status = talk.request(other, "games/status")["payload"]
    status["connections"].sort(key=lambda way: expected["connections"].index(way))
    assert status == expected

    # Channels
    for subscriber in (client, other, newer):
        talk.request(subscriber, "channels/subscribe")
    talk.request(client, "channels/send")
    old, new = payload_of("channels/broadcast"), OUTGOING["channels/broadcast"].further_examples[0]
    assert other.wait_for("channels/broadcast")["payload"] == old
    line = newer.wait_for("channels/broadcast")["payload"]
    assert line == {**new, "id": line["id"], "sent_at": line["sent_at"]}
    history = talk.request(newer, "channels/history")["payload"]
    assert history == {
        "channel": "gossip",
        "messages": [{k: v for k, v in line.items() if k != "channel"}],
        "more": False,
    }

    # Tells
    talk.request(other, "tells/send")
    assert client.wait_for("tells/receive")["payload"] == payload_of("tells/receive")
    other.send("tells/send", EXAMPLES["tells-send.request"]["payload"], ref=1)
    assert talk.described.name(failure := other.wait_for("tells/send", ref=1)) == "tells-send.failure"
    assert (failure["code"], type(failure["retry_after_ms"])) == ("rate-limited", int)

    # Sync: on request, and each change
    ref = talk.send(application, "sync")["ref"]
    assert "digests" in application.wait_for("sync/complete", ref=ref)["payload"]
    with transaction() as session:
        channel = channels.create_channel(session, OPERATOR, name="briefly")
        edit_game(session, "ExVenture", actor=actors.of_user(session, network._owner.id), description="Another one")
    creation = change(application, "channels", lambda payload: payload["channels"][0]["name"] == channel.name)
    change(application, "games", lambda payload: payload["games"][0]["description"] == "Another one")
    with transaction() as session:
        channels.delete_channel(session, OPERATOR, name=channel.name)
    change(application, "channels", lambda payload: payload.get("deleted") == [creation["channels"][0]["id"]])

    # Moderation
    with transaction() as session:
        session.add(example_message(session, game))
    talk.request(newer, "reports/create")
    for event in ("pause", "resume", "sanction", "lift", "redact"):
        talk.request(application, f"moderation/{event}")
        act = application.wait_for("moderation/act", payload={"by": moderator.short_name})["payload"]
        assert act["role"] == "application"

    # Ends
    talk.request(client, "players/sign-out")
    assert other.wait_for("players/sign-out")["payload"] == payload_of("players/sign-out")
    talk.request(client, "channels/unsubscribe")
    client.send_text("this is not JSON")
    error = client.wait_for("error")
    assert error == {**EXAMPLES["error.event"], "ref": error["ref"]}
    downtime = payload_of("restart")["downtime"]
    announce_restart(network, downtime)
    for listener in talk.clients:
        assert downtime <= listener.wait_for("restart")["payload"]["downtime"] <= downtime + 5
    client.drop()
    left = other.wait_for("games/disconnect", payload={"game": "ExVenture"})
    assert left["payload"] == payload_of("games/disconnect")

    kinds = talk.check_kinds()
    assert talk.sent == set(INCOMING)
    assert {name.rpartition(".")[0] for name in kinds} >= {event.replace("/", "-") for event in OUTGOING}
    assert kinds >= {kind.name for kind in frame_kinds() if kind.kind in (Kind.SUCCESS, Kind.EVENT)}


def example_message(session: Session, game: Peer) -> Message:
    """Return the message of the examples of moderation."""
    report = EXAMPLES["reports-create.request"]["payload"]
    return Message(
        id=report["message_id"],
        channel_id=channels.get_channel(session, "gossip").id,
        peer=game.key,
        game=report["game"],
        name=report["name"],
        text="hello",
        worker="none",
        sent_at=utc_now(),
    )


def change(application: SocketClient, kind: str, matches: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the payload of the next matching change of a kind. Skips frames of a whole state, which have no cursor."""
    while True:
        payload: dict[str, Any] = application.wait_for(f"sync/{kind}")["payload"]
        if "cursor" in payload and matches(payload):
            return payload


def announce_restart(network: Network, downtime: int) -> None:
    environment: dict[str, str] = network.environment  # type: ignore[attr-defined]
    subprocess.run(
        [sys.executable, "-m", "flask", "network", "restart-notice", "--downtime", str(downtime)],
        cwd=ROOT,
        env=clean_environment(**environment),
        check=True,
        capture_output=True,
        timeout=60,
    )


def test_every_failure_is_described(network: Network) -> None:
    """The failures of every event match the document, with a code that it lists for the event."""
    talk = Conversation()
    talkers: dict[tuple[str, ...], SocketClient] = {}
    failed = set()
    for code, supports, event, payload, times in FAILURES:
        if times > 1 or event not in INCOMING:
            continue
        client = talkers.get(tuple(supports))
        if client is None:
            client = talk.watch(network.join(supports=supports, channels=["gossip"], players=["Alice"]))
            talkers[tuple(supports)] = client
        answer = client.request(event, payload)
        assert answer["code"] == code
        assert talk.described.name(answer) == f"{event.replace('/', '-')}.failure"
        failed.add(event)

    fresh = talk.watch(network.open())
    early = fresh.request("channels/send", EXAMPLES["channels-send.request"]["payload"])
    assert (talk.described.name(early), early["code"]) == ("channels-send.failure", "unauthenticated")
    fresh.send("authenticate", {"client_id": "x", "client_secret": "y", "supports": ALL_FLAGS})
    refused = fresh.wait_for("authenticate")
    assert (talk.described.name(refused), refused["code"]) == ("authenticate.failure", "invalid-credentials")
    failed.add("authenticate")

    assert failed == {event for event, cls in INCOMING.items() if cls.is_answered}
    talk.check_kinds()


def test_the_classes_match_the_routes() -> None:
    """The protocol's classes agree with the worker on what is answered, and on what is for applications only."""
    for event, route in ROUTES.items():
        cls = INCOMING[event]
        assert cls.is_answered is (route.replies is not Replies.NEVER)
        assert (cls.flag in ("sync", "moderation")) is route.application
        assert (route.flag or cls.flag) == cls.flag
