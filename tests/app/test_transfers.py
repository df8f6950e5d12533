"""Handing a game over in the browser."""

from __future__ import annotations

import pytest

OFFER = "/manage/games/Mine/transfer"


@pytest.fixture
def at_home(visitor, stored):
    stored.game("Mine", owner=stored.user("wren"), name="The Mine")
    return visitor.sign_in("wren")


@pytest.fixture
def receiver(new_visitor, stored, at_home):
    stored.user("odo")
    return new_visitor().sign_in("odo")


def test_a_game_goes_from_one_to_another(at_home, receiver, caplog):
    """The offer waits on the other one's page; both are told, and so is the log."""
    caplog.set_level("INFO")
    at_home.send(OFFER, username=" odo ", follow=True)
    assert "is offered to odo" in at_home.page and "Take the offer back" in at_home.page
    page = receiver.open("/manage/games")
    assert "Offered to you" in page and "The Mine" in page and "wren" in page
    assert receiver.client.get("/manage/games/Mine").status_code == 404
    receiver.send(f"{OFFER}/accept", form_on="/manage/games", follow=True)
    assert "The Mine is yours" in receiver.page and "make new credentials" in receiver.page
    assert at_home.client.get("/manage/games/Mine").status_code == 404
    assert any("went from user:" in record.getMessage() for record in caplog.records)


def test_declined_and_taken_back(at_home, receiver):
    at_home.send(OFFER, username="odo")
    receiver.send(f"{OFFER}/cancel", form_on="/manage/games", follow=True)
    assert "You declined The Mine" in receiver.page and "Offered to you" not in receiver.page
    at_home.send(OFFER, username="odo")
    at_home.send(f"{OFFER}/cancel", form_on="/manage/games/Mine", follow=True)
    assert "offered to nobody any more" in at_home.page and "Give it to somebody" in at_home.page
    assert receiver.send(f"{OFFER}/accept", form_on="/account").status_code == 404


@pytest.mark.parametrize("username", ["", "nobody", "wren", "<b>"])
def test_a_bad_name_is_said_beside_its_field(at_home, username):
    assert at_home.send(OFFER, username=username).status_code == 422
    assert at_home.problem_of("username") and at_home.value_of("username") == username


def test_strangers(at_home, receiver, new_visitor):
    assert receiver.client.get(OFFER).status_code == 404
    for path in (OFFER, f"{OFFER}/accept", f"{OFFER}/cancel"):
        assert receiver.send(path, form_on="/account", username="odo").status_code == 404
        assert new_visitor().send(path, form_on="/sign-in").location == "/sign-in"
