"""Raid protection on the site: its page, the notice on every page, and closed registration."""

from __future__ import annotations

import pytest

from shared import db
from shared.models import Game, User
from shared.models.moderation import ChannelState
from shared.services import raids
from tests.support.moderating import make_moderated

PASSWORD = "correct horse battery"
NEW_ACCOUNT = {
    "username": "Raider",
    "email": "raider@example.com",
    "password": PASSWORD,
    "password_confirmation": PASSWORD,
}
PAGE = "/moderation/safeguards"


@pytest.fixture
def world(stored):
    return make_moderated(stored)


def test_one_act_shows_a_notice_everywhere_and_closes_registration_until_it_is_ended(visitor, new_visitor, world):
    moderator = visitor.sign_in(world.moderator.username)
    stranger = new_visitor()
    assert "Raid protection until" not in stranger.open("/conduct")
    moderator.send(
        f"{PAGE}/raid", form_on=PAGE, **{"raid-hours": "2", "raid-reason": "Fifty new accounts"}, follow=True
    )
    assert "Raid protection is on" in moderator.page
    for path in ("/conduct", "/games", "/register"):
        assert "Fifty new accounts" in stranger.open(path), path
    assert stranger.send("/register", **NEW_ACCOUNT).status_code == 422
    assert "registration is closed until" in stranger.page.lower()
    assert NEW_ACCOUNT["username"] in stranger.page, "what was typed is lost"
    owner = new_visitor().sign_in(world.owner.username)
    owner.send("/manage/games/new", name="Raid Castle", short_name="RaidCastle")
    assert "registration is closed until" in owner.page.lower()
    with db.reading() as session:
        assert session.query(User).filter_by(username="Raider").count() == 0
        assert session.query(Game).filter_by(short_name="RaidCastle").count() == 0
    moderator.send(f"{PAGE}/raid/end", form_on=PAGE, follow=True)
    assert "Raid protection is off" in moderator.page
    assert "Raid protection until" not in stranger.open("/conduct")
    assert stranger.send("/register", **NEW_ACCOUNT).status_code == 303


@pytest.mark.parametrize(("hours", "reason"), [("", "r"), ("0", "r"), ("999", "r"), ("x", "r"), ("1", "")])
def test_wrong_input_starts_nothing_and_is_kept(visitor, world, hours, reason):
    moderator = visitor.sign_in(world.moderator.username)
    answer = moderator.send(f"{PAGE}/raid", form_on=PAGE, **{"raid-hours": hours, "raid-reason": reason})
    assert answer.status_code == 422
    assert f'value="{hours}"' in moderator.page or not hours
    with db.reading() as session:
        assert raids.get_settings(session).raid_until is None


def test_all_wrong_fields_are_reported_at_once(visitor, world):
    admin = visitor.sign_in(world.admin.username)
    admin.send(f"{PAGE}/raid", form_on=PAGE, **{"raid-hours": "999", "raid-reason": ""})
    assert "Enter a reason" in admin.page and "must be from 1 to 168" in admin.page
    admin.send(f"{PAGE}/raid", form_on=PAGE, **{"raid-hours": "x", "raid-reason": "r" * 501})
    assert "Enter a whole number" in admin.page and "The reason is too long" in admin.page
    assert "must be from 1 to 168" not in admin.page, "one error for each field"
    admin.send(f"{PAGE}/probation", form_on=PAGE, **{"probation-hours": "999", "probation-slow_seconds": "9999"})
    assert "must be from 0 to 720" in admin.page and "must be from 0 to 3,600" in admin.page


def test_forms_say_that_a_raid_is_on_before_somebody_types(visitor, new_visitor, world):
    moderator = visitor.sign_in(world.moderator.username)
    owner, stranger = new_visitor().sign_in(world.owner.username), new_visitor()
    room = f"/chat/{world.channel.name}"
    assert "id=chat-raid" not in owner.open(room).replace('"', "")
    with db.transaction() as session:
        session.query(ChannelState).delete()
    assert "All channels are open" in moderator.open("/moderation")
    moderator.send(f"{PAGE}/raid", form_on=PAGE, **{"raid-hours": "2", "raid-reason": "r"}, follow=True)
    assert "Registration is closed until" in stranger.open("/register")
    assert "Registration is closed until" in owner.open("/manage/games/new")
    assert "can speak here until" in owner.open(room)
    assert "can speak here until" not in moderator.open(room)
    assert "All channels are open" not in moderator.open("/moderation")
    assert "Raid protection limits who can speak" in moderator.page


def test_an_admin_sets_the_probation_and_a_moderator_only_reads_it(visitor, new_visitor, world):
    admin = visitor.sign_in(world.admin.username)
    fields = {"probation-hours": "24", "probation-slow_seconds": "10", "probation-refuses_links": "y"}
    admin.send(f"{PAGE}/probation", form_on=PAGE, **fields, follow=True)
    assert "The probation is saved" in admin.page
    page = new_visitor().sign_in(world.moderator.username).open(PAGE)
    assert "For 1 day; one line every 10 seconds; no links." in page
    assert "Save the probation" not in page
