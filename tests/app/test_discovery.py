"""What search engines and other sites read: Open Graph tags, sitemap, robots.txt, the feed of new games."""

from __future__ import annotations

import html
import json
import re
from xml.etree import ElementTree

import pytest
from sqlalchemy import update

from app import create_app
from shared import db
from shared.models import User
from tests.support.factory import edit_game

ATOM = "{http://www.w3.org/2005/Atom}"
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


def addresses(client, path="/sitemap.xml"):
    answer = client.get(path)
    assert answer.status_code == 200 and answer.mimetype == "application/xml"
    return [element.text for element in ElementTree.fromstring(answer.data).iter(f"{SITEMAP}loc")]


def tags(client, path):
    text = client.get(path).get_data(as_text=True)
    return {
        name: html.unescape(value)
        for name, value in re.findall(r'<meta property="og:([^"]+)" content="([^"]*)">', text)
    }


def test_pages_have_open_graph_tags(make_settings, engine, stored):
    """Title, description, address, type and image. User input is escaped."""
    client = create_app(make_settings(PUBLIC_URL="https://gossip.example")).test_client()
    stored.game("Harbour", name='The "Harbour" <b>', description='Fog &\nlanterns "at" night. ' * 40)
    stored.user("wren")
    properties = tags(client, "/games/Harbour")
    assert properties["title"].startswith('The "Harbour" <b>')
    assert properties["description"].startswith('Fog & lanterns "at" night.') and len(properties["description"]) <= 200
    assert (properties["url"], properties["type"]) == ("https://gossip.example/games/Harbour", "website")
    assert properties["site_name"]
    picture = properties["image"].removeprefix("https://gossip.example")
    assert client.get(picture).content_type == "image/png"
    assert tags(client, "/players/wren")["type"] == "profile"
    for path in ("/", "/games", "/chat", "/conduct", "/docs"):
        assert tags(client, path)["url"] == f"https://gossip.example{path}"


def test_the_sitemap_lists_only_public_pages(any_database, app, stored):
    """Pages, displayed games, public channels, and profiles that are not hidden."""
    stored.game("Harbour", owner=stored.user("wren"))
    stored.game("Cellar", owner=stored.user("odo"), is_displayed=False)
    stored.channel("gossip")
    stored.channel("backroom", is_hidden=True)
    with db.transaction() as session:
        session.execute(update(User).where(User.username == "odo").values(is_profile_hidden=True))
    listed = addresses(app.test_client())
    site = app.extensions["settings"].public_url
    assert listed == [
        f"{site}{path}"
        for path in (
            "/",
            "/games",
            "/chat",
            "/docs",
            "/conduct",
            "/transparency",
            "/contact",
            "/privacy",
            "/channels/gossip",
            "/games/Harbour",
            "/players/wren",
        )
    ]
    client = app.test_client()
    assert {client.get(address.removeprefix(site)).status_code for address in listed} == {200}


def test_a_long_sitemap_has_an_index(any_database, app, stored, monkeypatch):
    """The files together list each address once."""
    owner = stored.user("wren")
    for number in range(4):
        stored.game(f"G{number}", owner=owner)
        stored.channel()
    client = app.test_client()
    whole = addresses(client)
    assert len(whole) == 8 + 4 + 4 + 1
    site = app.extensions["settings"].public_url
    for size in (1, 3, 5, 8):
        monkeypatch.setattr("app.pages.sitemap.PER_FILE", size)
        files = addresses(client)
        assert len(files) == -(-len(whole) // size)
        parts = [addresses(client, file.removeprefix(site)) for file in files]
        assert max(map(len, parts)) <= size
        assert [address for part in parts for address in part] == whole
    assert client.get("/sitemap-0.xml").status_code == 404
    assert client.get("/sitemap-4.xml").status_code == 404
    assert client.get(f"/sitemap-{'9' * 30}.xml").status_code == 404


def test_robots_txt_names_the_sitemap(app):
    answer = app.test_client().get("/robots.txt")
    lines = answer.get_data(as_text=True).splitlines()
    assert answer.mimetype == "text/plain" and "User-agent: *" in lines and "Disallow: /manage" in lines
    assert f"Sitemap: {app.extensions['settings'].public_url}/sitemap.xml" in lines
    assert "Disallow: /" not in lines


def test_the_feed_of_new_games(any_database, app, stored):
    """It is well-formed, lists the newest games first, and leaves out hidden ones. An id survives a new short name."""

    client = app.test_client()
    assert ElementTree.fromstring(client.get("/games/feed.atom").data).findall(f"{ATOM}entry") == []
    owner = stored.user()
    for number in range(32):
        stored.game(f"G{number}", owner=owner)
    stored.game("Odd", owner=owner, name="<Odd> & \uffff ]]>", description="<p>Fog\uffff</p> & lanterns")
    stored.game("Cellar", owner=owner, is_displayed=False, description="Secret")

    def entries():
        answer = client.get("/games/feed.atom")
        assert answer.status_code == 200 and answer.mimetype == "application/atom+xml"
        feed = ElementTree.fromstring(answer.data)
        assert feed.find(f"{ATOM}id").text and feed.find(f"{ATOM}updated").text.endswith("+00:00")
        return [
            (entry.find(f"{ATOM}title").text, entry.find(f"{ATOM}link").get("href"), entry.find(f"{ATOM}id").text)
            for entry in feed.findall(f"{ATOM}entry")
        ]

    feed = entries()
    assert len(feed) == 30 and "Cellar" not in str(feed)
    assert feed[0][0] == "<Odd> &  ]]>" and feed[0][1].endswith("/games/Odd")
    assert [title for title, *_ in feed[1:3]] == ["The G31", "The G30"]
    assert len({mark for *_, mark in feed}) == 30
    with db.transaction() as session:
        edit_game(session, "Odd", short_name="Even")
    assert entries()[0][1].endswith("/games/Even") and entries()[0][2] == feed[0][2]
    for path in ("/", "/games"):
        assert 'type="application/atom+xml" title="New games" href="/games/feed.atom"' in client.get(path).text


@pytest.mark.parametrize("path", ["/sitemap.xml", "/robots.txt", "/games/feed.atom"])
def test_the_files_can_be_cached(client, path):
    """They are the same for everybody and set no cookie."""
    answer = client.get(path)
    assert "public, max-age=" in answer.headers["Cache-Control"] and "Set-Cookie" not in answer.headers


def canonical(client, path: str) -> str | None:
    match = re.search(r'<link rel="canonical" href="([^"]*)">', client.get(path).get_data(as_text=True))
    return match and html.unescape(match[1])


def test_every_page_names_its_one_address(make_settings, engine, stored):
    """Without searches and filters, but with the number of a further page, and with names as they are spelled."""
    client = create_app(make_settings(PUBLIC_URL="https://gossip.example/net")).test_client()
    stored.game("Harbour", owner=stored.user("wren"))
    stored.channel("gossip")
    site = "https://gossip.example/net"
    for path, expected in {
        "/": "/",
        "/games?q=x&page=2": "/games?page=2",
        "/games?page=1%22": "/games",
        "/games/hArBoUr": "/games/Harbour",
        "/players/WREN": "/players/wren",
        "/channels/GOSSIP": "/channels/gossip",
        "/docs/protocol/core": "/docs/protocol/core",
    }.items():
        assert canonical(client, path) == site + expected, path
    assert canonical(client, "/nowhere") is None


def test_a_game_is_described_to_search_engines(client, stored):
    """What an owner typed cannot end the script."""
    game = stored.game(
        "Harbour", name="</script><b>", description="Fog & lanterns", homepage_url="https://harbour.example"
    )
    stored.connection(game, type="web", url="https://harbour.example/play")
    page = client.get("/games/Harbour").get_data(as_text=True)
    (text,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page, re.DOTALL)
    about = json.loads(text)
    assert (about["@type"], about["name"], about["description"]) == ("VideoGame", "</script><b>", "Fog & lanterns")
    assert about["url"].endswith("/games/Harbour")
    assert about["sameAs"] == ["https://harbour.example", "https://harbour.example/play"]


def test_the_site_can_be_installed(make_settings, engine):
    """The manifest's icons exist, and its addresses begin with the site's path."""
    client = create_app(make_settings(PUBLIC_URL="https://gossip.example/net")).test_client()
    page = client.get("/").get_data(as_text=True)
    assert 'rel="apple-touch-icon"' in page and 'name="twitter:card" content="summary_large_image"' in page
    answer = client.get(re.search(r'<link rel="manifest" href="([^"]+)"', page)[1])
    manifest = json.loads(answer.data)
    assert answer.mimetype == "application/manifest+json"
    assert manifest["start_url"] == "/net/chat"
    for icon in manifest["icons"]:
        assert client.get(icon["src"]).content_type == icon["type"] == "image/png"
