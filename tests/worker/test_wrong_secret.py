"""The owner of a game sees attempts with a wrong secret. The client that tries learns nothing."""

from __future__ import annotations

import uuid

import redis

from shared import diagnostics
from tests.support.network import Network
from tests.support.waiting import wait_until


def test_the_owner_sees_an_attempt_with_a_wrong_secret(network: Network) -> None:
    game, application = network.game(), network.application()
    answers = []
    for client_id in (game.client_id, application.client_id, str(uuid.uuid4())):
        client = network.open()
        client.authenticate(client_id, str(uuid.uuid4()), check=False)
        answer = next(frame for frame in client.frames if frame["event"] == "authenticate")
        answers.append({name: value for name, value in answer.items() if name != "ref"})
        assert client.wait_closed() == 4000
    assert answers[0] == answers[1] == answers[2]
    with redis.Redis.from_url(network.valkey.url) as connection:
        for peer in (game, application):
            (refusal,) = wait_until(lambda peer=peer: diagnostics.read(connection, peer.key).refusals)
            assert refusal.code == "invalid-credentials" and "secret" in refusal.expected
            assert peer.client_id not in refusal.frame
