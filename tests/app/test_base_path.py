"""A site under a path of its host: PUBLIC_URL is https://example.com/gossip."""

import html
import re

import pytest

from app import create_app
from tests.app.conftest import TOKEN
from tests.support.factory import PASSWORD
from tests.support.moderating import make_moderated

HOST = "http://127.0.0.1:4100"
LINK = re.compile(r'\s(?:href|src|data-live|data-lines|data-token|data-unread)="(/[^"#]*)')
ACTION = re.compile(r'\saction="(/[^"]*)"')
FULL = re.compile(rf"{HOST}(/[^\s\"<)]*)")


@pytest.fixture
def site(make_settings, engine):
    return create_app(make_settings(PUBLIC_URL=f"{HOST}/gossip/"))


def _crawl(client, starts: list[str], *, strips: bool, cookie: str) -> set[str]:
    """Follow all links from these pages as a browser would, through a proxy that strips the path or passes it on."""
    seen, waiting = set(starts), list(starts)
    while waiting:
        address = waiting.pop()
        assert address == "/gossip" or address.startswith("/gossip/"), address
        path = address.removeprefix("/gossip") or "/" if strips else address
        answer = client.get(path, base_url=HOST, headers={"Cookie": cookie})
        assert answer.status_code < 400, address
        found = [answer.headers["Location"]] if "Location" in answer.headers else []
        if answer.mimetype in ("text/html", "application/xml", "application/atom+xml"):
            assert all(action.startswith("/gossip/") for action in ACTION.findall(answer.text)), address
            found += (LINK if answer.mimetype == "text/html" else FULL).findall(answer.text)
        for link in map(html.unescape, found):
            link = link.removeprefix(HOST)
            if link not in seen and "/static/" not in link.removeprefix("/gossip/static/"):
                seen.add(link)
                waiting.append(link)
    return seen


@pytest.mark.parametrize("strips", [False, True], ids=["passed on", "stripped"])
@pytest.mark.parametrize("is_signed_in", [False, True], ids=["visitor", "admin"])
def test_every_link_stays_under_the_path(site, stored, strips, is_signed_in):
    """Links, forms, redirects, assets, the feed and the sitemap."""
    world = make_moderated(stored)
    client, cookie = site.test_client(), ""
    if is_signed_in:
        page = client.get("/gossip/sign-in", base_url=HOST).text
        fields = {"csrf_token": TOKEN.search(page)[1], "login": world.admin.username, "password": PASSWORD}
        answer = client.post("/gossip/sign-in", data=fields, base_url=HOST)
        assert answer.status_code == 303 and answer.headers["Location"].startswith("/gossip/")
        cookies = answer.headers.getlist("Set-Cookie")
        cookie = "; ".join(value.partition(";")[0] for value in cookies)
        assert len(cookies) == 2 and all("Path=/gossip" in cookie for cookie in cookies)
    starts = ["/gossip", "/gossip/sitemap.xml", "/gossip/games/feed.atom"]
    seen = _crawl(site.test_client(use_cookies=False), starts, strips=strips, cookie=cookie)
    assert len(seen) > (90 if is_signed_in else 25)
    assert any(address.startswith("/gossip/static/") for address in seen)


def test_signing_in_leads_back_under_the_path(site, stored):
    user, client = stored.user(), site.test_client()
    answer = client.get("/gossip/manage/games?page=2", base_url=HOST)
    assert answer.headers["Location"] == "/gossip/sign-in?next=/gossip/manage/games?page%3D2"
    for target, location in (("/gossip/account", "/gossip/account"), ("/other", None), ("//evil", None)):
        page = client.get("/gossip/sign-in", base_url=HOST).text
        fields = {"csrf_token": TOKEN.search(page)[1], "login": user.username, "password": PASSWORD}
        answer = client.post(f"/gossip/sign-in?next={target}", data=fields, base_url=HOST)
        assert answer.status_code == 303
        assert answer.headers["Location"] == (location or "/gossip/")


def test_mails_and_robots_name_the_path_once(site, stored, mailbox):
    client = site.test_client()
    page = client.get("/gossip/register", base_url=HOST).text
    fields = {"username": "wren", "email": "wren@example.com", "password": PASSWORD, "password_confirmation": PASSWORD}
    client.post("/gossip/register", data={**fields, "csrf_token": TOKEN.search(page)[1]}, base_url=HOST)
    text = mailbox.take_one(to="wren@example.com")
    assert f"{HOST}/gossip/account/verify/" in text and "/gossip/gossip" not in text
    robots = client.get("/gossip/robots.txt", base_url=HOST).text
    assert "Disallow: /gossip/account\n" in robots and f"Sitemap: {HOST}/gossip/sitemap.xml" in robots


def test_health_checks_need_no_path(site):
    assert site.test_client().get("/_health").status_code == 200
