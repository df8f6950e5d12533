"""Preset reasons: the page where admins edit them, and the forms that offer them."""

from __future__ import annotations

import pytest

from shared import db
from shared.conduct import RULES
from shared.models import ReasonPreset
from shared.services.moderation import presets
from tests.support.moderating import make_moderated

PAGE = "/moderation/presets"


@pytest.fixture
def world(stored):
    return make_moderated(stored)


def test_an_admin_adds_changes_and_deletes_a_reason(visitor, world):
    admin = visitor.sign_in(world.admin.username)
    admin.send(PAGE, rule="flood", text="Shouts <b>loudly</b>", follow=True)
    assert "has been added" in admin.page and "Shouts &lt;b&gt;loudly" in admin.answer.text
    with db.reading() as session:
        preset_id = session.query(ReasonPreset.id).filter_by(rule="flood").order_by(ReasonPreset.id.desc()).first()[0]
    admin.send(f"{PAGE}/{preset_id}", rule="kindness", text="Shouts at people", follow=True)
    assert "Shouts at people" in admin.page and "loudly" not in admin.page
    assert "Preset reason changed: <bdi>Shouts at people" in admin.open("/moderation/audit")
    admin.send(f"{PAGE}/{preset_id}/delete", form_on=f"{PAGE}/{preset_id}", follow=True)
    assert "Shouts at people" not in admin.page
    assert admin.client.get(f"{PAGE}/{preset_id}").status_code == 404


def test_wrong_input_is_kept_and_explained(visitor, world):
    admin = visitor.sign_in(world.admin.username)
    assert admin.send(PAGE, rule="nothing", text="").status_code == 422
    assert "Enter a reason." in admin.page
    assert admin.send(PAGE, rule="nothing", text="Shouts").status_code == 422
    assert "Choose a rule of conduct." in admin.page and 'value="Shouts"' in admin.page


def test_moderators_see_the_reasons_and_cannot_edit_them(visitor, world):
    moderator = visitor.sign_in(world.moderator.username)
    assert "Repeated advertising" in moderator.open(PAGE)
    assert "Add a reason" not in moderator.page and "/presets/1" not in moderator.page


def test_every_form_with_a_reason_offers_them(visitor, new_visitor, world):
    moderator = visitor.sign_in(world.moderator.username)
    option = '<option value="Repeated advertising. Rule: Do not flood.">'
    for path in (
        "/moderation/live",
        "/moderation/safeguards",
        "/moderation/sanctions/new",
        f"/moderation/sanctions/{world.sanction}",
        f"/moderation/messages/{world.message}",
        f"/moderation/channels/{world.channel.name}",
    ):
        page = moderator.open(path)
        assert page.count('id="reasons"') == 1 and option in page and 'list="reasons"' in page, path
    assert option in moderator.open(f"/chat/{world.channel.name}")
    player = new_visitor().sign_in(world.player.username)
    assert 'id="reasons"' not in player.open(f"/chat/{world.channel.name}")


def test_the_page_of_conduct_has_every_rule_that_a_reason_can_cite(visitor):
    page = visitor.open("/conduct")
    for key, title in RULES.items():
        assert f'<li id="{key}"><strong>{title}' in page


def test_pages_work_without_presets(visitor, world):
    with db.transaction() as session:
        for preset in presets.list_presets(session):
            session.delete(preset)
    moderator = visitor.sign_in(world.moderator.username)
    assert "No reasons yet" in moderator.open(PAGE)
    assert moderator.client.get("/moderation/live").status_code == 200
