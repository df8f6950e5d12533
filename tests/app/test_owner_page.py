"""The owner's page of a game: its sockets, errors and checks, live, and its messages while Redis is down."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import msgspec
import pytest
import redis
from flask import render_template

from app.games.owner import collapse
from shared import db, diagnostics
from shared.diagnostics import Disconnect, Headroom, Refusal, SeenFrame, State
from shared.models import ConnectionCheck, GameConnection
from shared.peer_keys import of_game
from shared.presence import SOCKET_KEY, WORKER_KEY, SocketPresence
from shared.services import check_allowances, connection_checks
from shared.services.authority import actors
from shared.services.connection_checks import MEANINGS, Outcome
from shared.services.moderation import sanctions
from tests.app.conftest import Visitor
from tests.support.statements import counted_statements

PAGE = "/manage/games/Mine"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def owner(stored):
    return stored.user("wren", is_verified=True)


@pytest.fixture
def game(stored, owner):
    return stored.game("Mine", owner=owner)


@pytest.fixture
def owner_browser(visitor, game):
    return visitor.sign_in("wren")


@pytest.fixture
def put(redis_url, app, monkeypatch):
    """Write into Redis what workers write, and make the page read it again."""
    monkeypatch.setattr("app.online.CACHE_SECONDS", 0.0)
    with redis.Redis.from_url(redis_url) as client:

        class Put:
            def socket(self, game, **fields):
                socket = SocketPresence(
                    **{"id": "s1", "worker": "w1", "peer": f"game:{game.id}", "game": game.short_name, **fields}
                )
                client.set(SOCKET_KEY + socket.id, msgspec.json.encode(socket))

            def seen(self, game, name, *items):
                client.rpush(f"{diagnostics.peer_key(of_game(game.id))}:{name}", *map(msgspec.json.encode, items))

            def limits(self, game, *limits):
                client.set(WORKER_KEY + "w1", b"{}")
                state = msgspec.json.encode(State(time.time(), True, {}, list(limits)))
                client.hset(f"{diagnostics.peer_key(of_game(game.id))}:states", "w1", state)

        yield Put()


def check(way, outcome, **fields):
    now = db.utc_now()
    with db.transaction() as session:
        session.add(
            ConnectionCheck(
                connection_id=way.id,
                due_at=now + timedelta(hours=1),
                checked_at=now,
                outcome=outcome.value,
                milliseconds=120,
                **fields,
            )
        )


def test_a_game_that_never_connected_gets_instructions(owner_browser):
    page = owner_browser.open(PAGE)
    assert owner_browser.status == 200 and page.count("<h1") == 1
    assert "Not connected" in page and "has never connected" in page and 'href="#connect"' in page
    assert "style=" not in page and len(page) < 40_000
    assert "Nothing in the last 24 hours" in page and "None listed" in page


def test_each_socket_is_shown_with_its_details(owner_browser, game, stored, put):
    stored.channel("gossip")
    channel = stored.channel("secret", is_hidden=True)
    now = time.time()
    put.socket(
        game,
        address="203.0.113.7",
        since=now - 7200,
        seen_at=now - 180,
        version="2.4.0",
        user_agent="ExVenture 0.28",
        supports=["channels", "players"],
        channels=[channel.id, 9999],
        players=["Wren", "Odo"],
    )
    put.socket(game, id="s2", since=now, supports=["channels"])
    put.socket(stored.game("Other"), id="s3", address="198.51.100.1")
    page = owner_browser.open(PAGE)
    for words in (
        "Connected",
        "with 2 sockets",
        "203.0.113.7",
        "2 hours ago",
        "3 minutes ago",
        "2.4.0",
        "ExVenture 0.28",
    ):
        assert words in page, words
    assert ">secret</span>" in page and "Wren, Odo" in page and "Players (2)" in page
    assert "none, so the game receives no messages" in page and "unknown, because the game does not support" in page
    assert "198.51.100.1" not in page and "Not connected" not in page


def test_errors_are_shown_newest_first_with_what_was_expected(owner_browser, game, put):
    now = time.time()
    put.seen(
        game,
        "refusals",
        Refusal(now - 500, '{"event":"authenticate","payload":{"client_id":"•••"}}', "invalid-credentials", "no", "x"),
        Refusal(now - 60, "{nope", "not-json", "not a frame", "one JSON object"),
        Refusal(now - 30, '{"event":"channels/send"}', "rate-limited", "too many", "fewer"),
    )
    put.seen(
        game,
        "disconnects",
        Disconnect(now - 400, 4001, "heartbeats were not answered", 59.7),
        Disconnect(now - 20, None, "", 7300.0),
    )
    put.seen(game, "frames", SeenFrame(now - 60, "in", "{nope"), SeenFrame(now - 59, "out", '{"event":"heartbeat"}'))
    put.limits(game, Headroom("channels/send:player", "alice", 3.7, 10, 2.0))
    page = owner_browser.open(PAGE)
    order = [
        "Rate limit exceeded",
        "Not a JSON frame",
        "Wrong secret",
        "The connection was lost",
        "4001",
        "from you",
    ]
    assert [page.index(words) for words in order] == sorted(page.index(words) for words in order)
    for words in (
        "Our answer: not a frame",
        "Expected: one JSON object",
        "after 2 h",
        "after 59 s",
        "3 of 10",
        "alice",
    ):
        assert words in page, words
    assert page.index('{"event":"heartbeat"}') < page.rindex("{nope")


def test_frames_are_escaped(owner_browser, game, stored, put):
    """Also where they are cut off."""
    put.socket(game, address=EVIL, user_agent=EVIL, version=EVIL, supports=[EVIL], players=[EVIL])
    put.seen(game, "refusals", Refusal(time.time(), EVIL * 20, EVIL, EVIL, EVIL * 20))
    put.seen(game, "disconnects", Disconnect(time.time(), 1001, EVIL, 1.0))
    put.seen(game, "frames", SeenFrame(time.time(), "in", EVIL * 100))
    put.limits(game, Headroom("x:player", EVIL, 1.0, 2, 1.0))
    for path in (PAGE, f"{PAGE}/live"):
        owner_browser.open(path)
        raw = owner_browser.answer.get_data(as_text=True)
        assert "<script>alert" not in raw and "&lt;script&gt;alert" in raw


def test_the_page_stays_small(owner_browser, game, put):
    put.seen(game, "frames", *[SeenFrame(time.time(), "in", "x" * 1024)] * 100)
    put.seen(game, "refusals", *[Refusal(time.time(), "x" * 1024, "invalid", "y" * 300, "z" * 1024)] * 50)
    assert len(owner_browser.open(PAGE)) < 100_000


@pytest.fixture
def sanctioned(stored):
    """Impose sanctions on the game."""
    moderator = stored.user("mod", role="moderator")

    def impose(kind, target="Mine", target_kind="game", **options):
        with db.transaction() as session:
            return sanctions.sanction(
                session,
                actors.of_user(session, moderator.id),
                kind=kind,
                target_kind=target_kind,
                target=target,
                **{"reason": "Adverts", **options},
            )

    return impose


def test_a_banned_game_gets_the_ban_instead_of_instructions(owner_browser, sanctioned):
    sanctioned("ban", seconds=3600, reason=EVIL)
    page = owner_browser.open(PAGE)
    now = page[page.index('id="now"') : page.index('id="connect"')]
    for words in ("Banned</span> everywhere, until <time", f"Reason: <bdi>{EVIL}", "Mine/sanctions", "appeal"):
        assert words in now, words
    assert "Not connected" in now and "credentials in its settings" not in now and "Restart" not in now
    assert EVIL not in owner_browser.answer.text
    assert 'id="sanctioned"' in owner_browser.open(f"{PAGE}/live")


def test_a_mute_is_shown_while_the_game_is_connected(owner_browser, game, stored, sanctioned, put):
    stored.channel("gossip")
    put.socket(game)
    before = owner_browser.client.get(f"{PAGE}/live").headers["ETag"]
    mute = sanctioned("mute", channel="gossip")
    page = owner_browser.open(PAGE)
    assert "Muted</span> on " in page and ", permanently. Reason: " in page and 'id="connected"' in page
    assert "players are not delivered there" in page and "cannot connect" not in page
    assert owner_browser.client.get(f"{PAGE}/live").headers["ETag"] != before
    with db.transaction() as session:
        sanctions.lift(session, actors.of_user(session, stored.admin().id), sanction_id=mute.id, reason="Enough")
    assert 'id="sanctioned"' not in owner_browser.open(PAGE)


def test_sanctions_of_players_do_not_show_the_game_as_muted(owner_browser, game, sanctioned):
    """Nor do warnings."""
    sanctioned("mute", "Wren@Mine", "player")
    sanctioned("warn")
    page = owner_browser.open(PAGE)
    assert 'id="sanctioned"' not in page and "Restart the game" in page


def test_live_answers_only_when_something_changed(owner_browser, game, put):
    page = owner_browser.open(PAGE)
    mark = re.search('data-mark="([0-9a-f]+)"', page)[1]

    def ask():
        return owner_browser.client.get(f"{PAGE}/live", headers={"If-None-Match": f'"{mark}"'})

    answer = ask()
    if answer.status_code == 200:  # a new minute has begun
        mark = answer.headers["ETag"].strip('"')
        answer = ask()
    assert (answer.status_code, answer.get_data()) == (304, b"")
    put.socket(game, since=time.time())
    answer = ask()
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200 and answer.headers["ETag"] != f'"{mark}"' and 'id="connected"' in text
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(re.findall('data-part="([a-z]+)"', text)) == set(re.findall('data-part="([a-z]+)"', page))


def test_live_is_for_the_owner_only(owner_browser, new_visitor, stored):
    assert new_visitor().client.get(f"{PAGE}/live").status_code == 401
    assert new_visitor().sign_in(stored.user().username).client.get(f"{PAGE}/live").status_code == 404
    assert new_visitor().sign_in(stored.admin().username).client.get(f"{PAGE}/live").status_code == 200


def test_the_page_says_when_redis_is_down(own_valkey, owner_browser, stored, game, monkeypatch):
    """Everything else on it works."""
    monkeypatch.setattr("app.online.CACHE_SECONDS", 0.0)
    stored.connection(game)
    own_valkey.stop()
    page = owner_browser.open(PAGE)
    assert owner_browser.status == 200
    assert "cannot tell who is connected" in page and "cannot be shown at the moment" in page
    assert "Not connected" not in page and "mud.example.com 4000" in page
    assert owner_browser.client.get(f"{PAGE}/live").status_code == 200


@pytest.mark.parametrize("outcome", list(Outcome))
def test_the_result_of_a_check_is_shown_with_advice(owner_browser, stored, game, outcome, app):
    """In full on the owner's page, and briefly on the public page if it is known."""
    way = stored.connection(game)
    check(way, outcome, http_status=404 if outcome == Outcome.HTTP_ERROR else None)
    page = owner_browser.open(PAGE)
    meaning = MEANINGS[outcome]
    assert meaning.title in page and meaning.advice in page and "in 120 ms" in page and "a moment ago" in page
    assert ("(404)" in page) is (outcome == Outcome.HTTP_ERROR)
    with app.test_request_context(), db.reading() as session:
        shown = render_template("games/_checked.html", connection=session.get(GameConnection, way.id)).strip()
    words = {True: "checked <time", False: "not reachable <time", None: None}[meaning.is_ok]
    assert (words in shown) if words else shown == ""


@pytest.mark.parametrize(
    "way",
    [
        {"type": "web", "url": "https://play.example.io", "host": "", "port": None},
        {"type": "telnet", "host": "play.example.io", "port": 4000},
        {"type": "secure telnet", "host": "play.example.io", "port": 4000},
    ],
)
def test_a_space_separates_the_result_from_the_address(visitor, stored, game, way):
    check(stored.connection(game, **way), Outcome.UNREACHABLE)
    page = visitor.open(f"/games/{game.short_name}")
    assert re.search(r'</(?:a|span)>\s+<span class="checked soft">not reachable', page)


def test_visitors_see_nothing_about_unchecked_ways_to_connect(app, stored, game):
    way = stored.connection(game)
    with app.test_request_context(), db.reading() as session:
        assert render_template("games/_checked.html", connection=session.get(GameConnection, way.id)).strip() == ""


def test_check_now(owner_browser, stored, game):
    """The checks are due at once, and the page says that they are running."""
    assert "There is nothing to check yet" in _check_now(owner_browser)
    way = stored.connection(game)
    assert "Not checked yet" in owner_browser.open(PAGE)
    assert "are being checked" in _check_now(owner_browser)
    assert "Checking" in owner_browser.page
    with db.reading() as session:
        assert session.get(ConnectionCheck, way.id).due_at <= db.utc_now()


def test_the_page_says_which_checks_must_wait(owner_browser, stored, game):
    """Ports below 1,024 have an allowance of their own."""
    ways = {port: stored.connection(game, port=port) for port in (4000, 22)}
    _use_up_checks(game.owner_id, port=22)
    page = _check_now(owner_browser)
    assert "1 of your 2 ways to connect is being checked" in page
    assert page.count("Checking") == page.count("too many checks within an hour. The next one is possible after") == 1
    _use_up_checks(game.owner_id, port=4000)  # the worker postpones the check that was requested
    page = owner_browser.open(PAGE)
    assert page.count("The next one is possible after") == 2 and "Checking" not in page
    with db.transaction() as session:
        session.get(ConnectionCheck, ways[4000].id).lease_until = db.utc_now() + connection_checks.LEASE
    assert owner_browser.open(PAGE).count("Checking") == 1, "the last check of the hour is running"


def _use_up_checks(owner_id: int, *, port: int) -> None:
    with db.transaction() as session:
        while check_allowances.charge(session, owner_id=owner_id, port=port, now=db.utc_now()) is None:
            pass


def _check_now(owner_browser: Visitor) -> str:
    owner_browser.send(f"{PAGE}/check", form_on=PAGE, follow=True)
    assert owner_browser.status == 200
    return owner_browser.page


def test_others_cannot_request_checks(owner_browser, new_visitor, stored):
    stranger = new_visitor().sign_in(stored.user().username)
    assert stranger.send(f"{PAGE}/check", form_on="/manage/games/new").status_code == 404
    assert new_visitor().send(f"{PAGE}/check", form_on="/sign-in").location == "/sign-in"


def test_requests_for_checks_are_limited(engine, make_settings, stored, game):
    from app import create_app

    visitor = Visitor(create_app(make_settings(RATE_LIMITS="on"))).sign_in("wren")
    for _ in range(10):
        assert visitor.send(f"{PAGE}/check", form_on=PAGE).status_code == 303
    assert visitor.send(f"{PAGE}/check", form_on=PAGE).status_code == 429
    assert "checked too often" in visitor.page


def test_many_ways_to_connect_cost_no_more_queries_than_one(app, visitor, stored):
    """The owner's page is polled every two seconds."""
    owner = stored.user("keeper")
    for short_name, count in (("One", 1), ("Many", 12)):
        game = stored.game(short_name, owner=owner)
        for number in range(count):
            stored.connection(game, port=4000 + number)
    visitor.sign_in("keeper")
    with app.app_context():
        engine = db.db.engine
    counts = {}
    for path in ("/games/{}", "/manage/games/{}/live"):
        for short_name in ("One", "Many"):
            visitor.open("/games")  # warm the caches
            with counted_statements(engine) as statements:
                visitor.open(path.format(short_name))
            counts[path, short_name] = len(statements)
        assert counts[path, "One"] == counts[path, "Many"]


def test_repeated_refusals_are_one_and_the_last_is_shown_at_once(owner_browser, game, put):
    """Where the owner looks first: in *Now*, with how long ago it was."""
    now = time.time()
    wrong = [Refusal(now - 30 + 3 * number, "{}", "invalid-credentials", "no", "") for number in range(10)]
    put.seen(game, "refusals", Refusal(now - 90, "{}", "invalid", "bad", ""), *wrong)
    page = owner_browser.open(PAGE)
    assert re.search(
        r'id="last-refusal">We refused it <time[^>]*>[3-9] s ago</time> \(10 times\): <strong>Wrong secret</strong>',
        page,
    )
    assert page.count("<strong>Wrong secret</strong>") == 2 and page.count("<strong>Invalid frame</strong>") == 1
    assert re.search(r", 10 times since <time", page)


def test_refusals_of_another_kind_in_between_are_kept_apart():
    kinds = ["a", "a", "b", "a"]
    refusals = [Refusal(10.0 - number, "", kind, "", "") for number, kind in enumerate(kinds)]
    assert [(one.last.at, one.since, one.count) for one in collapse(refusals)] == [
        (10.0, 9.0, 2),
        (8.0, 8.0, 1),
        (7.0, 7.0, 1),
    ]
