"""Who can open each page and send each form of moderation: one table, checked against the site's routes.

A route that is missing here fails the test, so that nobody adds one without deciding who can use it.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from app.safety.bans import is_open
from shared import db
from shared.services.moderation import channel_states, notes, sanctions
from tests.support.moderating import actor, make_moderated

ROLES = ("visitor", "player", "owner", "moderator", "admin")
EVERYBODY = frozenset(ROLES)
PEOPLE = EVERYBODY - {"visitor"}
STAFF = frozenset(["moderator", "admin"])
ADMINS = frozenset(["admin"])

PLACES = ("/moderation", "/report", "/appeals", "/transparency")
PACKAGES = ("moderation", "reports", "safety", "ignores", "mutes", "transparency")


class Rule(NamedTuple):
    """Who is admitted, with an example. `refused` is the status for other signed-in users."""

    admits: frozenset[str]
    example: str
    fields: dict[str, str] = {}
    refused: int = 403


OWN_SANCTION = frozenset(["owner"])
OWN_GAME = frozenset(["owner", "admin"])  # admins can manage every game
RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/transparency"): Rule(EVERYBODY, "/transparency"),
    ("GET", "/report"): Rule(PEOPLE, "/report?message={message}"),
    ("POST", "/report"): Rule(PEOPLE, "/report?message={message}", {"target": "Wren@Harbour", "text": "Rude"}),
    ("GET", "/account/reports"): Rule(PEOPLE, "/account/reports"),
    ("GET", "/account/sanctions"): Rule(PEOPLE, "/account/sanctions"),
    ("GET", "/account/appeals"): Rule(PEOPLE, "/account/appeals"),
    ("GET", "/account/ignores"): Rule(PEOPLE, "/account/ignores"),
    ("POST", "/account/ignores"): Rule(PEOPLE, "/account/ignores", {"pattern": "Odo@Ashfall*"}),
    ("POST", "/account/ignores/<id:ignore_id>/delete"): Rule(
        frozenset(["player"]), "/account/ignores/{ignore}/delete", refused=404
    ),
    ("GET", "/appeals/new"): Rule(OWN_SANCTION, "/appeals/new?sanction={sanction}", refused=404),
    ("POST", "/appeals/new"): Rule(OWN_SANCTION, "/appeals/new?sanction={second}", {"text": "A guest"}, refused=404),
    ("GET", "/manage/games/<short_name>/sanctions"): Rule(OWN_GAME, "/manage/games/Harbour/sanctions", refused=404),
    ("GET", "/manage/games/<short_name>/reports"): Rule(OWN_GAME, "/manage/games/Harbour/reports", refused=404),
    ("GET", "/manage/games/<short_name>/mutes"): Rule(OWN_GAME, "/manage/games/Harbour/mutes", refused=404),
    ("POST", "/manage/games/<short_name>/mutes"): Rule(
        OWN_GAME, "/manage/games/Harbour/mutes", {"pattern": "Odo@Ashfall*"}, refused=404
    ),
    ("POST", "/manage/mutes/<id:mute_id>/delete"): Rule(OWN_GAME, "/manage/mutes/{mute}/delete"),
    ("GET", "/moderation"): Rule(STAFF, "/moderation"),
    ("GET", "/moderation/live"): Rule(STAFF, "/moderation/live?channel=gossip"),
    ("GET", "/moderation/live/lines"): Rule(STAFF, "/moderation/live/lines?after=0"),
    ("GET", "/moderation/messages"): Rule(STAFF, "/moderation/messages?text=gold"),
    ("GET", "/moderation/messages/<id:message_id>"): Rule(STAFF, "/moderation/messages/{message}"),
    ("POST", "/moderation/messages/<id:message_id>/redact"): Rule(
        STAFF, "/moderation/messages/{message}/redact", {"reason": "An advert"}
    ),
    ("GET", "/moderation/reports"): Rule(STAFF, "/moderation/reports"),
    ("GET", "/moderation/reports/<id:report_id>"): Rule(STAFF, "/moderation/reports/{report}"),
    ("POST", "/moderation/reports/<id:report_id>"): Rule(
        STAFF, "/moderation/reports/{report}", {"state": "upheld", "outcome": "Muted"}
    ),
    ("POST", "/moderation/reports/<id:report_id>/claim"): Rule(STAFF, "/moderation/reports/{report}/claim"),
    ("POST", "/moderation/reports/<id:report_id>/release"): Rule(STAFF, "/moderation/reports/{report}/release"),
    ("POST", "/moderation/reports/<id:report_id>/notes"): Rule(
        STAFF, "/moderation/reports/{report}/notes", {"text": "Seen before"}
    ),
    ("POST", "/moderation/notes"): Rule(
        STAFF, "/moderation/notes", {"target_kind": "player", "target": "Wren@Harbour", "text": "Seen before"}
    ),
    ("POST", "/moderation/notes/<id:note_id>/delete"): Rule(frozenset(["admin"]), "/moderation/notes/{note}/delete"),
    ("GET", "/moderation/sanctions"): Rule(STAFF, "/moderation/sanctions"),
    ("GET", "/moderation/sanctions/new"): Rule(STAFF, "/moderation/sanctions/new?report={report}"),
    ("POST", "/moderation/sanctions/new"): Rule(
        STAFF,
        "/moderation/sanctions/new",
        {"kind": "mute", "target_kind": "player", "target": "Odo@Harbour", "seconds": "600", "reason": "Flood"},
    ),
    ("GET", "/moderation/sanctions/<id:sanction_id>"): Rule(STAFF, "/moderation/sanctions/{sanction}"),
    ("POST", "/moderation/sanctions/<id:sanction_id>/lift"): Rule(
        STAFF, "/moderation/sanctions/{sanction}/lift", {"reason": "Enough"}
    ),
    ("POST", "/moderation/sanctions/<id:sanction_id>/undo"): Rule(
        STAFF, "/moderation/sanctions/{sanction}/undo", {"reason": "A mistake"}
    ),
    ("POST", "/moderation/sanctions/<id:sanction_id>/restore"): Rule(
        STAFF, "/moderation/sanctions/{lifted}/restore", {"reason": "No mistake"}
    ),
    ("GET", "/moderation/appeals"): Rule(STAFF, "/moderation/appeals"),
    ("GET", "/moderation/appeals/<id:appeal_id>"): Rule(STAFF, "/moderation/appeals/{appeal}"),
    # The moderator in these tests imposed the sanction, so somebody else has to decide.
    ("POST", "/moderation/appeals/<id:appeal_id>"): Rule(
        frozenset(["admin"]), "/moderation/appeals/{appeal}", {"decision": "refused", "outcome": "It was you"}
    ),
    ("GET", "/moderation/channels"): Rule(STAFF, "/moderation/channels"),
    ("GET", "/moderation/channels/<name>"): Rule(STAFF, "/moderation/channels/gossip"),
    ("POST", "/moderation/channels/<name>/approve"): Rule(STAFF, "/moderation/channels/gossip/approve"),
    ("POST", "/moderation/channels/<name>/hide"): Rule(STAFF, "/moderation/channels/gossip/hide"),
    ("POST", "/moderation/channels/<name>/describe"): Rule(
        STAFF, "/moderation/channels/gossip/describe", {"describe-description": "Talk"}
    ),
    ("POST", "/moderation/channels/<name>/rename"): Rule(
        STAFF, "/moderation/channels/gossip/rename", {"rename-name": "talk"}
    ),
    ("POST", "/moderation/channels/<name>/close"): Rule(
        STAFF, "/moderation/channels/gossip/close", {"close-reason": "Over"}
    ),
    ("POST", "/moderation/channels/<name>/reopen"): Rule(STAFF, "/moderation/channels/gossip/reopen"),
    ("POST", "/moderation/channels/<name>/pause"): Rule(
        STAFF, "/moderation/channels/gossip/pause", {"pause-minutes": "5", "pause-reason": "Calm"}
    ),
    ("POST", "/moderation/channels/<name>/resume"): Rule(STAFF, "/moderation/channels/paused/resume"),
    ("POST", "/moderation/channels/<name>/slow"): Rule(
        STAFF, "/moderation/channels/gossip/slow", {"slow-seconds": "9"}
    ),
    ("GET", "/moderation/filters"): Rule(STAFF, "/moderation/filters"),
    ("GET", "/moderation/filters/new"): Rule(STAFF, "/moderation/filters/new"),
    ("POST", "/moderation/filters/new"): Rule(
        STAFF, "/moderation/filters/new", {"kind": "word", "action": "mask", "text": "silver"}
    ),
    ("GET", "/moderation/filters/<id:filter_id>"): Rule(STAFF, "/moderation/filters/{filter}"),
    ("POST", "/moderation/filters/<id:filter_id>"): Rule(
        STAFF, "/moderation/filters/{filter}", {"kind": "word", "action": "refuse", "text": "gold"}
    ),
    ("POST", "/moderation/filters/<id:filter_id>/on"): Rule(STAFF, "/moderation/filters/{filter}/on"),
    ("POST", "/moderation/filters/<id:filter_id>/off"): Rule(STAFF, "/moderation/filters/{filter}/off"),
    ("POST", "/moderation/filters/<id:filter_id>/delete"): Rule(STAFF, "/moderation/filters/{filter}/delete"),
    ("GET", "/moderation/safeguards"): Rule(STAFF, "/moderation/safeguards"),
    ("POST", "/moderation/safeguards/raid"): Rule(
        STAFF, "/moderation/safeguards/raid", {"raid-hours": "1", "raid-reason": "Fifty new accounts"}
    ),
    # Nothing is on in these tests, so there is nothing to end.
    ("POST", "/moderation/safeguards/raid/end"): Rule(STAFF, "/moderation/safeguards/raid/end"),
    ("POST", "/moderation/safeguards/probation"): Rule(
        ADMINS,
        "/moderation/safeguards/probation",
        {"probation-hours": "24", "probation-slow_seconds": "5"},
    ),
    ("GET", "/moderation/presets"): Rule(STAFF, "/moderation/presets"),
    ("POST", "/moderation/presets"): Rule(ADMINS, "/moderation/presets", {"rule": "flood", "text": "Floods"}),
    ("GET", "/moderation/presets/<id:preset_id>"): Rule(ADMINS, "/moderation/presets/1"),
    ("POST", "/moderation/presets/<id:preset_id>"): Rule(
        ADMINS, "/moderation/presets/1", {"rule": "flood", "text": "Floods"}
    ),
    ("POST", "/moderation/presets/<id:preset_id>/delete"): Rule(ADMINS, "/moderation/presets/1/delete"),
    ("GET", "/moderation/records"): Rule(STAFF, "/moderation/records?q=nobody"),
    ("GET", "/moderation/records/player"): Rule(STAFF, "/moderation/records/player?name=Wren@Harbour"),
    ("GET", "/moderation/records/games/<short_name>"): Rule(STAFF, "/moderation/records/games/Harbour"),
    ("GET", "/moderation/records/users/<username>"): Rule(STAFF, "/moderation/records/users/reader"),
    ("GET", "/moderation/audit"): Rule(STAFF, "/moderation/audit"),
    ("GET", "/moderation/audit/export.csv"): Rule(STAFF, "/moderation/audit/export.csv"),
    ("GET", "/moderation/audit/export.json"): Rule(STAFF, "/moderation/audit/export.json"),
}


def is_moderation_route(rule) -> bool:
    """Return whether a route belongs to moderation, by its package or its path."""
    return rule.endpoint.partition(".")[0] in PACKAGES or rule.rule.startswith(PLACES)


def routes(app) -> set[tuple[str, str]]:
    """Return each route of moderation with each method it accepts."""
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if is_moderation_route(rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_every_route_has_a_rule(app) -> None:
    """And every rule belongs to a route."""
    assert routes(app) == RULES.keys()


@pytest.fixture
def world(stored):
    return make_moderated(stored)


@pytest.fixture
def examples(stored, world) -> dict[str, str]:
    """The ids of records for the examples' addresses."""
    stored.channel("paused")
    with db.transaction() as session:
        keeper = actor(session, world.moderator)
        channel_states.pause(session, keeper, channel="paused", minutes=None, reason="Calm")
        target = {"target_kind": "player", "target": "Kit@Harbour", "reason": "Flood"}
        second = sanctions.sanction(session, keeper, kind="mute", **target)
        lifted = sanctions.sanction(session, keeper, kind="ban", **target)
        sanctions.lift(session, keeper, sanction_id=lifted.id, reason="Enough")
        note = notes.add_note(session, actor(session, world.admin), about="report:1", text="Seen before")
        return {**world.ids(), "second": str(second.id), "lifted": str(lifted.id), "note": str(note.id)}


@pytest.fixture
def sign_in(new_visitor, world):
    """Open a browser as somebody with a role. Returns it and its CSRF token."""
    accounts = {"player": world.player, "owner": world.owner, "moderator": world.moderator, "admin": world.admin}

    def open_browser(role: str):
        browser = new_visitor()
        if role in accounts:
            browser.sign_in(accounts[role].username)
        return browser.client, browser.token("/sign-in")

    return open_browser


POSTS = sorted(rule for rule in RULES if rule[0] == "POST")


def test_pages_open_only_to_the_roles_in_the_table(any_database, sign_in, examples) -> None:
    """Every page with every role, on both databases."""
    wrong = []
    for role in ROLES:
        client, _token = sign_in(role)
        for (method, route), rule in RULES.items():
            if method == "GET":
                answer = client.get(rule.example.format(**examples))
                to_sign_in = answer.status_code == 303 and answer.location.startswith("/sign-in?next=")
                expected = 200 if role in rule.admits else "sign-in" if role == "visitor" else rule.refused
                if (result := "sign-in" if to_sign_in else answer.status_code) != expected:
                    wrong.append((route, role, result, expected))
    assert wrong == []


def test_forms_are_refused_to_other_roles(sign_in, examples) -> None:
    """Every valid form with every role that the table does not list."""
    wrong = []
    for role in ROLES:
        client, token = sign_in(role)
        for (method, route), rule in RULES.items():
            if method == "POST" and role not in rule.admits:
                answer = client.post(rule.example.format(**examples), data={"csrf_token": token, **rule.fields})
                to_sign_in = answer.status_code == 303 and answer.location.startswith("/sign-in")
                expected = "sign-in" if role == "visitor" else rule.refused
                if (result := "sign-in" if to_sign_in else answer.status_code) != expected:
                    wrong.append((route, role, result, expected))
    assert wrong == []


@pytest.mark.parametrize("route", [route for _method, route in POSTS])
def test_a_form_is_accepted_from_an_admitted_role(sign_in, examples, route) -> None:
    """Without this, refusing everybody would pass the other tests."""
    rule = RULES["POST", route]
    client, token = sign_in(next(role for role in ROLES if role in rule.admits))
    answer = client.post(rule.example.format(**examples), data={"csrf_token": token, **rule.fields})
    assert answer.status_code == 303 and "/sign-in" not in answer.location, answer.text[-600:]


def test_no_form_is_accepted_without_its_csrf_token(sign_in, examples) -> None:
    """The same forms sent from another site change nothing."""
    client, _token = sign_in("admin")
    for method, route in POSTS:
        rule = RULES[method, route]
        assert client.post(rule.example.format(**examples), data=rule.fields).status_code == 400, route


def test_a_ban_closes_every_form_that_is_not_listed(app, sign_in, world) -> None:
    """On the whole site. Banned users can read, manage their account, and appeal."""
    client, token = sign_in("owner")
    with db.transaction() as session:
        ban = sanctions.sanction(
            session, actor(session, world.admin), kind="ban", target_kind="user", target="wright", reason="<b>Threats"
        )
    closed = 0
    for rule in app.url_map.iter_rules():
        if "POST" not in (rule.methods or ()) or rule.arguments or is_open(rule.endpoint):
            continue
        answer = client.post(rule.rule, data={"csrf_token": token})
        assert answer.status_code == 403 and "You are banned" in answer.text, rule
        assert "&lt;b&gt;Threats" in answer.text and f"/appeals/new?sanction={ban.id}" in answer.text
        closed += 1
    assert closed >= 5
    assert client.get("/report").status_code == 403
    for address in ("/", "/account", "/account/sanctions", "/manage/games", f"/appeals/new?sanction={ban.id}"):
        assert client.get(address).status_code == 200, address
    answer = client.post(f"/appeals/new?sanction={ban.id}", data={"csrf_token": token, "text": "It was my brother"})
    assert answer.status_code == 303
