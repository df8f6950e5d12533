"""The chat's pages without scripts, and what the script requests from the site."""

from __future__ import annotations

import re
import time

import pytest

from app.chat.text import linked
from shared import chat_tokens
from shared.db import transaction, utc_now
from shared.presence import SOCKET_KEY, SocketPresence
from shared.services import accounts, history, read_marks
from shared.services.authority import actors
from shared.services.history import Line
from shared.services.moderation import channel_states, ignores
from tests.support.servers import SECRET_KEY


def say(channel, *texts, name="Ash", game="Harbour", peer="game:1"):
    """Store lines and return their ids."""
    with transaction() as session:
        lines = [Line(channel.id, peer, game, name, text, utc_now()) for text in texts]
        return history.store_lines(session, lines, worker="w")


def ids(page):
    return [int(number) for number in re.findall(r'<li class="line[^"]*" data-id="(\d+)"', page)]


@pytest.fixture
def reader(visitor, stored):
    """A signed-in visitor. `visitor.user` is the account."""
    visitor.user = stored.user("wren")
    return visitor.sign_in("wren")


def test_only_public_channels_are_listed(visitor, stored):
    stored.channel("harbour", description="Ships & tides")
    stored.channel("secret", is_hidden=True)
    page = visitor.open("/chat")
    assert "[harbour]" in page or ">harbour<" in page
    assert "Ships & tides" in page and "secret" not in page
    assert "Sign in" in page


def test_without_channels_the_page_says_so(visitor):
    assert "No public channels yet" in visitor.open("/chat")


@pytest.mark.parametrize("path", ["/chat/secret", "/chat/secret/lines", "/chat/nothing", "/chat/nothing/lines"])
@pytest.mark.parametrize("role", [None, "player", "admin"])
def test_hidden_and_unknown_channels_are_404_for_everybody(visitor, stored, path, role):
    stored.channel("secret", is_hidden=True)
    if role:
        stored.user("wren", role=role)
        visitor.sign_in("wren")
    visitor.open(path)
    assert visitor.status == 404


def test_strangers_can_read_and_are_asked_to_sign_in(visitor, stored):
    channel = stored.channel("gossip")
    say(channel, "hello all")
    page = visitor.open("/chat/gossip")
    assert "hello all" in page and "Sign in to speak" in page
    assert "chat-form" not in page and "data-token" not in page
    visitor.open("/chat/GOSSIP")
    assert visitor.status == 200


def test_an_empty_channel_says_so(visitor, stored):
    stored.channel("gossip")
    assert "No messages yet" in visitor.open("/chat/gossip")


def test_pages_of_lines_lead_to_each_other(visitor, stored):
    channel = stored.channel("gossip")
    say(stored.channel("other"), "elsewhere")
    line_ids = say(channel, *(f"line {number}" for number in range(120)))

    page = visitor.open("/chat/gossip")
    assert ids(page) == line_ids[70:]
    older = re.search(r'id="chat-older"[^>]*href="([^"]+)"', page)[1]
    page = visitor.open(older)
    assert ids(page) == line_ids[20:70] and "Back to the latest" in page
    page = visitor.open(re.search(r'id="chat-older"[^>]*href="([^"]+)"', page)[1])
    assert ids(page) == line_ids[:20] and "This is the start of the channel" in page
    newer = re.search(r'rel="next" href="([^"]+)"', page)[1]
    page = visitor.open(newer)
    assert ids(page) == line_ids[20:70]
    page = visitor.open(re.search(r'rel="next" href="([^"]+)"', page)[1])
    assert ids(page) == line_ids[70:] and 'rel="next"' not in page


def test_lines_for_the_script(visitor, stored):
    channel = stored.channel("gossip")
    line_ids = say(channel, *(f"line {number}" for number in range(60)))
    page = visitor.open(f"/chat/gossip/lines?after={line_ids[0]}")
    assert ids(page) == line_ids[1:51] and 'data-more="yes"' in page
    page = visitor.open(f"/chat/gossip/lines?before={line_ids[10]}")
    assert ids(page) == line_ids[:10] and 'data-more="no"' in page
    assert "<html" not in page


@pytest.mark.parametrize("place", ["x", "-1", "", "9" * 19, "9" * 30, "1.5", "١"])
def test_invalid_ids_in_the_address_are_ignored(visitor, stored, place):
    say(stored.channel("gossip"), "hello")
    for path in ("/chat/gossip", "/chat/gossip/lines"):
        for name in ("before", "after"):
            visitor.open(f"{path}?{name}={place}")
            assert visitor.status == 200


def test_messages_are_escaped(visitor, stored):
    """The page does not rely on what games send having been cleaned."""
    channel = stored.channel("gossip", description="<script>alert(1)</script>")
    evil = "<img src=x onerror=alert(1)> & \"quotes\" 'too'"
    say(channel, evil, name="<b>Ash</b>", game="<i>G</i>")
    for path in ("/chat/gossip", "/chat", "/chat/gossip/lines"):
        body = visitor.client.get(path).get_data(as_text=True)
        assert not re.search(r"<(img|b>Ash|i>G|script>alert)", body), path
    assert evil in visitor.open("/chat/gossip")


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see https://example.com/a?b=c&d=e, please", ["https://example.com/a?b=c&d=e"]),
        (
            "(http://example.com/x) and https://example.com/y_(z).",
            ["http://example.com/x", "https://example.com/y_(z)"],
        ),
        ("HTTPS://Example.com!", ["HTTPS://Example.com"]),
        ("javascript:alert(1) data:text/html,x ftp://x file:///etc", []),
        ("https:// http://, https://.", []),
        ('https://example.com/"onmouseover="alert(1)', ["https://example.com/"]),
        ("https://example.com/<script>", ["https://example.com/"]),
        ("xhttps://example.com", ["https://example.com"]),
        ("", []),
    ],
)
def test_addresses_become_nofollow_links(text, links):
    rendered = str(linked(text))
    addresses = re.findall(r'<a href="([^"]*)" rel="nofollow noopener ugc" target="_blank">', rendered)
    assert [address.replace("&amp;", "&") for address in addresses] == links
    assert re.sub(r"</?a[^>]*>", "", rendered).count("<") == 0


def test_a_line_of_brackets_takes_linear_time():
    """Scanning the whole address for each trimmed bracket would take minutes."""
    began = time.monotonic()
    rendered = str(linked("http://example.com/" + ")" * 300_000))
    assert time.monotonic() - began < 5
    assert rendered.count('href="http://example.com/"') == 1


def test_a_page_has_what_its_script_needs(reader, stored, settings):
    channel = stored.channel("gossip")
    page = reader.open("/chat/gossip")
    assert f'data-socket="{settings.chat_socket_url}"' in page
    assert f'data-channel-id="{channel.id}"' in page and "as wren" in page
    assert 'data-token="/chat/token.json"' in page and 'data-silence="35.0"' in page
    policy = reader.answer.headers["Content-Security-Policy"]
    assert f"connect-src 'self' {settings.chat_socket_url.removesuffix('/chat-socket')};" in policy
    assert "script-src 'self'" in policy and "default-src 'none'" in policy
    page = reader.open("/games")  # every page of a signed-in person holds the socket
    assert f'data-socket="{settings.chat_socket_url}"' in page
    assert reader.answer.headers["Content-Security-Policy"] == policy


def test_the_page_explains_what_works_without_scripts(reader, stored):
    stored.channel("gossip")
    assert re.search(r"<noscript>.*please enable JavaScript.*</noscript>", reader.open("/chat/gossip"))


def test_only_signed_in_users_get_a_token(reader, visitor, app, stored):
    stored.channel("gossip")
    stored.channel("secret", is_hidden=True)
    assert app.test_client().get("/chat/token.json").status_code == 401
    answer = reader.client.get("/chat/token.json")
    assert answer.headers["Cache-Control"] == "no-store"
    token = chat_tokens.read_token([SECRET_KEY], answer.json["token"])
    assert token.user_id == reader.user.id
    assert token.mark == chat_tokens.session_mark(reader.user.session_token)
    assert reader.user.session_token not in answer.get_data(as_text=True)
    again = chat_tokens.read_token([SECRET_KEY], reader.client.get("/chat/token.json").json["token"])
    assert again.number != token.number


def test_an_ended_session_gets_no_token(reader):
    with transaction() as session:
        accounts.end_sessions(session, actors.of_user(session, reader.user.id))
    assert reader.client.get("/chat/token.json").status_code == 401
    assert reader.client.get("/chat/unread.json").status_code == 401


def test_emotes_read_as_what_somebody_does_on_every_page(reader, stored):
    gossip = stored.channel("gossip")
    say(gossip, "/me waves")
    for path in ("/", "/chat", "/chat/gossip"):
        page = reader.open(path)
        assert "waves" in page and "/me waves" not in page, path
    assert ": <" not in re.search(r'<ol id="home-lines".*?</ol>', reader.open("/"), re.DOTALL)[0]


def test_a_channel_that_was_never_opened_has_no_count(reader, stored):
    """Nor do its pages count its new lines: after a reload they would be gone."""
    for name in ("gossip", "harbour", "testing"):
        stored.channel(name)
    assert reader.open("/chat/gossip").count("data-is-counted") == 0
    assert reader.open("/chat/harbour").count("data-is-counted") == 1
    assert reader.open("/chat").count("data-is-counted") == 2


def test_unread_lines_are_counted_and_marked(reader, stored):
    gossip, harbour = stored.channel("gossip"), stored.channel("harbour")
    say(gossip, "one")
    reader.open("/chat/gossip")
    say(gossip, "two", "three")
    say(harbour, "never opened")
    assert reader.client.get("/chat/unread.json").json == {"gossip": 2, "harbour": 0}
    assert re.search(r'unread-count">2<', reader.open("/chat"))
    assert re.search(r'unread-count">2<', reader.open("/chat/harbour"))
    page = reader.open("/chat/gossip")
    assert page.index("one") < page.index("New since your last visit") < page.index("two")
    assert reader.client.get("/chat/unread.json").json["gossip"] == 0
    assert "New since your last visit" not in reader.open("/chat/gossip")


@pytest.fixture
def ignoring(reader, stored):
    """A reader who ignores Pest@Harbour."""
    stored.game("Harbour")
    with transaction() as session:
        ignores.add_ignore(session, actors.of_user(session, reader.user.id), pattern="Pest@Harbour")
    return reader


def test_ignored_lines_are_not_shown(ignoring, new_visitor, stored):
    """Their text is not in the page, but their ids are, for paging and read marks."""
    channel = stored.channel("gossip")
    first, pest, last = say(channel, "one") + say(channel, "buy", name="PEST") + say(channel, "two")
    for path in ("/chat/gossip", "/chat/gossip/lines", f"/chat/gossip?before={last + 1}", "/channels/gossip"):
        page = ignoring.open(path)
        assert "one" in page and "two" in page and "buy" not in page and "PEST" not in page, path
        assert "buy" in new_visitor().open(path), path
    assert ids(ignoring.open("/chat/gossip")) == [first, pest, last]


def test_ignored_lines_are_not_unread(ignoring, stored):
    gossip = stored.channel("gossip")
    say(gossip, "one")
    ignoring.open("/chat/gossip")
    say(gossip, "buy", "buy", name="Pest")
    assert ignoring.client.get("/chat/unread.json").json == {"gossip": 0}
    assert "New since your last visit" not in ignoring.open("/chat/gossip")
    say(gossip, "buy", name="Pest")
    say(gossip, "two")
    assert ignoring.client.get("/chat/unread.json").json == {"gossip": 1}
    page = ignoring.open("/chat/gossip")
    assert page.index("one") < page.index("New since your last visit") < page.index("two")


def test_the_list_shows_what_is_going_on(ignoring, stored):
    """The last line, who speaks today, and pauses, without players whom the reader ignores."""
    gossip = stored.channel("gossip")
    stored.channel("quiet")
    for name, text in (("Ash", "one"), ("Bram", "two"), ("Ash", "three"), ("Pest", "buy")):
        say(gossip, text, name=name)
    with transaction() as session:
        channel_states.pause(session, actors.OPERATOR, channel="gossip", minutes=10, reason="A flood")
    page = ignoring.open("/chat")
    last, quiet = re.findall(r'<p class="last-line"(?: hidden)?>(.*?)</p>', page)
    assert "system" in last and "A flood" in last and quiet == ""
    assert re.findall(r"Speaking today: (.*?)</p>", page) == ["<bdi>Ash</bdi>, <bdi>Bram</bdi>"]
    assert ">paused</span>" in page and "This channel is paused until" in page
    assert "This channel is paused until" in ignoring.open("/chat/gossip")


def test_search_and_permanent_links_work_without_scripts(ignoring, new_visitor, stored):
    channel = stored.channel("gossip")
    line_ids = say(channel, *(f"storm {number}" for number in range(120)))
    (pest,) = say(channel, "storm sale", name="Pest")
    page = ignoring.open("/chat/gossip?q=storm&from=ash@harbour")
    assert ids(page) == line_ids[70:] and "The newest 50 matches" in page
    older = re.search(r'rel="prev" href="([^"]+)"', page)[1].replace("&amp;", "&")
    assert ids(ignoring.open(older)) == line_ids[20:70]
    assert "Nothing matches" in ignoring.open("/chat/gossip?q=nothing&since=x&until=0001-01-01")
    assert ids(new_visitor().open("/chat/gossip?q=sale")) == [pest]
    answer = ignoring.client.get(f"/chat/lines/{line_ids[60]}")
    assert answer.location == f"/chat/gossip?at={line_ids[60]}#line-{line_ids[60]}"
    page = ignoring.open(answer.location)
    assert ids(page) == line_ids[35:86] and f'id="line-{line_ids[60]}"' in page and 'rel="next"' in page
    for path in ("/chat/lines/999999", "/chat/@nobody", "/chat/@@x"):
        ignoring.open(path)
        assert ignoring.status == 404, path


def test_the_page_of_a_conversation(reader, new_visitor):
    """The site knows nothing of tells: the page is the same whoever the player is."""
    page = reader.open("/chat/@Ash%2FB%20C@Harbour")
    assert reader.status == 200 and 'data-tell="Ash/B C@Harbour"' in page and "Tells need JavaScript" in page
    stranger = new_visitor()
    assert stranger.client.get("/chat/@Ash@Harbour").location.startswith("/sign-in")


def test_lines_of_one_speaker_stand_under_one_name(visitor, stored):
    """An emote has its speaker's name."""
    channel = stored.channel("gossip")
    say(channel, "one", "two", "/me waves", "three")
    say(channel, "four", name="Odo")
    page = visitor.open("/chat/gossip")
    kinds = re.findall(r'<li class="line([^"]*)"', page)
    assert kinds == ["", " grouped", " emote", "", ""]
    assert '<span class="said" dir="auto">waves</span>' in page


def test_modules_are_kept_by_browsers_until_they_change(visitor, stored):
    """The digest is in the path, so modules import each other without versions."""
    stored.channel("gossip")
    page = visitor.open("/chat/gossip")
    address = re.search(r'<script type="module" src="([^"]+/chat/reader.js)"', page)[1]
    assert re.fullmatch(r"/static/modules/[0-9a-f]{10}/chat/reader.js", address)
    answer = visitor.client.get(address)
    assert answer.mimetype == "text/javascript" and "max-age=31536000" in answer.headers["Cache-Control"]
    old = visitor.client.get("/static/modules/0123456789/link/socket.js")
    assert old.status_code == 200 and old.headers["Cache-Control"] == "no-cache"
    assert visitor.client.get("/static/modules/0123456789/../../site.css").status_code == 404
    icon = visitor.client.get("/icon-12.svg")
    assert icon.mimetype == "image/svg+xml" and ">9+</text>" in icon.get_data(as_text=True)


def test_older_lines_mark_nothing(reader, stored):
    gossip = stored.channel("gossip")
    line_ids = say(gossip, *(f"line {number}" for number in range(60)))
    reader.open(f"/chat/gossip?before={line_ids[55]}")
    with transaction() as session:
        assert read_marks.last_read(session, user_id=reader.user.id, channel_id=gossip.id) is None


def test_the_page_lists_listeners(visitor, stored, app):
    channel = stored.channel("gossip")
    bus = app.extensions["bus"]

    def online(number, **fields):
        socket = SocketPresence(id=str(number), worker="w", channels=[channel.id], **fields)
        from msgspec.json import encode

        bus.redis.set(SOCKET_KEY + socket.id, encode(socket))

    online(1, peer="grapevine", game="Grapevine", players=["wren"])
    online(2, peer="grapevine", game="Grapevine", players=["Wren"])
    online(3, peer="grapevine", game="Grapevine", players=[])
    online(4, peer="game:1", game="Harbour", players=["Ash", "Bram"])
    online(5, peer="game:1", game="Harbour", players=["ash"])
    online(6, peer="game:2", game="Hidden", is_displayed=False, players=["Eve"])
    online(7, peer="application:1", game="App", is_application=True, is_displayed=False)
    page = visitor.open("/chat/gossip")
    people = re.search(r'id="chat-people">(.*?)</ul>', page, re.DOTALL)[1]
    assert [name.lower() for name in re.findall(r">([^<>]+)</a>", people)] == ["wren"]
    games = re.search(r'id="chat-games">(.*?)</ul>', page, re.DOTALL)[1]
    assert re.findall(r">([^<>]+)</a> <span class=\"soft\">(\d+)<", games) == [("Harbour", "2")]
    assert "Hidden" not in page and "Eve" not in page


def test_the_chat_works_while_redis_is_down(own_valkey, visitor, stored):
    say(stored.channel("gossip"), "hello")
    own_valkey.stop()
    assert "hello" in visitor.open("/chat/gossip")
