"""Profiles: what people say about themselves, favourite games, and pictures drawn from names."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from app.pictures import seed_of
from shared import db
from shared.models import FavouriteGame, ProfileLink

FULL = {
    "pronouns": "they/them",
    "about": "I <3 fog.\n\nAnd ships.",
    "links": "https://wren.example/ \n http://b.example/x",
}


@pytest.fixture
def wren(new_visitor, stored):
    stored.user("wren", is_verified=True)
    return new_visitor().sign_in("wren")


def links() -> list[str]:
    with db.reading() as session:
        return [link.url for link in session.query(ProfileLink).order_by(ProfileLink.id)]


@pytest.mark.usefixtures("any_database")
def test_a_profile_shows_what_its_person_has_filled_in(wren, new_visitor) -> None:
    assert wren.send("/account/profile", **FULL).status_code == 303
    page = new_visitor().client.get("/players/wren").get_data(as_text=True)
    assert "they/them · joined" in page and "I &lt;3 fog." in page
    assert '<a href="https://wren.example/" rel="me nofollow ugc noopener">wren.example</a>' in page
    assert '<a href="http://b.example/x"' in page and "verified" not in page
    wren.send("/account/profile", **{**FULL, "links": "http://b.example/x\nhttps://c.example"})
    assert links() == ["http://b.example/x", "https://c.example"]
    wren.send("/account/profile", pronouns="", about="", links="")
    assert links() == [] and "they/them" not in wren.open("/players/wren")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("links", "javascript:alert(1)", "full address"),
        ("links", "\n".join(f"https://{number}.example" for number in range(5)), "at most 4 links"),
        ("about", "x" * 1001, "too long"),
        ("pronouns", "x" * 41, "too long"),
    ],
)
def test_a_wrong_field_changes_nothing(wren, field, value, problem) -> None:
    wren.send("/account/profile", **{**FULL, field: value})
    assert wren.status == 422 and problem in (wren.problem_of(field) or ""), wren.page
    assert "they/them" not in wren.open("/players/wren") and links() == []


def test_two_tabs_with_a_profile_put_nothing_back(wren) -> None:
    shown = re.search(r'name="shown"[^>]*value="([^"]*)"', wren.open("/account/profile"))[1]
    wren.send("/account/profile", **{**FULL, "pronouns": ""})
    wren.send("/account/profile", pronouns="she/her", about="", links="", shown=shown)
    page = wren.open("/players/wren")
    assert "she/her" in page and "ships" in page


@pytest.mark.usefixtures("any_database")
def test_favourite_games_are_on_the_profile(wren, stored, new_visitor) -> None:
    stored.game("Harbour")
    hidden = stored.game("Cellar", is_displayed=False)
    assert "Add to favourites" in wren.open("/games/Harbour")
    for _ in range(2):
        wren.send("/games/Harbour/favourite", form_on="/games/Harbour", follow=True)
    assert "Remove from favourites" in wren.page
    assert wren.client.post("/games/Cellar/favourite", data={"csrf_token": wren.token("/account")}).status_code == 404
    with db.transaction() as session:
        user_id = session.query(FavouriteGame.user_id).scalar()
        session.add(FavouriteGame(user_id=user_id, game_id=hidden.id))  # was displayed once
    page = new_visitor().open("/players/wren")
    assert 'href="/games/Harbour">The Harbour</a>' in page and "Cellar" not in page
    wren.send("/games/harbour/unfavourite", form_on="/account", follow=True)
    assert "The Harbour</a>" not in wren.page


def test_tell_and_ignore_are_on_the_profiles_of_others(wren, new_visitor, stored) -> None:
    stored.user("odo")
    page = wren.open("/players/odo")
    assert 'href="/chat/@odo@Grapevine"' in page and "this site as a game" in page
    wren.send("/account/ignores", form_on="/players/odo", pattern="odo@Grapevine", is_person="y", follow=True)
    assert "You now ignore" in wren.page
    assert "You ignore them" in wren.open("/players/odo")
    assert "Tell</a>" not in wren.open("/players/wren")
    stranger = new_visitor().open("/players/odo")
    assert "Tell</a>" not in stranger and "csrf_token" not in stranger


@pytest.mark.parametrize("kind", ["banner", "avatar"])
def test_a_picture_depends_only_on_the_name(client, kind) -> None:
    """It is an image that browsers keep, and there is a fixed number of them."""
    seed = seed_of("Harbour")
    assert seed == seed_of("harbour") != seed_of("Reef")
    first, again = (client.get(f"/pictures/{kind}-{seed}.svg") for _ in range(2))
    assert first.data == again.data != client.get(f"/pictures/{kind}-{seed_of('Reef')}.svg").data
    assert first.mimetype == "image/svg+xml" and "immutable" in first.headers["Cache-Control"]
    assert ElementTree.fromstring(first.data).tag.endswith("svg") and len(first.data) < 6_000
    assert client.get(f"/pictures/{kind}-10000.svg").status_code == 404
