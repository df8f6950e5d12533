"""A line said on an Evennia channel arrives at a second game, and one comes back. Run by `make test-evennia`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.evennia.game import PASSWORD, SUPERUSER, EvenniaGame, Telnet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAMS = os.environ.get("EVENNIA_PROGRAMS", "")


@pytest.mark.skipif(not PROGRAMS, reason="Evennia has an environment of its own: make test-evennia")
def test_a_line_goes_out_and_one_comes_back(worker, stored, connect, tmp_path):
    """Evennia's own client, with only its address changed."""
    stored.channel("gossip")
    _, credentials = stored.game_with_credentials("Realm", name="An Evennia Realm")
    _, others = stored.game_with_credentials("Other")
    other = connect(seconds=30)
    other.authenticate(others.client_id, others.client_secret, channels=["gossip"])
    realm = EvenniaGame(
        Path(PROGRAMS),
        tmp_path,
        url=worker.url,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
    )
    realm.start()
    try:
        realm.wait_until_set_up()
        player = Telnet(realm.port)
        player.insist(f"connect {SUPERUSER} {PASSWORD}", "Limbo")
        player.insist("grapevine2chan public = gossip", "connection created")
        other_heard = _say_until_heard(player, other, "Hello from Evennia <3")
        print("the second game got:", other_heard)
        assert other_heard["game"] == "Realm"
        assert other_heard["message"] == "Hello from Evennia <3"

        other.send("channels/send", {"channel": "gossip", "name": "Odo", "message": "Hello back from the other game"})
        shown = player.wait_for("Hello back from the other game")
        print("the player in Evennia sees:", shown)
        assert "Odo" in shown
    finally:
        realm.stop()
        print(realm.logs()[-2000:])


def _say_until_heard(player: Telnet, other, text: str):
    """The bot takes a moment to connect; what is said on the channel before then stays in the game."""
    for _ in range(30):
        player.say(f"public {text}")
        try:
            return other.wait_for("channels/broadcast", seconds=2)["payload"]
        except AssertionError:
            continue
    raise AssertionError(f"the second game heard nothing; the player saw:\n{player.text}")
