"""The view of who is online; with the core alone."""

from __future__ import annotations

from driver import Driver


def test_the_view_follows_notices_and_answers():
    driver = Driver(supports=["players", "games"], keeps_view=True)
    driver.open()
    games, _, players, _ = frames = driver.sent()
    driver.server_sends("games/status", {"game": "One", "display_name": "The One"}, ref=games["ref"])
    driver.server_sends("players/status", {"game": "One", "players": ["Ann"]}, ref=players["ref"])
    for sentinel in frames[1::2]:
        driver.server_sends(sentinel["event"], {"game": "Grapevine", "players": []}, ref=sentinel["ref"])
    view = driver.core.view
    assert [game.display_name for game in view.games()] == ["The One"] and view.everyone() == {"One": ["Ann"]}
    driver.server_sends("players/sign-in", {"game": "one", "name": "Bob"}, ref="x")
    driver.server_sends("games/connect", {"game": "Two"}, ref="y")
    asked = driver.sent()
    assert [(frame["event"], frame["payload"]) for frame in asked] == [
        ("games/status", {"game": "Two"}),
        ("players/status", {"game": "Two"}),
    ]
    driver.server_sends(
        "games/status", {"game": "Two", "display_name": "The Two"}, ref=asked[0]["ref"], status="success"
    )
    driver.server_sends("players/sign-out", {"game": "One", "name": "ANN"}, ref="z")
    assert view.players("ONE") == ["Bob"] and view.is_online("One", "bob") and not view.is_online("One", "Ann")
    assert [game.display_name for game in view.games()] == ["The One", "The Two"]
    driver.server_sends("games/disconnect", {"game": "One"}, ref="w")
    assert not view.is_online("One") and view.game("two") is not None
    driver.lose()
    assert view.games() == [] and view.everyone() == {}


def test_the_view_is_refreshed_regularly():
    driver = Driver(supports=["players"], keeps_view=True, silence_seconds=1e6)
    driver.open()
    driver.sent()
    driver.wait(301)
    assert len(driver.sent("players/status")) == 2
