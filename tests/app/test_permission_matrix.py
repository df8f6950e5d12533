"""Who can open each page and send each form of the whole site. Extends the table of `test_moderation_permissions.py`.

A route that is in neither table fails the test, so that nobody adds one without deciding who can use it.
"""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from shared import db
from shared.services import application_requests, applications, characters, games
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.app import test_moderation_permissions as of_moderation
from tests.app.test_moderation_permissions import (
    EVERYBODY,
    OWN_GAME,
    PEOPLE,
    ROLES,
    Rule,
    is_moderation_route,
    sign_in,
    world,
)

__all__ = ["sign_in", "world"]  # fixtures

ADMINS = frozenset(["admin"])
OWNER = frozenset(["owner"])
NOBODY: frozenset[str] = frozenset()
FOR_PROGRAMS = {
    ("POST", "/oauth/token"),
    ("POST", "/oauth/revoke"),
    ("POST", "/oauth/userinfo"),
    ("POST", "/oauth/authorize"),
    ("POST", "/oauth/logout"),
}
"""Endpoints that programs call, with credentials or tokens of their own or only to be redirected to a page. They need
no token of a form: tests/app/test_oauth.py."""
GAME = "/manage/games/Harbour"


def public(example: str) -> Rule:
    return Rule(EVERYBODY, example)


def people(example: str, **fields: str) -> Rule:
    return Rule(PEOPLE, example, fields)


def admins(example: str, **fields: str) -> Rule:
    return Rule(ADMINS, example, fields)


def own_game(example: str, **fields: str) -> Rule:
    """Strangers cannot even see whether a game has such a page."""
    return Rule(OWN_GAME, example, fields, refused=404)


# Forms that delete what others need come last.
RULES: dict[tuple[str, str], Rule] = {
    ("GET", "/"): public("/"),
    ("GET", "/_health"): public("/_health"),
    ("GET", "/metrics"): public("/metrics"),  # by address: tests/app/test_site.py
    ("GET", "/favicon.ico"): public("/favicon.ico"),
    ("GET", "/manifest.webmanifest"): public("/manifest.webmanifest"),
    ("GET", "/robots.txt"): public("/robots.txt"),
    ("GET", "/sitemap.xml"): public("/sitemap.xml"),
    ("GET", "/sitemap-<int:number>.xml"): public("/sitemap-1.xml"),
    ("GET", "/static/<path:filename>"): public("/static/site.css"),
    ("GET", "/conduct"): public("/conduct"),
    ("GET", "/contact"): public("/contact"),
    ("GET", "/privacy"): public("/privacy"),
    ("GET", "/docs"): public("/docs"),
    ("GET", "/docs/applications"): public("/docs/applications"),
    ("GET", "/docs/libraries"): public("/docs/libraries"),
    ("GET", "/docs/libraries/<name>"): public("/docs/libraries/gossip-client"),
    ("GET", "/docs/clients"): public("/docs/clients"),
    ("GET", "/docs/moderation"): public("/docs/moderation"),
    ("GET", "/docs/protocol"): public("/docs/protocol"),
    ("GET", "/docs/protocol/<flag>"): public("/docs/protocol/core"),
    ("GET", "/docs/protocol/failures"): public("/docs/protocol/failures"),
    ("GET", "/docs/protocol/limits"): public("/docs/protocol/limits"),
    ("GET", "/docs/sign-in"): public("/docs/sign-in"),
    ("GET", "/docs/search"): public("/docs/search?q=tell"),
    ("GET", "/docs/start"): public("/docs/start"),
    ("GET", "/docs/start/<slug>"): public("/docs/start/evennia"),
    ("GET", "/docs/asyncapi.yaml"): public("/docs/asyncapi.yaml"),
    ("GET", "/docs/libraries/<name>.zip"): public("/docs/libraries/gossip-client.zip"),
    ("GET", "/games"): public("/games"),
    ("GET", "/games/feed.atom"): public("/games/feed.atom"),
    ("GET", "/games/<short_name>"): public("/games/Harbour"),
    ("GET", "/games/<short_name>/play"): public("/games/Harbour/play"),
    ("GET", "/games/<short_name>/play/token.json"): Rule(NOBODY, "/games/Harbour/play/token.json"),  # it is not allowed
    ("GET", "/channels"): public("/channels"),
    ("GET", "/channels/<name>"): public("/channels/gossip"),
    ("GET", "/chat"): public("/chat"),
    ("GET", "/chat/<name>"): public("/chat/gossip"),
    ("GET", "/chat/<name>/lines"): public("/chat/gossip/lines"),
    ("GET", "/chat/lines/<id:message_id>"): public("/chat/lines/1"),
    ("GET", "/icon-<int:count>.svg"): public("/icon-3.svg"),
    ("GET", "/static/modules/<digest>/<path:name>"): public("/static/modules/x/chat/menu.js"),
    ("GET", "/players/<username>"): public("/players/reader"),
    ("GET", "/register"): public("/register"),
    ("POST", "/register"): public("/register"),
    ("GET", "/sign-in"): public("/sign-in"),
    ("POST", "/sign-in"): public("/sign-in"),
    ("GET", "/reset"): public("/reset"),
    ("POST", "/reset"): public("/reset"),
    # Whoever has the link from the mail may use it: tests/app/test_mailed_links.py.
    ("GET", "/reset/<token>"): Rule(NOBODY, "/reset/x", refused=404),
    ("POST", "/reset/<token>"): Rule(NOBODY, "/reset/x", refused=404),
    ("GET", "/account/verify/<token>"): Rule(NOBODY, "/account/verify/x", refused=404),
    ("POST", "/account/verify/<token>"): Rule(NOBODY, "/account/verify/x", refused=404),
    ("GET", "/account/email/<token>"): Rule(NOBODY, "/account/email/x", refused=404),
    ("POST", "/account/email/<token>"): Rule(NOBODY, "/account/email/x", refused=404),
    ("GET", "/chat/@<path:player>"): people("/chat/@Wren@Harbour"),
    ("GET", "/chat/token.json"): people("/chat/token.json"),
    ("GET", "/chat/unread.json"): people("/chat/unread.json"),
    ("GET", "/.well-known/openid-configuration"): public("/.well-known/openid-configuration"),
    ("GET", "/.well-known/oauth-authorization-server"): public("/.well-known/oauth-authorization-server"),
    ("GET", "/oauth/jwks.json"): public("/oauth/jwks.json"),
    ("GET", "/oauth/logout"): public("/oauth/logout"),
    ("POST", "/oauth/logout/confirm"): public("/oauth/logout/confirm"),
    # Whoever has a token, and not a session: tests/app/test_oauth.py.
    ("GET", "/oauth/userinfo"): Rule(NOBODY, "/oauth/userinfo", refused=401),
    ("GET", "/users/me"): Rule(NOBODY, "/users/me", refused=401),
    ("GET", "/oauth/authorize"): people("/oauth/authorize?{authorization}"),
    ("POST", "/oauth/consent"): people("/oauth/consent?{authorization}"),
    ("GET", "/account/connected"): people("/account/connected"),
    # Their own: tests/app/test_oauth.py.
    ("POST", "/account/connected/<id:grant_id>/remove"): Rule(NOBODY, "/account/connected/99/remove", refused=404),
    ("GET", "/account"): people("/account"),
    ("GET", "/account/welcome"): people("/account/welcome"),
    ("GET", "/account/delete"): people("/account/delete"),
    ("POST", "/account/delete"): people("/account/delete", current_password="wrong"),
    ("GET", "/account/email"): people("/account/email"),
    ("POST", "/account/email"): people("/account/email"),
    ("POST", "/account/email/cancel"): people("/account/email/cancel"),
    ("GET", "/account/password"): people("/account/password"),
    ("POST", "/account/password"): people("/account/password"),
    ("POST", "/account/export"): people("/account/export"),
    ("POST", "/account/privacy"): people("/account/privacy"),
    ("POST", "/account/verify"): people("/account/verify"),
    ("GET", "/account/profile"): people("/account/profile"),
    ("POST", "/account/profile"): people("/account/profile"),
    ("POST", "/games/<short_name>/favourite"): people("/games/Harbour/favourite"),
    ("POST", "/games/<short_name>/unfavourite"): people("/games/Harbour/unfavourite"),
    ("GET", "/pictures/banner-<int:seed>.svg"): public("/pictures/banner-1.svg"),
    ("GET", "/pictures/avatar-<int:seed>.svg"): public("/pictures/avatar-1.svg"),
    ("GET", "/account/applications"): people("/account/applications"),
    ("GET", "/account/applications/new"): people("/account/applications/new"),
    ("POST", "/account/applications/new"): people("/account/applications/new"),
    # Only whose request it is: tests/app/test_application_requests.py.
    ("POST", "/account/applications/<int:request_id>/withdraw"): Rule(
        NOBODY, "/account/applications/9/withdraw", refused=404
    ),
    ("POST", "/account/applications/<int:request_id>/credentials"): Rule(
        NOBODY, "/account/applications/9/credentials", refused=404
    ),
    ("GET", "/manage/games"): people("/manage/games"),
    ("GET", "/manage/games/new"): people("/manage/games/new"),
    ("POST", "/manage/games/new"): people("/manage/games/new"),
    ("GET", "/manage/characters"): people("/manage/characters"),
    ("GET", "/manage/characters/live"): people("/manage/characters/live"),
    ("POST", "/manage/characters/key"): people("/manage/characters/key"),
    ("POST", "/manage/characters/<int:character_id>/approve"): Rule(
        OWNER, "/manage/characters/{character}/approve", refused=404
    ),
    ("GET", "/channels/new"): people("/channels/new"),
    ("POST", "/channels/new"): Rule(frozenset(["owner", "admin"]), "/channels/new", {"name": "parley"}),
    ("GET", "/channels/<name>/edit"): Rule(ADMINS, "/channels/gossip/edit"),  # and who has proposed it
    ("POST", "/channels/<name>/edit"): Rule(ADMINS, "/channels/gossip/edit"),
    ("GET", "/manage/games/<short_name>"): own_game(GAME),
    ("GET", "/manage/games/<short_name>/live"): own_game(f"{GAME}/live"),
    ("GET", "/manage/games/<short_name>/edit"): own_game(f"{GAME}/edit"),
    ("POST", "/manage/games/<short_name>/edit"): own_game(f"{GAME}/edit"),
    ("GET", "/manage/games/<short_name>/sign-in"): own_game(f"{GAME}/sign-in"),
    ("POST", "/manage/games/<short_name>/sign-in"): own_game(f"{GAME}/sign-in"),
    ("GET", "/manage/games/<short_name>/connections"): own_game(f"{GAME}/connections"),
    ("POST", "/manage/games/<short_name>/connections"): own_game(f"{GAME}/connections"),
    ("POST", "/manage/games/<short_name>/check"): own_game(f"{GAME}/check"),
    ("GET", "/manage/games/<short_name>/play"): own_game(f"{GAME}/play"),
    ("POST", "/manage/games/<short_name>/play"): own_game(f"{GAME}/play"),
    ("POST", "/manage/connections/<connection_id>/encoding"): own_game(
        "/manage/connections/{way}/encoding", encoding="gbk"
    ),
    ("POST", "/manage/connections/<connection_id>/prove"): own_game("/manage/connections/{way}/prove"),
    ("GET", "/manage/connections/<connection_id>"): own_game("/manage/connections/{way}"),
    ("POST", "/manage/connections/<connection_id>"): own_game("/manage/connections/{way}"),
    ("GET", "/manage/games/<short_name>/transfer"): own_game(f"{GAME}/transfer"),
    ("POST", "/manage/games/<short_name>/transfer"): own_game(f"{GAME}/transfer"),
    # Only who has the offer: tests/app/test_transfers.py.
    ("POST", "/manage/games/<short_name>/transfer/accept"): Rule(NOBODY, f"{GAME}/transfer/accept", refused=404),
    ("POST", "/manage/games/<short_name>/transfer/cancel"): Rule(NOBODY, f"{GAME}/transfer/cancel", refused=404),
    ("POST", "/manage/games/<short_name>/export"): own_game(f"{GAME}/export"),
    ("POST", "/manage/games/<short_name>/regenerate"): own_game(f"{GAME}/regenerate"),
    ("GET", "/admin"): admins("/admin"),
    ("POST", "/admin"): admins("/admin"),
    ("GET", "/admin/applications"): admins("/admin/applications"),
    ("GET", "/admin/applications/new"): admins("/admin/applications/new"),
    ("POST", "/admin/applications/new"): admins("/admin/applications/new"),
    ("GET", "/admin/applications/<short_name>"): admins("/admin/applications/Mirror"),
    ("GET", "/admin/applications/<short_name>/sign-in"): admins("/admin/applications/Mirror/sign-in"),
    ("POST", "/admin/applications/<short_name>/sign-in"): admins("/admin/applications/Mirror/sign-in"),
    ("POST", "/admin/applications/<short_name>/scopes"): admins("/admin/applications/Mirror/scopes"),
    ("POST", "/admin/applications/<short_name>/regenerate"): admins("/admin/applications/Mirror/regenerate"),
    ("GET", "/admin/applications/requests/<int:request_id>"): admins("/admin/applications/requests/{request}"),
    ("POST", "/admin/applications/requests/<int:request_id>"): admins("/admin/applications/requests/{request}"),
    ("GET", "/admin/channels"): admins("/admin/channels"),
    ("GET", "/admin/channels/new"): admins("/admin/channels/new"),
    ("POST", "/admin/channels/new"): admins("/admin/channels/new"),
    ("GET", "/admin/channels/<name>/edit"): admins("/admin/channels/gossip/edit"),
    ("POST", "/admin/channels/<name>/edit"): admins("/admin/channels/gossip/edit"),
    ("POST", "/admin/channels/<name>/hide"): admins("/admin/channels/gossip/hide"),
    ("POST", "/admin/channels/<name>/show"): admins("/admin/channels/gossip/show"),
    ("GET", "/admin/users"): admins("/admin/users"),
    ("POST", "/admin/users/<username>/role"): admins("/admin/users/reader/role", role="player"),
    ("POST", "/admin/applications/<short_name>/delete"): admins("/admin/applications/Mirror/delete"),
    ("POST", "/admin/channels/<name>/delete"): admins("/admin/channels/spare/delete"),
    ("POST", "/manage/characters/<int:character_id>/deny"): Rule(
        OWNER, "/manage/characters/{waiting}/deny", refused=404
    ),
    ("POST", "/manage/characters/<int:character_id>/delete"): Rule(
        OWNER, "/manage/characters/{character}/delete", refused=404
    ),
    ("POST", "/manage/connections/<connection_id>/delete"): own_game("/manage/connections/{way}/delete"),
    ("POST", "/manage/games/<short_name>/delete"): own_game(f"{GAME}/delete"),
    ("POST", "/account/sessions"): people("/account/sessions"),
    ("POST", "/sign-out"): public("/sign-out"),
}


@pytest.fixture
def examples(stored, world) -> dict[str, str]:
    """The ids of records for the examples' addresses. The owner has both characters."""
    stored.channel("spare")
    way = stored.connection(world.game)
    with db.transaction() as session:
        applications.create_application(session, OPERATOR, name="A mirror", short_name="Mirror")
        owner = session.merge(world.owner)
        first, second = (
            characters.register_character(session, game_id=world.game.id, name=name, key=owner.registration_key)
            for name in ("Wren", "Kit")
        )
        asked = application_requests.create_request(
            session, actors.of_user(session, owner.id), name="Atlas", short_name="Atlas", purpose="A map"
        )
        authorization = {
            "client_id": world.game.client_id,
            "redirect_uri": "https://harbour.example/callback",
            "response_type": "code",
            "scope": "openid",
        }
        games.get_game(session, "Harbour").redirect_uris = [authorization["redirect_uri"]]
        return {
            "authorization": urlencode(authorization),
            "way": way.id,
            "character": str(first.id),
            "waiting": str(second.id),
            "request": str(asked.id),
        }


def test_every_route_of_the_site_has_a_rule(app) -> None:
    """And every rule belongs to a route."""
    listed = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if not is_moderation_route(rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert listed - FOR_PROGRAMS == RULES.keys() - of_moderation.RULES.keys()
    assert listed >= FOR_PROGRAMS


def refusal(answer) -> int | str | None:
    """Return how a request was refused: with a status, or by the page to sign in. None if it was admitted."""
    if answer.status_code == 303 and (answer.location or "").startswith("/sign-in"):
        return "sign-in"
    return answer.status_code if answer.status_code in (401, 403, 404) else None


def expected(role: str, method: str, rule: Rule) -> set[int | str | None]:
    if role in rule.admits:
        return {None}
    return {"sign-in", 401, rule.refused} if role == "visitor" else {rule.refused}


def test_pages_open_only_to_the_roles_in_the_table(sign_in, examples) -> None:
    wrong = []
    for role in ROLES:
        client, _token = sign_in(role)
        for (method, route), rule in RULES.items():
            if method == "GET":
                answer = client.get(rule.example.format(**examples))
                if refusal(answer) not in expected(role, method, rule) or answer.status_code >= 500:
                    wrong.append((route, role, answer.status_code))
    assert wrong == [], wrong


def test_forms_are_taken_only_from_the_roles_in_the_table(sign_in, examples) -> None:
    """First from everybody who is refused, then from one who is not, since some forms delete their record."""
    wrong = []

    def send(role: str, route: str, rule: Rule) -> None:
        client, token = browsers[role]
        answer = client.post(rule.example.format(**examples), data={"csrf_token": token, **rule.fields})
        if refusal(answer) not in expected(role, "POST", rule) or answer.status_code >= 500:
            wrong.append((route, role, answer.status_code))

    browsers = {role: sign_in(role) for role in ROLES}
    forms = [(route, rule) for (method, route), rule in RULES.items() if method == "POST"]
    for route, rule in forms:
        for role in ROLES:
            if role not in rule.admits:
                send(role, route, rule)
    for route, rule in forms:
        for role in sorted(rule.admits, reverse=True)[:1]:
            send("owner" if "owner" in rule.admits else role, route, rule)
    assert wrong == [], wrong


def test_no_form_is_taken_without_its_csrf_token(sign_in, examples) -> None:
    """Of the whole site, from admins and from visitors."""
    for role in ("visitor", "admin"):
        client, _token = sign_in(role)
        for (method, route), rule in RULES.items():
            if method == "POST":
                answer = client.post(rule.example.format(**examples), data=rule.fields)
                assert answer.status_code == 400, (route, role)
