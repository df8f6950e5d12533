"""Lines pass between a channel of a real Evennia game and a second game. `make test-evennia` runs this."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.evennia.game import PASSWORD, SUPERUSER, EvenniaGame, Telnet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PROGRAMS = os.environ.get("EVENNIA_PROGRAMS", "")


@pytest.mark.skipif(not PROGRAMS, reason="Evennia has an environment of its own: make test-evennia")
def test_a_line_goes_out_and_one_comes_back(worker, stored, connect, tmp_path):
    """Evennia's own client, with only its address changed."""
    stored.channel("gossip")
    _, credentials = stored.game_with_credentials("Realm", name="An Evennia Realm")
    _, others = stored.game_with_credentials("Other")
    realm = EvenniaGame(
        Path(PROGRAMS),
        tmp_path,
        url=worker.url,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
    )
    try:
        realm.start()
        realm.wait_until_set_up()
        player = Telnet(realm.port)
        player.insist(f"connect {SUPERUSER} {PASSWORD}", "Limbo")
        player.insist("grapevine2chan public = gossip", "connection created")
        # Not earlier: a socket that nobody reads answers no heartbeat, and the steps above can take minutes.
        other = connect(seconds=30)
        other.authenticate(others.client_id, others.client_secret, channels=["gossip"])
        received = _say_until_received(player, other, "Hello from Evennia <3")
        print("the second game got:", received)
        assert received["game"] == "Realm"
        assert received["message"] == "Hello from Evennia <3"

        other.send("channels/send", {"channel": "gossip", "name": "Odo", "message": "Hello back from the other game"})
        shown = player.wait_for("Hello back from the other game")
        print("the player in Evennia sees:", shown)
        assert "Odo" in shown
    finally:
        print(realm.describe())
        realm.stop()


def _say_until_received(player: Telnet, other, text: str):
    """Repeat a line until it arrives: the bot needs a moment to connect, and earlier lines stay in the game."""
    for _ in range(30):
        player.say(f"public {text}")
        try:
            return other.wait_for("channels/broadcast", seconds=2)["payload"]
        except AssertionError:
            continue
    raise AssertionError(f"the second game received nothing; the player saw:\n{player.text}")
