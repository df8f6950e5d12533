"""Two tabs, or two people, that edit one record: the second to save does not put back what the first changed."""

from __future__ import annotations

from typing import Any

import pytest

from shared.db import reading, transaction
from shared.services import applications, channels, games, users
from shared.services.authority.actors import OPERATOR
from shared.services.moderation import channel_states, filters


@pytest.fixture
def owner(stored):
    return stored.user()


@pytest.fixture
def tab(new_visitor, owner):
    return new_visitor().sign_in(owner.username)


@pytest.fixture
def admin(new_visitor, stored):
    return new_visitor().sign_in(stored.admin().username)


def shown_on(visitor: Any, path: str, field: str = "shown") -> str:
    """Open a form and return what it says about the values it shows."""
    visitor.open(path)
    shown = visitor.value_of(field)
    assert shown, visitor.page
    return shown


OLD = {"name": "The Harbour", "short_name": "Harbour", "description": "Ships\r\ncome.", "display": "y"}


@pytest.fixture
def harbour(stored, owner):
    return stored.game("Harbour", owner=owner, name="The Harbour", description="Ships\ncome.")


def test_what_another_tab_changed_stays(tab, harbour):
    edit = "/manage/games/Harbour/edit"
    first = shown_on(tab, edit)
    second = shown_on(tab, edit)

    tab.send(edit, **{**OLD, "description": "Ships go."}, shown=first)
    answer = tab.send(edit, **{**OLD, "name": "Harbour at Night"}, shown=second)

    assert answer.status_code == 303
    with reading() as session:
        game = games.get_game(session, "Harbour")
        assert (game.name, game.description, game.is_displayed) == ("Harbour at Night", "Ships go.", True)


def test_a_ticked_box_of_another_tab_stays(tab, harbour):
    edit = "/manage/games/Harbour/edit"
    shown = shown_on(tab, edit)

    tab.send(edit, **{**OLD, "display": "n"}, shown=shown)
    tab.send(edit, **{**OLD, "name": "Harbour at Night"}, shown=shown)

    with reading() as session:
        assert games.get_game(session, "Harbour").is_displayed is False


def test_the_same_field_changed_twice_is_a_conflict_that_shows_both_values(tab, harbour):
    edit = "/manage/games/Harbour/edit"
    shown = shown_on(tab, edit)
    tab.send(edit, **{**OLD, "name": "Harbour at Dawn", "description": "Ships go."}, shown=shown)

    answer = tab.send(edit, **{**OLD, "name": "Harbour <at> Night"}, shown=shown)

    assert answer.status_code == 422
    assert tab.problem_of("name") == "It was changed to “Harbour at Dawn” in the meantime."
    assert tab.value_of("name") == "Harbour <at> Night"
    assert "send it again to save your version" in tab.page
    assert "Ships go." in tab.page and "Ships\ncome." not in tab.page
    again = tab.value_of("shown")
    with reading() as session:
        assert games.get_game(session, "Harbour").name == "Harbour at Dawn"

    tab.send(edit, **{**OLD, "name": "Harbour <at> Night", "description": "Ships go."}, shown=again)

    with reading() as session:
        game = games.get_game(session, "Harbour")
        assert (game.name, game.description) == ("Harbour <at> Night", "Ships go.")


def test_the_same_change_twice_is_no_conflict(tab, harbour):
    edit = "/manage/games/Harbour/edit"
    shown = shown_on(tab, edit)
    for _ in range(2):
        assert tab.send(edit, **{**OLD, "name": "Harbour at Dawn"}, shown=shown).status_code == 303


@pytest.mark.parametrize("shown", ["", "nonsense", "name", "name:", ":", "\0", "name:0 name:1", "x" * 5000])
def test_any_other_value_of_the_field_is_no_error(tab, harbour, shown):
    answer = tab.send("/manage/games/Harbour/edit", **{**OLD, "name": "Another"}, shown=shown)
    assert answer.status_code in (303, 422)


def test_a_way_to_connect(tab, harbour, stored):
    way = stored.connection(harbour)
    edit = f"/manage/connections/{way.id}"
    old = {"type": way.type, "host": way.host, "port": str(way.port)}
    shown = shown_on(tab, edit)

    tab.send(edit, **{**old, "port": "4321"}, shown=shown)
    tab.send(edit, **{**old, "host": "new.example.com"}, shown=shown)
    with reading() as session:
        stored_way = games.get_game(session, "Harbour").connections[0]
        assert (stored_way.host, stored_way.port) == ("new.example.com", 4321)

    assert tab.send(edit, **{**old, "port": "5555"}, shown=shown).status_code == 422
    assert tab.problem_of("port") == "It was changed to “4321” in the meantime."


def test_privacy(tab, owner):
    shown = shown_on(tab, "/account")
    tab.send("/account/privacy", form_on="/account", hide_profile="y", shown=shown)
    tab.send("/account/privacy", form_on="/account", hide_online="y", shown=shown)
    with reading() as session:
        user = users.find_user(session, owner.id)
        assert (user.is_profile_hidden, user.is_online_hidden) == (True, True)


def test_a_channel_of_the_admins(admin, stored):
    channel = stored.channel("harbour", description="Old", is_hidden=True)
    edit = f"/admin/channels/{channel.name}/edit"
    shown = shown_on(admin, edit)
    admin.send(edit, name="harbour", description="Old", shown=shown)
    admin.send(edit, name="harbour", description="New", is_hidden="y", shown=shown)
    with reading() as session:
        channel = channels.get_channel(session, "harbour")
        assert (channel.description, channel.is_hidden) == ("New", False)


def test_the_description_of_a_channel(admin, stored):
    stored.channel("harbour", description="Old")
    shown = shown_on(admin, "/channels/harbour/edit")
    with transaction() as session:
        channels.update_channel(session, OPERATOR, name="harbour", description="Newer")
    assert admin.send("/channels/harbour/edit", description="Mine", shown=shown).status_code == 422
    assert admin.problem_of("description") == "It was changed to “Newer” in the meantime."


@pytest.mark.parametrize(("act", "field", "mine"), [("describe", "description", "Mine"), ("slow", "seconds", "30")])
def test_the_moderators_page_of_a_channel(admin, stored, act, field, mine):
    stored.channel("harbour", description="Old")
    page = "/moderation/channels/harbour"
    shown = shown_on(admin, page, f"{act}-shown")
    with transaction() as session:
        channel_states.slow_down(session, OPERATOR, channel="harbour", seconds=7, reason="")
        channels.update_channel(session, OPERATOR, name="harbour", description="Newer")
    fields = {f"{act}-{field}": mine, f"{act}-shown": shown}
    assert admin.send(f"{page}/{act}", form_on=page, **fields).status_code == 422
    newer = {"describe": "Newer", "slow": "7"}[act]
    assert admin.problem_of(f"{act}-{field}") == f"It was changed to “{newer}” in the meantime."
    assert admin.send(
        f"{page}/{act}", form_on=page, **{**fields, f"{act}-shown": admin.value_of(f"{act}-shown")}
    ).location


def test_a_filter(admin):
    with transaction() as session:
        saved = filters.create_filter(session, OPERATOR, kind="flood", action="flag", count=5, seconds=10)
    page = f"/moderation/filters/{saved.id}"
    old = {"kind": "flood", "action": "flag", "count": "5", "seconds": "10", "note": "", "save": "1"}
    shown = shown_on(admin, page)
    admin.send(page, **{**old, "count": "9"}, shown=shown)
    admin.send(page, **{**old, "seconds": "60"}, shown=shown)
    with reading() as session:
        current = filters.get_filter(session, saved.id)
        assert (current.count, current.seconds) == (9, 60)
    assert admin.send(page, **{**old, "action": "refuse", "count": "7"}, shown=shown).status_code == 422
    assert admin.problem_of("count") == "It was changed to “9” in the meantime."


def test_the_scopes_of_an_application(admin, stored):
    application = stored.application("Mirror")
    page = f"/admin/applications/{application.short_name}"
    shown = shown_on(admin, page)
    admin.send(f"{page}/scopes", form_on=page, moderate="y", shown=shown)
    admin.send(f"{page}/scopes", form_on=page, shown=shown)
    with reading() as session:
        assert applications.get_application(session, application.short_name).scopes == ["moderate"]
