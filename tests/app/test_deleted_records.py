"""No link on a page leads nowhere after records were deleted, or to another record."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest

from shared import db
from shared.services import accounts, applications, channels, characters, games
from tests.support.factory import PASSWORD
from tests.support.moderating import actor, make_moderated, mute, speak

LINK = re.compile(r'\s(?:href|src)="([^"]+)"')
STARTS = ("/", "/games", "/channels", "/chat", "/players/reader", "/manage/games", "/moderation", "/moderation/audit",
          "/moderation/reports?state=", "/moderation/sanctions?all=1", "/moderation/appeals?state=", "/account",
          "/manage/characters", "/admin", "/admin/users", "/admin/applications", "/safety")  # fmt: skip
MAX_PAGES = 500


def crawl(client) -> dict[str, tuple[int, str]]:
    """Follow all links from the first pages. Return the failures by address: the status, and the page with the link."""
    failed: dict[str, tuple[int, str]] = {}
    found = {start: "" for start in STARTS}
    waiting = list(STARTS)
    for _ in range(MAX_PAGES):
        if not waiting:
            return failed
        path = waiting.pop()
        answer = client.get(path)
        if answer.status_code >= 400 and (found[path] or answer.status_code >= 500):
            failed[path] = (answer.status_code, found[path])
        if "text/html" not in answer.content_type:
            continue
        links = [unescape(link) for link in LINK.findall(answer.get_data(as_text=True))]
        links += [answer.headers["Location"]] if "Location" in answer.headers else []
        for link in links:
            parts = urlsplit(urljoin(f"http://localhost{path}", link))
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            if parts.netloc in ("localhost", "127.0.0.1:4100") and target not in found and _is_followed(parts.path):
                found[target] = path
                waiting.append(target)
    raise AssertionError(f"more than {MAX_PAGES} pages: {waiting[:20]}")


def _is_followed(path: str) -> bool:
    return not path.startswith(("/static/", "/docs", "/games/feed", "/icon"))


@pytest.fixture
def deleted(stored):
    """A network with a record of each kind, of which most are deleted now. Returns those who are left."""
    world = make_moderated(stored)
    kept_game, gone_user = stored.game("Reef", owner=world.admin), stored.user("gone")
    gone_game = stored.game("Gone", owner=world.owner)
    spare = stored.channel("spare")
    stored.application("Mirror")
    messages = [
        speak(channel, game, "Wren", "hello")
        for channel in (world.channel, spare)
        for game in (world.game, gone_game, kept_game)
    ]
    with db.transaction() as session:
        keeper = actor(session, world.moderator)
        mute(session, keeper, "Wren@Gone")
        mute(session, keeper, "gone", target_kind="user")
        mute(session, keeper, "Wren@Reef", channel="spare")
        mute(session, keeper, "Gone", target_kind="game")
        characters.register_character(session, game_id=kept_game.id, name="Wren", key=gone_user.registration_key)
    with db.transaction() as session:
        admin = actor(session, world.admin)
        for short_name in ("Harbour", "Gone"):
            games.delete_game(session, admin, short_name=short_name)
        for name in ("spare", "gossip"):
            channels.delete_channel(session, admin, name=name)
        applications.delete_application(session, admin, short_name="Mirror")
        for user in (gone_user, world.player, world.owner, world.moderator):
            accounts.delete_account(session, actor(session, user), password=PASSWORD)
    return world, messages


def test_no_page_links_to_what_was_deleted(deleted, new_visitor, stored):
    world, messages = deleted
    reader = stored.user("other")
    for user in (world.admin, reader, None):
        visitor = new_visitor()
        if user is not None:
            visitor.sign_in(user.username)
        for message in messages:
            assert visitor.client.get(f"/chat/lines/{message}").status_code in (302, 303, 404)
        for path in ("/games/Gone", "/channels/spare", "/chat/spare", "/players/gone"):
            assert visitor.client.get(path).status_code == 404, path
        assert crawl(visitor.client) == {}
    moderators = new_visitor().sign_in(world.admin.username)
    for path in ("games/Gone", "player?name=Wren@Gone", "users/gone", "player?name=gone@Grapevine"):
        assert "was deleted" in moderators.open(f"/moderation/records/{path}"), path
    for path in ("games/Never", "player?name=Wren@Never", "users/never"):
        assert moderators.client.get(f"/moderation/records/{path}").status_code == 404


def test_a_channel_of_the_same_name_is_another_one(deleted, new_visitor, stored):
    """Old lines do not appear in it, and what was decided about the old one does not hold in it."""
    world, messages = deleted
    stored.channel("spare")
    visitor = new_visitor().sign_in(world.admin.username)
    assert "hello" not in visitor.open("/chat/spare")
    for message in messages:
        assert visitor.client.get(f"/chat/lines/{message}").status_code == 404
