"""Moderation for users: reports, sanctions, appeals, ignores, mutes, transparency."""

import pytest

from shared import db
from shared.services import applications, users
from shared.services.authority import actors
from shared.services.moderation import appeals, filters, game_mutes, ignores, messages, reports, sanctions
from tests.support.moderating import actor, make_moderated, speak

HTML = '<script>alert(1)</script><b x="1">'
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.fixture
def world(stored):
    return make_moderated(stored)


@pytest.fixture
def reader(visitor, world):
    return visitor.sign_in("reader")


@pytest.fixture
def owner(new_visitor, world):
    return new_visitor().sign_in("wright")


def open_reports(world):
    with db.reading() as session:
        return reports.list_reports(session, actor(session, world.admin)).items


# Reports


def test_a_message_is_reported_once_by_many(reader, owner, world):
    """Reports of one message are merged. A second report by the same person changes nothing. Each reporter sees it."""
    path = f"/report?message={world.message}"
    assert "Buy gold" in owner.open(path) and owner.value_of("target") == "Wren@Harbour"
    for browser in (owner, owner, reader):
        answer = browser.send(path, target="Somebody@Else", text=HTML)
        assert answer.location == "/account/reports"
    (report,) = open_reports(world)
    assert report.id == world.report and [reporter.name for reporter in report.reporters] == ["reader", "wright"]
    assert "Thank you" in owner.open("/account/reports") and ">open</span>" in owner.page
    assert ESCAPED in owner.answer.text and "<script>alert" not in owner.answer.text


def test_a_player_is_reported_by_name(reader, world):
    """The link on the profile fills in the name."""
    assert "/report?player=wright@Grapevine" in reader.client.get("/players/wright").text
    reader.open("/report?player=wright@Grapevine")
    assert reader.value_of("target") == "wright@Grapevine"
    assert reader.send("/report?player=wright@Grapevine", target="wright@Grapevine", text="Rude").status_code == 303
    assert open_reports(world)[-1].target == "wright@Grapevine"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"target": "", "text": "Rude"}, "target"),
        ({"target": "Wren", "text": "Rude"}, "target"),
        ({"target": "Wren@Nowhere", "text": "Rude"}, "target"),
        ({"target": HTML, "text": "Rude"}, "target"),
        ({"target": "Wren@Harbour", "text": ""}, "text"),
        ({"target": "Wren@Harbour", "text": "x" * 1001}, "text"),
    ],
)
def test_errors_of_a_report_are_shown_beside_their_field(reader, world, fields, wrong):
    """The input is kept."""
    answer = reader.send("/report", **fields)
    assert answer.status_code == 422 and reader.problem_of(wrong)
    assert reader.value_of("target") == fields["target"] and fields["text"] in reader.page
    assert "<script>alert" not in answer.text
    assert len(open_reports(world)) == 1


def test_unreadable_messages_cannot_be_opened_by_reporting_them(reader, stored, world):
    """Ids are easy to guess: a message on a hidden channel, a redacted one and a missing one look the same."""
    hidden = stored.channel("den", is_hidden=True)
    secret = speak(hidden, world.game, "Wren", "A secret")
    with db.transaction() as session:
        messages.redact(session, actor(session, world.moderator), message_id=world.message, reason="An advert")
    for number in (secret, world.message, 999):
        answer = reader.client.get(f"/report?message={number}")
        assert answer.status_code == 404 and "A secret" not in answer.text
    answer = reader.send(f"/report?message={secret}", form_on="/report", target="Wren@Harbour", text="Rude")
    assert answer.status_code == 404


def test_the_reporter_sees_the_outcome(reader, world):
    """State and text."""
    with db.transaction() as session:
        reports.resolve_report(
            session, actor(session, world.admin), report_id=world.report, state="dismissed", outcome="It was a joke"
        )
    assert "It was a joke" in reader.open("/account/reports") and "dismissed" in reader.page


def test_an_owner_sees_the_outcome_of_a_games_report(owner, reader, world):
    """Only the game's owner can open the page."""
    with db.transaction() as session:
        report = reports.create_report(
            session, actors.of_game(session, world.game.id), game="Harbour", name="Kit", text="Sells <b>gold"
        )
        reports.resolve_report(
            session, actor(session, world.admin), report_id=report.id, state="upheld", outcome="They are muted"
        )
    path = "/manage/games/Harbour/reports"
    assert path in owner.open("/manage/games/Harbour")
    page = owner.open(path)
    assert "They are muted" in page and "upheld" in page
    assert "Sells &lt;b&gt;gold" in owner.answer.text
    assert reader.client.get(path).status_code == 404
    assert "They are muted" not in reader.open("/account/reports")


# Sanctions and appeals


def test_users_see_their_sanctions_and_how_to_appeal(reader, world):
    """On the account page while in force, and permanently on their own page."""
    with db.transaction() as session:
        imposed = sanctions.sanction(
            session,
            actor(session, world.moderator),
            kind="mute",
            target_kind="user",
            target="reader",
            reason=HTML,
            seconds=3600,
        )
    for address in ("/account", "/account/sanctions"):
        text = reader.client.get(address).text
        assert ESCAPED in text and "by a moderator" in text and "until <time" in text, address
        assert f"/appeals/new?sanction={imposed.id}" in text and "can lift it" in text
        assert "mod</" not in text, "the role, not the name"
    path = f"/appeals/new?sanction={imposed.id}"
    assert reader.send(path, text=" ").status_code == 422 and reader.problem_of("text")
    assert reader.send(path, text="x" * 2001).status_code == 422 and reader.problem_of("text")
    assert reader.send(path, text="It was my cat").location == "/account/appeals"
    assert "It was my cat" in reader.open("/account/appeals") and "open" in reader.page
    assert f"/appeals/new?sanction={imposed.id}" not in reader.client.get("/account/sanctions").text
    assert reader.send(path, text="Once more").status_code == 422 and "already" in reader.page
    with db.transaction() as session:
        (appeal,) = appeals.list_appeals_of(session, world.player.id)
        appeals.decide_appeal(
            session, actor(session, world.admin), appeal_id=appeal.id, is_granted=True, outcome="It was a cat"
        )
    assert "It was a cat" in reader.open("/account/sanctions") and "granted" in reader.page
    assert "Sanctions in force" not in reader.open("/account")


def test_only_the_people_concerned_can_appeal(reader, world):
    """Sanctions of others look as if they did not exist."""
    for query in (f"?sanction={world.sanction}", "?sanction=999", "", "?sanction=x"):
        assert reader.client.get(f"/appeals/new{query}").status_code == 404


def test_an_owner_sees_sanctions_of_the_game_and_its_players(owner, world):
    """A notice on the game's page leads to the list. Other people's games cannot be opened."""
    with db.transaction() as session:
        sanctions.sanction(
            session,
            actor(session, world.moderator),
            kind="ban",
            target_kind="player",
            target="Wren@Harbour",
            reason="Threats",
        )
    assert "2 sanctions are in force" in " ".join(owner.open("/manage/games/Harbour").split())
    page = owner.open("/manage/games/Harbour/sanctions")
    assert "Threats" in page and "Adverts" in page and "permanently" in page


# Ignores and mutes


def test_ignores_by_pattern_and_by_person(reader, owner, world):
    """Added, listed and deleted. Ignores of others cannot be deleted."""
    path = "/account/ignores"
    assert reader.send(path, pattern="Spam*@*").status_code == 303
    assert reader.send(path, pattern="wright@Grapevine", is_person="y").status_code == 303
    page = reader.open(path)
    assert "spam*@*" in page and "wright@Grapevine and all their characters" in page
    assert "tell system@Grapevine ignore Bob@Harbour" in page and "Your games still show their messages" in page
    for fields in (
        {"pattern": ""},
        {"pattern": "Bob"},
        {"pattern": HTML},
        {"pattern": "spam*@*"},
        {"pattern": "reader", "is_person": "y"},
        {"pattern": "nobody", "is_person": "y"},
    ):
        assert reader.send(path, **fields).status_code == 422, fields
        assert reader.problem_of("pattern") and reader.value_of("pattern") == fields["pattern"]
        assert "<script>alert" not in reader.answer.text
    assert reader.send(path, pattern="Bob@Nowhere", is_person="y").status_code == 422
    assert reader.send(path, pattern="*@Nowhere").status_code == 422
    assert "here is no game Nowhere" in reader.problem_of("pattern")
    delete = f"{path}/{world.ignore}/delete"
    assert owner.send(delete, form_on=path).status_code == 404
    assert reader.send(delete, form_on=path).status_code == 303
    with db.reading() as session:
        assert world.ignore not in [ignore.id for ignore in ignores.list_ignores(session, world.player.id)]


def test_mutes_of_a_game(owner, stored, world):
    """Patterns are added and deleted."""
    stored.game("Ashfall")
    path = "/manage/games/Harbour/mutes"
    for pattern in ("*@Ashfall", "spam*@*", "Bob@Ashfall"):
        assert owner.send(path, pattern=pattern).status_code == 303
        assert pattern.lower() in owner.open(path)
    for pattern in ("", "Bob", HTML, "*@ASHFALL", "*@Nope"):
        assert owner.send(path, pattern=pattern).status_code == 422
        assert owner.problem_of("pattern") and owner.value_of("pattern") == pattern
    assert owner.send(f"/manage/mutes/{world.mute}/delete", form_on=path).location == path
    with db.reading() as session:
        patterns = [mute.pattern for mute in game_mutes.list_mutes(session, world.game.id)]
    assert patterns == ["*@ashfall", "bob@ashfall", "spam*@*"]


# For everybody


def test_transparency_names_nobody(visitor, world):
    """It lists acts, kinds, roles and reasons, but not who acted or whom it concerned."""
    with db.transaction() as session:
        keeper = actor(session, world.moderator)
        sanctions.sanction(
            session, keeper, kind="ban", target_kind="player", target="Wren@Harbour", reason=HTML, seconds=60
        )
        for number in range(60):
            sanctions.lift(
                session,
                keeper,
                sanction_id=sanctions.sanction(
                    session, keeper, kind="mute", target_kind="game", target="Harbour", reason=f"No. {number}"
                ).id,
                reason="Enough",
            )
        filters.create_filter(session, keeper, kind="word", action="flag", text="zork", note="Ask the warden first")
    text = visitor.client.get("/transparency?page=3").text
    assert ESCAPED in text and "Of a player, by moderator" in text and "ban" in text
    assert "Page 3 of 3" in text and "Filter made" in visitor.client.get("/transparency").text
    for page in (1, 2, 3):
        text = visitor.client.get(f"/transparency?page={page}").text
        for name in ("Wren", "Harbour", "wright", "reader", ">mod<", "<script>alert", "zork", "Ask the warden"):
            assert name not in text, name
    assert "/transparency" in visitor.client.get("/").text
    for address in ("/docs/start", "/conduct"):
        assert "count tells per day and game" in visitor.client.get(address).text


def test_scopes_of_an_application_are_set(visitor, stored):
    """When it is created, and later."""
    browser = visitor.sign_in(stored.admin().username)

    def scopes():
        with db.reading() as session:
            return applications.get_application(session, "Helper").scopes

    browser.send("/admin/applications/new", name="Helper", short_name="Helper", moderate="y")
    assert scopes() == ["moderate"]
    page = "/admin/applications/Helper"
    assert "checked" in browser.client.get(page).text
    browser.send(f"{page}/scopes", form_on=page)
    assert scopes() == [] and "checked" not in browser.client.get(page).text
    browser.send(f"{page}/scopes", form_on=page, moderate="y")
    assert scopes() == ["moderate"]


# Bans


def ban(world, **fields):
    with db.transaction() as session:
        fields = {"kind": "ban", "target_kind": "user", "target": "reader", "reason": "flooding", **fields}
        sanctions.sanction(session, actor(session, world.admin), **fields)


@pytest.mark.parametrize("target", ["192.0.2.7", "192.0.2.0/24"])
def test_nobody_can_register_or_write_from_a_banned_address(new_visitor, world, target):
    """Reading and signing in still work."""
    ban(world, target_kind="address", target=target)
    for address, status in (("192.0.2.7", 403), ("::ffff:192.0.2.7", 403), ("198.51.100.7", 200)):
        client = new_visitor().client
        client.environ_base["REMOTE_ADDR"] = address
        answer = client.get("/register")
        assert answer.status_code == status, address
        assert ("flooding" in answer.text and target in answer.text) is (status == 403)
        assert client.get("/games").status_code == client.get("/sign-in").status_code == 200


@pytest.mark.parametrize(("who", "status"), [("admin", 200), ("moderator", 200), ("reader", 403)])
def test_staff_can_work_from_a_banned_address(new_visitor, world, who, status):
    """They could not lift the ban otherwise. They can sign in there too."""
    user = {"admin": world.admin, "moderator": world.moderator, "reader": world.player}[who]
    ban(world, target_kind="address", target="127.9.0.0/16")
    visitor = new_visitor()
    visitor.client.environ_base["REMOTE_ADDR"] = "127.9.1.1"
    visitor.sign_in(user.username)
    path = "/moderation/sanctions/new" if who != "reader" else "/report?player=Wren@Harbour"
    assert visitor.client.get(path).status_code == status
    if who == "admin":
        assert visitor.client.get("/admin/channels/new").status_code == 200


def test_the_longest_ban_is_shown(any_database, stored):
    """A permanent ban has no end, and the two databases sort NULL differently."""
    world = make_moderated(stored)
    ban(world, seconds=600)
    ban(world, reason="for good")
    ban(world, seconds=86_400)
    with db.reading() as session:
        longest = sanctions.find_site_ban(session, users.get_user_by_username(session, "reader").id)
    assert longest is not None and longest.reason == "for good"
