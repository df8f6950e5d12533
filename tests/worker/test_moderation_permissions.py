"""Permissions on the socket: every kind of peer tries every event of moderation."""

from __future__ import annotations

import pytest

from shared.db import transaction
from shared.protocol import INCOMING
from shared.services import applications
from shared.services.authority.actors import OPERATOR
from shared.services.authority.permissions import RULES, Act
from tests.support.client import SocketClient
from tests.support.network import Network
from tests.support.permissions import ON_THE_SOCKET, may
from tests.support.waiting import wait_until
from worker.routes import ROUTES

OF_MODERATION = sorted(
    event for event in INCOMING if event.partition("/")[0] in ("moderation", "reports") or ROUTES[event].act is not None
)
REFUSALS = {"not-an-application", "missing-scope", "forbidden"}


def test_every_event_of_moderation_has_a_rule() -> None:
    """An event without an act, or with an act that the table does not know, fails this test."""
    assert OF_MODERATION
    assert [event for event in OF_MODERATION if ROUTES[event].act not in RULES] == []
    assert set(RULES) == set(Act)


@pytest.fixture
def sockets(network: Network) -> dict[str, SocketClient]:
    """Join a socket of each kind of peer."""
    scoped = network.application()
    with transaction() as session:
        applications.set_scopes(session, OPERATOR, short_name=scoped.short_name, scopes=["moderate"])
    sockets_by_kind = {
        "game": network.join(version="2.4.0"),
        "application": network.join(network.application(), version="2.4.0"),
        "application with scope": network.join(scoped, version="2.4.0"),
    }
    probe = {"id": 10**9, "reason": "x"}
    wait_until(
        lambda: sockets_by_kind["application with scope"].request("moderation/lift", probe)["code"] == "not-found",
        what="the scope",
    )
    return sockets_by_kind


def test_each_actor_is_allowed_or_refused_as_the_table_says(sockets: dict[str, SocketClient]) -> None:
    """If it is allowed, the example may still fail for other reasons."""
    for event in OF_MODERATION:
        act = ROUTES[event].act
        assert act is not None
        for who in ON_THE_SOCKET:
            answer = sockets[who].request(event, INCOMING[event].example)
            assert (answer.get("code") not in REFUSALS) is may(who, act), (event, who, answer)


def test_refusals_say_what_is_missing(sockets: dict[str, SocketClient]) -> None:
    payload = INCOMING["moderation/pause"].example
    assert sockets["game"].request("moderation/pause", payload)["error"] == "not an application"
    answer = sockets["application"].request("moderation/pause", payload)
    assert (answer["error"], answer["code"]) == ('missing scope "moderate"', "missing-scope")
