"""The moderators' pages: each act, the errors of each form, and that all input is escaped."""

import csv
import io
import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from shared import db
from shared.db import utc_now
from shared.models import Appeal, Filter, Game, Message, Report, Sanction
from shared.services import channels
from shared.services.authority import audit
from shared.services.moderation import appeals, channel_states, filters, reports, sanctions, tell_counts
from tests.support.moderating import actor, make_moderated, speak

HTML = '<script>alert(1)</script><b x="1">'
NAME = 'Kit <3 & "Co"'  # tags are stripped from names as they arrive
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.fixture
def world(stored):
    return make_moderated(stored)


@pytest.fixture
def moderator_browser(visitor, world):
    """A moderator's browser, signed in."""
    return visitor.sign_in(world.moderator.username)


@pytest.fixture
def admin(new_visitor, world):
    return new_visitor().sign_in(world.admin.username)


def read(model, number):
    with db.reading() as session:
        return session.get(model, number)


def acts():
    with db.reading() as session:
        return [(entry.act, entry.target) for entry in audit.list_entries(session).items][::-1]


def channel_state(name):
    with db.reading() as session:
        return channel_states.find_state(session, channels.get_channel(session, name).id)


# Messages


def test_the_history_is_searched(moderator_browser, world):
    """By text, player, game, channel and time, alone and combined."""
    speak(world.channel, world.game, "Odo", "Good evening")
    tomorrow, yesterday = ((utc_now() + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M") for days in (1, -1))
    for query, finds in {
        "text=GOLD": True,
        "text=evening": False,
        "player=wre": True,
        "player=odo": False,
        "game=harbour": True,
        "game=Harb": False,
        "channel=GOSSIP": True,
        "channel=nowhere": False,
        f"since={yesterday}": True,
        f"since={tomorrow}": False,
        f"until={yesterday}": False,
        f"text=gold&player=wren&game=Harbour&channel=gossip&since={yesterday}&until={tomorrow}": True,
    }.items():
        assert ("Buy gold" in moderator_browser.open(f"/moderation/messages?{query}")) == finds, query
    moderator_browser.open("/moderation/messages?since=yesterday&text=gold")
    assert (
        moderator_browser.problem_of("since")
        and moderator_browser.value_of("since") == "yesterday"
        and "Buy gold" in moderator_browser.page
    )


def test_long_lists_have_pages_that_keep_the_search(moderator_browser, world):
    """50 messages per page."""
    for number in range(51):
        speak(world.channel, world.game, "Odo", f"Line {number}.")
    page = moderator_browser.open("/moderation/messages?player=Odo")
    assert "Line 50." in page and "Line 0." not in page and "Page 1 of 2" in page
    assert "player=Odo&page=2" in page
    assert (
        "Line 0." in moderator_browser.open("/moderation/messages?player=Odo&page=2")
        and "Buy gold" not in moderator_browser.page
    )


def test_a_message_has_a_permanent_page(moderator_browser, world):
    """It shows the context on the channel, the reports, and a redaction."""
    speak(world.channel, world.game, "Odo", "No adverts here")
    page = moderator_browser.open(f"/moderation/messages/{world.message}")
    assert "Buy gold" in page and "No adverts here" in page and f"/moderation/reports/{world.report}" in page
    path = f"/moderation/messages/{world.message}/redact"
    assert moderator_browser.send(path, form_on=f"/moderation/messages/{world.message}", reason=" ").status_code == 422
    assert moderator_browser.problem_of("reason") == "Enter a reason."
    answer = moderator_browser.send(
        path, form_on=f"/moderation/messages/{world.message}", reason="An advert", follow=True
    )
    assert (
        answer.status_code == 200
        and "Buy gold" not in moderator_browser.page
        and "Redacted by mod" in moderator_browser.page
    )
    assert read(Message, world.message).text == ""
    assert acts()[-1] == ("redact", "Wren@Harbour")
    assert moderator_browser.send(path, form_on="/moderation/sanctions/new", reason="Again").status_code == 422
    assert "already" in moderator_browser.page
    for number in (999, 2**53, 2**53 + 1, 10**30):
        assert moderator_browser.client.get(f"/moderation/messages/{number}").status_code == 404


def test_the_live_page_polls_for_new_lines(moderator_browser, world):
    """304 if there are none, else only the new lines and the next id to ask for."""
    page = moderator_browser.open("/moderation/live")
    assert "Buy gold" in page and f'data-after="{world.message}"' in page
    lines = f"/moderation/live/lines?after={world.message}"
    answer = moderator_browser.client.get(lines)
    assert (answer.status_code, answer.get_etag()[0], answer.data) == (304, str(world.message), b"")
    new = speak(world.channel, world.game, "Odo", HTML)
    answer = moderator_browser.client.get(lines)
    assert answer.status_code == 200 and answer.get_etag()[0] == str(new)
    assert ESCAPED in answer.text and "Buy gold" not in answer.text and "<html" not in answer.text
    assert moderator_browser.client.get(lines + "&channel=gossip").status_code == 200
    assert moderator_browser.client.get(lines + "&channel=nowhere").status_code == 404
    assert moderator_browser.client.get("/moderation/live/lines?after=x" + "9" * 40).status_code == 200


# Sanctions


def test_a_sanction_is_imposed_from_a_message(moderator_browser, world):
    """The form is filled in with the player. The sanction appears on the player's record."""
    path = f"/moderation/sanctions/new?message={world.message}"
    assert "Buy gold" in moderator_browser.open(path) and moderator_browser.value_of("target") == "Wren@Harbour"
    fields = {"kind": "mute", "target_kind": "player", "target": "Wren@Harbour", "channel": "gossip"}
    answer = moderator_browser.send(path, **fields, seconds="600", reason="Adverts again")
    imposed = read(Sanction, int(answer.location.rpartition("/")[2]))
    assert (imposed.kind, imposed.target, imposed.channel, imposed.reason, imposed.actor_name) == (
        "mute",
        "Wren@Harbour",
        "gossip",
        "Adverts again",
        "mod",
    )
    assert imposed.until is not None and 590 < (imposed.until - utc_now()).total_seconds() <= 600
    assert acts()[-1] == ("sanction", "Wren@Harbour")
    for address in ("/moderation/sanctions", "/moderation/records/player?name=wren@harbour"):
        assert "Adverts again" in moderator_browser.open(address)
    assert "Adverts again" not in moderator_browser.open("/moderation/sanctions?q=nobody")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("target", "", "Enter who"),
        ("target", "Wren", "name@game"),
        ("target", "Wren@Nowhere", "no game Nowhere"),
        ("target", HTML, "name@game"),
        ("channel", "nowhere", "no channel nowhere"),
        ("reason", "", "Enter a reason"),
        ("reason", "x" * 501, "too long"),
        ("seconds", "soon", "Choose one of the listed durations"),
        ("seconds", "99999999999", "Choose one of the listed durations"),
    ],
)
def test_errors_of_a_sanction_are_shown_beside_their_field(moderator_browser, field, value, message):
    """The input is kept."""
    good = {"kind": "mute", "target_kind": "player", "target": "Wren@Harbour", "channel": "gossip", "seconds": "600"}
    answer = moderator_browser.send("/moderation/sanctions/new", **{**good, "reason": "Adverts", field: value})
    assert answer.status_code == 422 and message in (moderator_browser.problem_of(field) or "")
    if field != "reason":
        assert moderator_browser.value_of("reason") == "Adverts"
    if field != "seconds":
        assert moderator_browser.value_of(field) == value
    assert "<script>alert" not in answer.text
    with db.reading() as session:
        assert sanctions.list_sanctions(session).total == 1


def test_invalid_kinds_and_protected_targets_are_refused(moderator_browser, admin, world):
    """A moderator cannot sanction an admin or themselves. The error is shown beside the field."""
    good = {"target_kind": "player", "target": "Wren@Harbour", "seconds": "", "reason": "Adverts"}
    for kind in ("", "hang"):
        assert moderator_browser.send("/moderation/sanctions/new", **good, kind=kind).status_code == 422
        assert moderator_browser.text_of("kind-problem")
    path = "/moderation/sanctions/new"
    for name in (world.admin.username, world.moderator.username):
        fields = {**good, "kind": "ban", "target_kind": "user", "target": name}
        assert moderator_browser.send(path, **fields).status_code == 422
        assert moderator_browser.problem_of("target")
    answer = admin.send(path, **{**good, "kind": "ban", "target_kind": "user", "target": "mod"})
    assert answer.status_code == 303
    assert moderator_browser.client.get("/moderation/sanctions").status_code == 200
    assert moderator_browser.send(path, form_on="/account", **good, kind="mute").status_code == 403, (
        "a banned moderator acts not"
    )


def test_a_sanction_is_lifted_restored_and_undone(moderator_browser, world):
    """With the buttons on its page. Each change is an act in the audit trail."""
    page = f"/moderation/sanctions/{world.sanction}"
    assert moderator_browser.send(
        f"{page}/lift", form_on=page, reason=""
    ).status_code == 422 and moderator_browser.problem_of("reason")
    states = []
    for act in ("lift", "restore", "undo", "restore"):
        assert moderator_browser.send(f"{page}/{act}", form_on=page, reason=f"To {act}").status_code == 303
        states.append(read(Sanction, world.sanction).state)
    assert states == ["lifted", "in force", "undone", "in force"]
    assert [act for act, _target in acts()[-4:]] == ["lift", "restore", "undo", "restore"]
    assert moderator_browser.send(f"{page}/restore", form_on=page, reason="Again").status_code == 422
    assert "was not lifted" in moderator_browser.page
    assert moderator_browser.send("/moderation/sanctions/99/lift", form_on=page, reason="No").status_code == 404


def test_pages_say_who_can_end_a_sanction(moderator_browser, admin, new_visitor, stored, world):
    """Only admins end a moderator's, whether it is about the account or a character. Nobody ends their own."""
    other = stored.user("second", role="moderator")
    targets, about = [("user", "second"), ("player", "second@Grapevine"), ("user", "reader"), ("user", "mod")], {}
    for target_kind, target in targets:
        with db.transaction() as session:
            imposed = sanctions.sanction(
                session,
                actor(session, world.admin),
                kind="mute",
                target_kind=target_kind,
                target=target,
                reason="Adverts",
            )
            about[target_kind, target] = imposed.id
    for key, number in about.items():
        page = f"/moderation/sanctions/{number}"
        only_admins = key[1] != "reader"
        for visitor, may_end in ((moderator_browser, not only_admins), (admin, True)):
            visitor.open(page)
            assert (">Lift</button>" in visitor.page) is may_end, key
            assert ("Only admins," in visitor.page) is only_admins, key
    moderator_browser.open(f"/moderation/sanctions/{about[targets[0]]}")
    assert "Only admins may decide on a sanction of a moderator" in moderator_browser.page
    assert "You cannot decide on a sanction against yourself" in moderator_browser.open(
        f"/moderation/sanctions/{imposed.id}"
    )
    own_page = new_visitor().sign_in(other.username).open("/account/sanctions")
    assert own_page.count("Only admins can lift it") == 2 and "Any moderator" not in own_page
    assert "Any moderator or admin can lift it" in new_visitor().sign_in("reader").open("/account/sanctions")


# Reports and appeals


def test_a_report_is_decided_and_its_reporter_sees_the_outcome(moderator_browser, new_visitor, world):
    """It is on the reporter's page."""
    assert "Wren@Harbour" in moderator_browser.open("/moderation/reports")
    page = f"/moderation/reports/{world.report}"
    assert "This is an advert" in moderator_browser.open(page) and "Buy gold" in moderator_browser.page
    assert moderator_browser.send(page, state="", outcome="").status_code == 422
    assert moderator_browser.text_of("state-problem") and moderator_browser.problem_of("outcome")
    assert moderator_browser.send(page, state="maybe", outcome="Who knows").status_code == 422
    assert moderator_browser.text_of("state-problem")
    assert moderator_browser.send(page, state="upheld", outcome=HTML).status_code == 303
    assert read(Report, world.report).state == "upheld"
    assert "There are no open reports" in moderator_browser.open("/moderation/reports")
    assert (
        moderator_browser.send(page, form_on="/moderation/sanctions/new", state="dismissed", outcome="No").status_code
        == 422
    )
    reader = new_visitor().sign_in("reader")
    reader.open("/account/reports")
    assert ESCAPED in reader.answer.text and "upheld" in reader.page


def test_an_appeal_is_decided_by_somebody_else(moderator_browser, admin, new_visitor, world):
    """Granting it undoes the sanction, and the person who appealed can read the reason."""
    page = f"/moderation/appeals/{world.appeal}"
    assert "Another moderator or an admin" in moderator_browser.open(page)
    answer = moderator_browser.send(page, form_on="/moderation/filters/new", decision="granted", outcome="Fine")
    assert answer.status_code == 403
    assert admin.send(page, decision="", outcome="").status_code == 422 and admin.text_of("decision-problem")
    assert admin.send(page, decision="granted", outcome="It was a guest").status_code == 303
    assert read(Appeal, world.appeal).state == "granted" and read(Sanction, world.sanction).is_undone
    owner = new_visitor().sign_in("wright")
    assert "It was a guest" in owner.open("/account/appeals") and "granted" in owner.page
    assert "It was a guest" in owner.open("/manage/games/Harbour/sanctions")


# Channels


def test_a_channel_goes_through_every_act(moderator_browser, stored):
    """Approved, hidden, described, renamed, paused, resumed, slowed down, closed, reopened."""
    stored.channel("den", is_hidden=True)
    page = "/moderation/channels/den"

    def send(act, **fields):
        answer = moderator_browser.send(f"{page}/{act}", form_on=page, **fields)
        assert answer.status_code == 303, moderator_browser.page

    def seen():
        with db.reading() as session:
            return channels.get_channel(session, "den")

    send("approve")
    assert not seen().is_hidden
    send("hide")
    assert seen().is_hidden
    send("describe", **{"describe-description": HTML})
    assert seen().description == HTML
    assert (
        "<script>alert"
        not in moderator_browser.client.get(page).text + moderator_browser.client.get("/moderation/channels").text
    )
    send("pause", **{"pause-minutes": "5", "pause-reason": "Calm down"})
    assert channel_state("den").is_paused_at(utc_now()) and "Calm down" in moderator_browser.open("/moderation")
    send("resume")
    assert not channel_state("den").is_paused_at(utc_now())
    send("slow", **{"slow-seconds": "30"})
    assert channel_state("den").slow_seconds == 30
    send("slow", **{"slow-seconds": "0"})
    assert "den is no longer in slow mode." in moderator_browser.open(page)
    send("close", **{"close-reason": "Over"})
    assert channel_state("den").is_closed
    send("reopen")
    assert not channel_state("den").is_closed
    answer = moderator_browser.send(f"{page}/rename", form_on=page, **{"rename-name": "lair"})
    assert answer.location == "/moderation/channels/lair" and moderator_browser.client.get(page).status_code == 404
    assert [act for act, target in acts() if target in ("den", "lair")] == [
        "channel/approve",
        "channel/hide",
        "channel/describe",
        "channel/pause",
        "channel/resume",
        "channel/slow",
        "channel/slow",
        "channel/close",
        "channel/open",
        "channel/rename",
    ]


@pytest.mark.parametrize(
    ("act", "fields", "wrong"),
    [
        ("pause", {"pause-minutes": "soon", "pause-reason": "Calm"}, "pause-minutes"),
        ("pause", {"pause-minutes": "0", "pause-reason": "Calm"}, "pause-minutes"),
        ("pause", {"pause-minutes": "9999999", "pause-reason": "Calm"}, "pause-minutes"),
        ("pause", {"pause-minutes": "5", "pause-reason": ""}, "pause-reason"),
        ("slow", {"slow-seconds": ""}, "slow-seconds"),
        ("slow", {"slow-seconds": "-1"}, "slow-seconds"),
        ("slow", {"slow-seconds": "3601"}, "slow-seconds"),
        ("rename", {"rename-name": ""}, "rename-name"),
        ("rename", {"rename-name": HTML}, "rename-name"),
        ("rename", {"rename-name": "taken"}, "rename-name"),
        ("close", {"close-reason": ""}, "close-reason"),
    ],
)
def test_errors_of_a_channel_form_are_shown_beside_their_field(moderator_browser, stored, act, fields, wrong):
    """Only that form shows an error and keeps its input."""
    stored.channel("taken")
    page = "/moderation/channels/gossip"
    assert moderator_browser.send(f"{page}/{act}", form_on=page, **fields).status_code == 422
    assert moderator_browser.problem_of(wrong) and moderator_browser.value_of(wrong) == fields[wrong]
    assert moderator_browser.answer.text.count('class="problem"') == 1
    assert "<script>alert" not in moderator_browser.answer.text


def test_a_long_description_is_refused(moderator_browser):
    """More than 500 characters."""
    page = "/moderation/channels/gossip"
    moderator_browser.send(f"{page}/describe", form_on=page, **{"describe-description": "x" * 501})
    assert moderator_browser.status == 422 and moderator_browser.problem_of("describe-description")


# Filters


def test_a_filter_is_tested_before_it_is_created_and_switched_on(moderator_browser, world):
    """The page shows what it would have done and saves nothing."""
    speak(world.channel, world.game, "Odo", f"silver {HTML}")
    path = "/moderation/filters/new"
    answer = moderator_browser.send(path, kind="word", action="mask", text="silver", try_it="1")
    assert answer.status_code == 200 and "matched <strong>1</strong> of the last 2 messages" in answer.text
    assert "****** &lt;script&gt;" in answer.text and moderator_browser.value_of("text") == "silver"
    with db.reading() as session:
        assert len(filters.list_filters(session)) == 1
    answer = moderator_browser.send(path, kind="word", action="mask", text="silver", note=HTML, save="1")
    page = answer.location
    filter_id = int(page.rpartition("/")[2])
    assert not read(Filter, filter_id).is_on
    assert ESCAPED in moderator_browser.client.get("/moderation/filters").text
    moderator_browser.send(f"{page}/on", form_on=page)
    assert read(Filter, filter_id).is_on
    moderator_browser.send(page, kind="flood", action="refuse", count="5", seconds="10", save="1")
    assert (read(Filter, filter_id).kind, read(Filter, filter_id).count, read(Filter, filter_id).seconds) == (
        "flood",
        5,
        10,
    )
    moderator_browser.send(f"{page}/off", form_on=page)
    assert not read(Filter, filter_id).is_on
    moderator_browser.send(f"{page}/delete", form_on=page)
    assert read(Filter, filter_id) is None and moderator_browser.client.get(page).status_code == 404


@pytest.mark.parametrize("button", ["save", "try_it"])
@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"kind": "pattern", "text": "(", "action": "flag"}, "text"),
        ({"kind": "pattern", "text": "a*", "action": "flag"}, "text"),
        ({"kind": "pattern", "text": "(?=look)", "action": "flag"}, "text"),
        ({"kind": "word", "text": "", "action": "flag"}, "text"),
        ({"kind": "word", "text": "x" * 201, "action": "flag"}, "text"),
        ({"kind": "", "text": "gold", "action": "flag"}, "kind"),
        ({"kind": "spell", "text": "gold", "action": "flag"}, "kind"),
        ({"kind": "word", "text": "gold", "action": "bite"}, "action"),
        ({"kind": "flood", "count": "five", "seconds": "10", "action": "flag"}, "count"),
        ({"kind": "flood", "count": "5", "seconds": "", "action": "flag"}, "seconds"),
        ({"kind": "flood", "count": "5", "seconds": "10", "action": "mask"}, "action"),
        ({"kind": "link", "count": "101", "action": "flag"}, "count"),
    ],
)
def test_errors_of_a_filter_are_shown_beside_their_field(moderator_browser, fields, wrong, button):
    """When saving and when testing."""
    assert moderator_browser.send("/moderation/filters/new", **fields, **{button: "1"}).status_code == 422
    assert moderator_browser.problem_of(wrong)
    if "text" in fields:
        assert moderator_browser.value_of("text") == fields["text"]


# Records and the trail


def test_records_are_looked_up(moderator_browser, world):
    """One search box for players, games and users. Unknown names get a helpful page."""
    for search, location in {
        "Wren@Harbour": "/moderation/records/player?name=Wren@Harbour",
        "harbour": "/moderation/records/games/Harbour",
        "READER": "/moderation/records/users/reader",
    }.items():
        assert moderator_browser.client.get(f"/moderation/records?q={search}").location == location
    assert "No record" in moderator_browser.open(f"/moderation/records?q={HTML}")
    assert "<script>alert" not in moderator_browser.answer.text
    assert moderator_browser.client.get("/moderation/records/player?name=x@Nowhere").status_code == 404
    assert moderator_browser.client.get("/moderation/records/player?name=Harbour").status_code == 404
    assert moderator_browser.client.get("/moderation/records/games/Nowhere").status_code == 404
    assert moderator_browser.client.get("/moderation/records/users/nobody").status_code == 404
    assert (
        "Adverts" in moderator_browser.open("/moderation/records/games/Harbour")
        and "Buy gold" in moderator_browser.page
    )
    assert "wright" in moderator_browser.page
    assert "Buy gold" in moderator_browser.open("/moderation/records/users/reader"), "what they reported"
    assert "It was a guest" not in moderator_browser.page and "Harbour" in moderator_browser.open(
        "/moderation/records/users/wright"
    )
    assert "reader@example.com" not in moderator_browser.open("/moderation/records/users/reader"), (
        "addresses are for admins"
    )


def test_the_audit_trail_is_searched_and_exported(moderator_browser, world):
    """By text, act and target; as CSV without formulas that a spreadsheet would run, and as JSON."""
    page = "/moderation/channels/gossip"
    moderator_browser.send(f"{page}/pause", form_on=page, **{"pause-minutes": "", "pause-reason": "=cmd|'/c calc'!A1"})
    assert (
        "cmd|" in moderator_browser.open("/moderation/audit?act=channel/pause")
        and "Sanction: Harbour" not in moderator_browser.page
    )
    assert "Adverts" in moderator_browser.open("/moderation/audit?q=adverts") and "cmd|" not in moderator_browser.page
    assert "cmd|" in moderator_browser.open(f"/moderation/audit?target=channel:{world.channel.id}")
    assert (
        "cmd|" in moderator_browser.open("/moderation/audit?target=GOSSIP")
        and "Filter made" not in moderator_browser.page
    )
    assert "No entries" in moderator_browser.open(f"/moderation/audit?q={HTML}")
    assert "<script>alert" not in moderator_browser.answer.text

    answer = moderator_browser.client.get("/moderation/audit/export.csv")
    assert answer.mimetype == "text/csv" and "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["act"] for row in rows] == [act for act, _target in acts()]
    assert rows[-1]["reason"] == "'=cmd|'/c calc'!A1"
    answer = moderator_browser.client.get("/moderation/audit/export.json")
    assert [entry["number"] for entry in json.loads(answer.text)] == [int(row["number"]) for row in rows]
    assert json.loads(answer.text)[-1]["reason"] == "=cmd|'/c calc'!A1"


def test_all_input_is_escaped(moderator_browser, admin, stored, world):
    """Messages, names, reports, appeals and reasons, on every page that shows them."""
    message = speak(world.channel, world.game, NAME, HTML)
    with db.transaction() as session:
        reader, keeper, owner = (actor(session, user) for user in (world.player, world.moderator, world.owner))
        report = reports.create_report(session, reader, game="Harbour", name=NAME, text=HTML, message_id=message)
        imposed = sanctions.sanction(
            session, keeper, kind="mute", target_kind="player", target=f"{NAME}@Harbour", reason=HTML, seconds=60
        )
        appeal = appeals.create_appeal(session, owner, sanction_id=imposed.id, text=HTML)
    for address in (
        "/moderation",
        "/moderation/live",
        "/moderation/messages",
        f"/moderation/messages/{message}",
        "/moderation/reports",
        f"/moderation/reports/{report.id}",
        f"/moderation/sanctions/new?message={message}",
        f"/moderation/sanctions/new?report={report.id}",
        "/moderation/sanctions",
        f"/moderation/sanctions/{imposed.id}",
        "/moderation/appeals",
        f"/moderation/appeals/{appeal.id}",
        "/moderation/records/games/Harbour",
        f"/moderation/records/player?{urlencode({'name': f'{NAME}@Harbour'})}",
        "/moderation/records/users/reader",
        "/moderation/audit",
        "/transparency",
    ):
        answer = admin.client.get(address)
        assert answer.status_code == 200, address
        assert "<script>alert" not in answer.text and "<3 &" not in answer.text, address
        assert ESCAPED in answer.text or "Kit &lt;3 &amp;" in answer.text, address


def test_the_overview_counts_pending_work(moderator_browser, world):
    """Reports, appeals, sanctions in force."""
    moderator_browser.open("/moderation")
    assert [moderator_browser.text_of(name) for name in ("open-reports", "open-appeals", "in-force")] == ["1", "1", "1"]
    page = f"/moderation/sanctions/{world.sanction}"
    moderator_browser.send(f"{page}/lift", form_on=page, reason="Enough")
    moderator_browser.open("/moderation")
    assert moderator_browser.text_of("in-force") == "0"


def test_tells_are_only_counted(moderator_browser, world):
    """All tells, and those of one game's players, by day. Their text is never shown."""
    now = utc_now()
    with db.transaction() as session:
        game = session.scalar(select(Game).where(Game.short_name == "Harbour"))
        mine = f"game:{game.id}"
        tell_counts.add(session, {mine: 3, "game:999": 2}, at=now)
        tell_counts.add(session, {mine: 1}, at=now)
        tell_counts.add(session, {mine: 10}, at=now - timedelta(days=6))
        tell_counts.add(session, {mine: 100}, at=now - timedelta(days=7))
    assert '<dd id="tells">6 <span class="soft">(16 in 7 days)</span></dd>' in moderator_browser.open("/moderation")
    page = moderator_browser.open("/moderation/records/games/Harbour")
    assert '<dd id="tells">4 today, 14 in 7 days</dd>' in page
    with db.transaction() as session:
        assert tell_counts.prune(session, before=now - timedelta(days=6)) == 1
