"""Transferring a game in the browser."""

from __future__ import annotations

import pytest

OFFER = "/manage/games/Mine/transfer"


@pytest.fixture
def owner_browser(visitor, stored):
    stored.game("Mine", owner=stored.user("wren"), name="The Mine")
    return visitor.sign_in("wren")


@pytest.fixture
def receiver(new_visitor, stored, owner_browser):
    stored.user("odo")
    return new_visitor().sign_in("odo")


def test_a_game_is_transferred(owner_browser, receiver, caplog):
    """The offer appears on the recipient's page. Both get a message, and the log an entry."""
    caplog.set_level("INFO")
    owner_browser.send(OFFER, username=" odo ", follow=True)
    assert "to odo" in owner_browser.page and "Withdraw the offer" in owner_browser.page
    page = receiver.open("/manage/games")
    assert "Offered to you" in page and "The Mine" in page and "wren" in page
    assert receiver.client.get("/manage/games/Mine").status_code == 404
    receiver.send(f"{OFFER}/accept", form_on="/manage/games", follow=True)
    assert "The Mine is yours" in receiver.page and "regenerate the credentials" in receiver.page
    assert owner_browser.client.get("/manage/games/Mine").status_code == 404
    assert any("transferred from user:" in record.getMessage() for record in caplog.records)


def test_an_offer_is_declined_and_withdrawn(owner_browser, receiver):
    owner_browser.send(OFFER, username="odo")
    receiver.send(f"{OFFER}/cancel", form_on="/manage/games", follow=True)
    assert "You declined The Mine" in receiver.page and "Offered to you" not in receiver.page
    owner_browser.send(OFFER, username="odo")
    owner_browser.send(f"{OFFER}/cancel", form_on="/manage/games/Mine", follow=True)
    assert "no longer offered" in owner_browser.page and "Transfer the game" in owner_browser.page
    assert receiver.send(f"{OFFER}/accept", form_on="/account").status_code == 404


@pytest.mark.parametrize("username", ["", "nobody", "wren", "<b>"])
def test_a_bad_name_is_shown_beside_the_field(owner_browser, username):
    assert owner_browser.send(OFFER, username=username).status_code == 422
    assert owner_browser.problem_of("username") and owner_browser.value_of("username") == username


def test_strangers(owner_browser, receiver, new_visitor):
    assert receiver.client.get(OFFER).status_code == 404
    for path in (OFFER, f"{OFFER}/accept", f"{OFFER}/cancel"):
        assert receiver.send(path, form_on="/account", username="odo").status_code == 404
        assert new_visitor().send(path, form_on="/sign-in").location == "/sign-in"
