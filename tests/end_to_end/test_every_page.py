"""Every page in a real browser: accessible, light, self-contained, and no wider than a phone.

The pages come from the site's table of routes. A new page without an example here fails the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response

from app.accounts.links import CHANGE_EMAIL, RESET, VERIFY, make_link
from shared import db
from shared.services import application_requests, channels, characters, games, users
from shared.services.authority import actors
from shared.services.oauth import grants
from tests.support.moderating import make_moderated
from tests.support.processes import free_port
from tests.support.relying_party import CALLBACK, set_up

PASSWORD = "correct horse battery"
MAX_KIB = 100  # without images

NO_PAGES = {
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/oauth/jwks.json",
    "/oauth/userinfo",
    "/users/me",
    "/_health",
    "/chat/<name>/lines",
    "/chat/lines/<id:message_id>",
    "/chat/token.json",
    "/chat/unread.json",
    "/docs/asyncapi.yaml",
    "/docs/libraries/<name>.zip",
    "/favicon.ico",
    "/games/<short_name>/play/token.json",
    "/games/feed.atom",
    "/icon-<int:count>.svg",
    "/manage/characters/live",
    "/manage/games/<short_name>/live",
    "/manifest.webmanifest",
    "/metrics",
    "/moderation/audit/export.csv",
    "/moderation/audit/export.json",
    "/moderation/live/lines",
    "/pictures/avatar-<int:seed>.svg",
    "/pictures/banner-<int:seed>.svg",
    "/robots.txt",
    "/sitemap-<int:number>.xml",
    "/sitemap.xml",
    "/static/<path:filename>",
    "/static/modules/<digest>/<path:name>",
}
MAILED = {  # what expired links show
    "/account/email/<token>": "/account/email/gone",
    "/account/verify/<token>": "/account/verify/gone",
    "/reset/<token>": "/reset/gone",
}
EXAMPLES = {
    **MAILED,
    "/appeals/new": "/appeals/new?sanction={sanction}",
    "/manage/games/<short_name>/mutes": "/manage/games/Reef/mutes",
    "/manage/games/<short_name>/reports": "/manage/games/Reef/reports",
    "/manage/games/<short_name>/sanctions": "/manage/games/Reef/sanctions",
    "/moderation/appeals": "/moderation/appeals?state=",
    "/moderation/appeals/<id:appeal_id>": "/moderation/appeals/{appeal}",
    "/moderation/channels/<name>": "/moderation/channels/noise",
    "/moderation/filters/<id:filter_id>": "/moderation/filters/{filter}",
    "/moderation/messages/<id:message_id>": "/moderation/messages/{message}",
    "/moderation/presets/<id:preset_id>": "/moderation/presets/1",
    "/moderation/records/games/<short_name>": "/moderation/records/games/Reef",
    "/moderation/records/player": "/moderation/records/player?name=Wren@Reef",
    "/moderation/records/users/<username>": "/moderation/records/users/reader",
    "/moderation/reports": "/moderation/reports?state=",
    "/moderation/reports/<id:report_id>": "/moderation/reports/{report}",
    "/moderation/sanctions": "/moderation/sanctions?all=1",
    "/moderation/sanctions/<id:sanction_id>": "/moderation/sanctions/{sanction}",
    "/moderation/sanctions/new": "/moderation/sanctions/new?message={message}",
    "/oauth/authorize": "/oauth/authorize?{authorization}",
    "/report": "/report?message={message}",
    "/admin/applications/<short_name>": "/admin/applications/Mirror",
    "/admin/applications/<short_name>/sign-in": "/admin/applications/Mirror/sign-in",
    "/manage/games/<short_name>/sign-in": "/manage/games/Harbour/sign-in",
    "/admin/applications/requests/<int:request_id>": "/admin/applications/requests/{request}",
    "/admin/channels/<name>/edit": "/admin/channels/gossip/edit",
    "/channels/<name>": "/channels/gossip",
    "/channels/<name>/edit": "/channels/proposed/edit",
    "/chat/<name>": "/chat/gossip",
    "/chat/@<path:player>": "/chat/@Wren@Reef",
    "/docs/libraries/<name>": "/docs/libraries/gossip-backbone",
    "/docs/protocol/<flag>": "/docs/protocol/channels",
    "/docs/search": "/docs/search?q=channel",
    "/docs/start/<slug>": "/docs/start/evennia",
    "/games/<short_name>": "/games/Harbour",
    "/games/<short_name>/play": "/games/Harbour/play",
    "/manage/connections/<connection_id>": "/manage/connections/{connection}",
    "/manage/games/<short_name>": "/manage/games/Harbour",
    "/manage/games/<short_name>/connections": "/manage/games/Harbour/connections",
    "/manage/games/<short_name>/edit": "/manage/games/Harbour/edit",
    "/manage/games/<short_name>/play": "/manage/games/Harbour/play",
    "/manage/games/<short_name>/transfer": "/manage/games/Harbour/transfer",
    "/players/<username>": "/players/keeper",
}
CLOSED = (
    "/account",
    "/admin",
    "/appeals",
    "/channels/new",
    "/channels/proposed",
    "/chat/@",
    "/manage",
    "/moderation",
    "/oauth/authorize",
    "/oauth/logout",
    "/report",
)
PARTS = 4
"""The number of tests that the pages are split into, so that they can run side by side."""
LONG = "A-very-long-word-without-any-space-" * 6

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def environment(environment) -> dict[str, str]:
    """Choose the worker's port in advance, because the chat page connects to it."""
    port = free_port()
    return {**environment, "SOCKET_PORT": str(port), "SOCKET_URL": f"ws://127.0.0.1:{port}/socket"}


@pytest.fixture
def worker(start_worker, site):
    return start_worker(PUBLIC_URL=site.url)


@pytest.fixture
def world(stored, worker, connect) -> dict[str, str]:
    """A network with something on every page, including long words. Its admin owns a game and plays in another."""
    admin = stored.admin("keeper")
    game, credentials = stored.game_with_credentials(
        "Harbour", owner=admin, name="Midnight Harbour", description=f"Ships & fog. {LONG}"
    )
    connection = stored.connection(game, type="web", url=f"https://example.com/{LONG}")
    stored.connection(game, type="telnet", host="mud.example.com", port=4000)
    stored.channel("gossip", description=f"Small talk. {LONG}")
    stored.application("Mirror")
    socket = connect()
    socket.authenticate(
        credentials.client_id, credentials.client_secret, channels=["gossip"], supports=["channels", "players"]
    )
    socket.request("players/sign-in", {"name": "Wren"})
    socket.request("channels/send", {"channel": "gossip", "name": "Wren", "message": f"Hello <3 {LONG}"})
    with db.transaction() as session:
        channels.propose_channel(session, actors.of_user(session, admin.id), name="proposed", description="Ours")
        user = users.find_user(session, admin.id)
        assert user is not None
        asked = application_requests.create_request(
            session, actors.of_user(session, admin.id), name="Atlas", short_name="Atlas", purpose=f"A map. {LONG}"
        )
        request_id = asked.id
        for name in ("Wren", "Pending"):
            key = user.registration_key
            character = characters.register_character(session, game_id=game.id, name=name, key=key)
            if name == "Wren":
                characters.approve_character(session, actors.of_user(session, admin.id), character_id=character.id)
    moderated = make_moderated(
        stored, admin=admin, owner=admin, game="Reef", channel="noise", text=f"Buy gold <b>now</b> {LONG}"
    )
    set_up(game)
    with db.transaction() as session:
        client = games.get_game(session, "Harbour")
        grants.allow(session, actors.of_user(session, admin.id), client=client, scopes=["openid", "email"])
    authorization = {"client_id": credentials.client_id, "redirect_uri": CALLBACK, "response_type": "code"}
    return {
        "authorization": urlencode({**authorization, "scope": "openid profile email"}),
        "connection": str(connection.id),
        "request": str(request_id),
        **moderated.ids(),
    }


@pytest.fixture
def addresses(app, world) -> list[str]:
    """An address for each route that shows a page."""
    rules = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())} - NO_PAGES
    unknown = {rule for rule in rules if "<" in rule} - EXAMPLES.keys()
    assert not unknown, f"name an example of {unknown} in EXAMPLES"
    return sorted(EXAMPLES.get(rule, rule).format(**world) for rule in rules)


class Watched:
    """A page that records its responses and where they came from."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.axe = Axe()
        self.faults: list[str] = []
        self._origin = origin
        self._answers: list[Response] = []
        self._requested: list[str] = []
        page.on("request", lambda request: self._requested.append(request.url))
        page.on("response", lambda answer: self._answers.append(answer))
        page.on("console", lambda message: message.type == "error" and self._complain(f"console: {message.text}"))
        page.on("pageerror", lambda error: self._complain(f"script: {error}"))

    def visit(self, address: str, status: int) -> None:
        """Load a page on a wide light screen and on a dark phone, and check it."""
        self._address, self._status = address, status
        self._answers.clear()
        self._requested.clear()
        self.page.set_viewport_size({"width": 1280, "height": 800})
        self.page.emulate_media(color_scheme="light")
        answer = self.page.goto(address)
        assert answer is not None and answer.status == status, f"{address}: {answer and answer.status}"
        self._weigh()
        self.look("wide and light", {})
        self.page.set_viewport_size({"width": 390, "height": 800})
        self.page.emulate_media(color_scheme="dark")
        self.look("narrow and dark", {"runOnly": ["color-contrast", "target-size", "scrollable-region-focusable"]})
        width = self.page.evaluate("document.documentElement.scrollWidth")
        if width > 390:
            self._complain(f"is {width} pixels wide on a phone")
        if self.page.locator("h1").count() != 1:
            self._complain("has not one main heading")

    def _weigh(self) -> None:
        foreign = {url for url in self._requested if not url.startswith(self._origin)}
        if foreign:
            self._complain(f"needs {foreign}")
        bodies = [answer for answer in self._answers if answer.request.resource_type != "image" and answer.ok]
        kib = sum(answer.request.sizes()["responseBodySize"] for answer in bodies) / 1024
        if kib > MAX_KIB:
            self._complain(f"weighs {kib:.0f} KiB")

    def look(self, how: str, options: dict[str, Any]) -> None:
        """Record what axe reports about the page."""
        if self.page.evaluate("typeof axe") == "undefined":
            self.page.evaluate(self.axe.axe_script)  # once per page: it is half a megabyte
        result = self.page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **options})
        for violation in result["violations"]:
            where = [node["target"] for node in violation["nodes"]]
            self._complain(f"{how}: {violation['impact']} {violation['id']} at {where[:3]}: {violation['help']}")

    def _complain(self, fault: str) -> None:
        if self._status != 200 and fault.startswith("console:"):
            return  # Chromium reports a missing page
        self.faults.append(f"{self._address}: {fault}")


@pytest.fixture
def watch(new_page: Callable[[], Page], site) -> Iterator[Callable[[], Watched]]:
    yield lambda: Watched(new_page(), site.url)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_of_an_admin(watch, addresses, part) -> None:
    watched = watch()
    page = watched.page
    page.goto("/sign-in")
    page.get_by_label("Username or email").fill("keeper")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    page.wait_for_url(lambda url: "sign-in" not in url)
    for address in addresses[part::PARTS]:
        if address not in ("/register", "/sign-in"):
            watched.visit(address, status_of(address))
    page.locator(".site-menu summary").click()
    watched.look("with its menu open", {})
    assert watched.faults == []


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_of_a_visitor(watch, addresses, part) -> None:
    watched = watch()
    for address in addresses[part::PARTS]:
        if not address.startswith(CLOSED):
            watched.visit(address, status_of(address))
    assert watched.faults == []


def test_pages_that_refuse_a_visitor(watch) -> None:
    watched = watch()
    watched.visit("/nowhere", 404)
    watched.visit("/admin", 200)  # redirects to the sign-in page, which says why
    assert watched.faults == []


def test_empty_pages(watch, app, site, stored) -> None:
    """A network without games or channels, an empty account, and links of mails that still work."""
    user = stored.user("newcomer")
    with app.test_request_context():
        links = [urlsplit(make_link(purpose, user)).path for purpose in (VERIFY, CHANGE_EMAIL, RESET)]
    watched = watch()
    for address in ("/", "/games", "/games?q=none", "/channels", "/players/newcomer", *links):
        watched.visit(address, 200)
    page = watched.page
    page.goto("/sign-in")
    page.get_by_label("Username or email").fill("newcomer")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    page.wait_for_url(lambda url: "sign-in" not in url)
    for address in ("/manage/games", "/manage/characters", "/account", "/account/delete", "/players/newcomer"):
        watched.visit(address, 200)
    assert watched.faults == []


def test_a_bad_page_is_detected(watch, site) -> None:
    watched = watch()
    poor = f"""<!doctype html><title>Poor</title><p style="color:#ddd;background:#fff;width:600px">Pale</p>
        <img src="/static/none.png"><script src="https://elsewhere.example/x.js"></script><!--{"x" * 120_000}-->"""
    watched.page.route("**/poor", lambda route: route.fulfill(body=poor, content_type="text/html"))
    watched.visit("/poor", 200)
    reported = "\n".join(watched.faults)
    for fault in ("color-contrast", "image-alt", "html-has-lang", "pixels wide", "main heading", "elsewhere", "weighs"):
        assert fault in reported, reported


def status_of(address: str) -> int:
    return 404 if address in MAILED.values() else 200
