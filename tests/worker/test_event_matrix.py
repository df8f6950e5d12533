"""Who may send each event: one table, checked against the worker's routes and tried on real sockets.

An event that is missing here fails the test, so that nobody adds one without deciding who may send it.
"""

from __future__ import annotations

import pytest

from shared.db import transaction
from shared.protocol import INCOMING
from shared.services import applications
from shared.services.authority.actors import OPERATOR
from tests.support.client import SocketClient
from tests.support.network import Network
from tests.support.waiting import wait_until
from worker.routes import BROWSER_ROUTES, ROUTES

FLAGS = ("channels", "players", "tells", "games")
STRANGER, GAME, APPLICATION, SCOPED = "stranger", "game", "application", "application with scope"
EVERYBODY = frozenset([STRANGER, GAME, APPLICATION, SCOPED])
PEERS = EVERYBODY - {STRANGER}
APPLICATIONS = frozenset([APPLICATION, SCOPED])

RULES: dict[str, tuple[frozenset[str], str | None]] = {
    "authenticate": (EVERYBODY, None),
    "heartbeat": (PEERS, None),
    "channels/subscribe": (PEERS, "channels"),
    "channels/unsubscribe": (PEERS, "channels"),
    "channels/send": (PEERS, "channels"),
    "channels/history": (PEERS, "channels"),
    "players/sign-in": (PEERS, "players"),
    "players/sign-out": (PEERS, "players"),
    "players/status": (PEERS, "players"),
    "tells/send": (PEERS, "tells"),
    "games/status": (PEERS, "games"),
    "sync": (APPLICATIONS, None),
    "moderation/pause": (frozenset([SCOPED]), None),
    "moderation/resume": (frozenset([SCOPED]), None),
    "moderation/sanction": (frozenset([SCOPED]), None),
    "moderation/lift": (frozenset([SCOPED]), None),
    "moderation/redact": (frozenset([SCOPED]), None),
    "reports/create": (frozenset([GAME]), None),
}
"""Who may send an event, and the flag that the socket must have declared for it."""

OF_BROWSERS = {
    "authenticate": True,
    "heartbeat": True,
    "channels/watch": True,
    "channels/send": False,
    "channels/read": False,
    "channels/listeners": False,
    "tells/send": False,
}
"""The events of browsers, and whether a page may send them before it has authenticated."""

REFUSALS = {"unauthenticated", "not-an-application", "missing-scope", "forbidden"}


def test_every_event_has_a_rule() -> None:
    """And every rule belongs to an event."""
    assert ROUTES.keys() == RULES.keys() == INCOMING.keys()
    assert {event: route.is_anonymous for event, route in BROWSER_ROUTES.items()} == OF_BROWSERS


@pytest.fixture
def sockets(network: Network) -> dict[str, SocketClient]:
    """Join a socket of each kind of peer, with all flags."""
    scoped = network.application()
    with transaction() as session:
        applications.set_scopes(session, OPERATOR, short_name=scoped.short_name, scopes=["moderate"])
    sockets = {
        STRANGER: network.open(),
        GAME: network.join(version="2.4.0", supports=[*FLAGS]),
        APPLICATION: network.join(network.application(), version="2.4.0", supports=[*FLAGS]),
        SCOPED: network.join(scoped, version="2.4.0", supports=[*FLAGS]),
    }
    probe = {"id": 10**9, "reason": "x"}
    wait_until(lambda: sockets[SCOPED].request("moderation/lift", probe)["code"] == "not-found", what="the scope")
    return sockets


def test_each_event_is_taken_only_from_those_in_the_table(sockets: dict[str, SocketClient]) -> None:
    """If it is taken, the example may still fail for other reasons."""
    wrong = []
    for event, (senders, _flag) in RULES.items():
        if event in ("authenticate", "heartbeat"):  # the first closes the socket if it fails, the second has no answer
            continue
        for who, socket in sockets.items():
            if event == "sync" and who in senders:  # answered with frames of its own
                socket.send(event, {}, ref="state")
                socket.wait_for("sync/complete", ref="state")
                continue
            answer = socket.request(event, INCOMING[event].example)
            if (answer.get("code") not in REFUSALS) is not (who in senders):
                wrong.append((event, who, answer))
    assert wrong == []


@pytest.mark.one_worker
def test_each_event_needs_its_flag(network: Network) -> None:
    game = network.join(version="2.4.0", supports=["channels"])
    for event, (senders, flag) in RULES.items():
        if flag is not None and flag != "channels":
            answer = game.request(event, INCOMING[event].example)
            assert answer.get("error", "").startswith("missing support"), (event, answer)
            assert GAME in senders
