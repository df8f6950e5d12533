"""Nobody decides in their own case, and reported people do not learn who reported them."""

from __future__ import annotations

import pytest

from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.services import characters, games
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.services.moderation import appeals, records, reports, sanctions
from tests.support.moderating import mute

pytestmark = pytest.mark.usefixtures("any_database")


def claim(session, game, user, name):
    """Register and approve a character."""
    claimed = characters.register_character(session, game_id=game.id, name=name, key=user.registration_key)
    session.flush()
    return characters.approve_character(session, actors.of_user(session, user.id), character_id=claimed.id)


# Appeals


def test_nobody_decides_an_appeal_about_themselves(make, session, admin):
    """The owner of a game may appeal for its players, and so for a moderator."""
    owner, user = make.user(), make.user(role="moderator")
    claim(session, make.game("Tea", owner=owner), user, "Wren")
    sanction = mute(session, admin, "Wren@Tea")
    appeal = appeals.create_appeal(session, actors.of_user(session, owner.id), sanction_id=sanction.id, text="please")
    for colleague in (user, make.user(role="moderator")):
        with pytest.raises(Forbidden):
            appeals.decide_appeal(
                session, actors.of_user(session, colleague.id), appeal_id=appeal.id, is_granted=True, outcome="fine"
            )
    assert (appeal.state, sanction.state) == ("open", "in force")
    other_admin = actors.of_user(session, make.admin().id)
    appeals.decide_appeal(session, other_admin, appeal_id=appeal.id, is_granted=True, outcome="fine")


def test_moderators_cannot_decide_appeals_of_their_own(make, session, admin):
    """Not even if the sanction is against a game that they gave away since."""
    owner = make.user(role="moderator")
    make.game("Tea", owner=owner)
    sanction = mute(session, admin, "Bob@Tea")
    actor = actors.of_user(session, owner.id)
    appeal = appeals.create_appeal(session, actor, sanction_id=sanction.id, text="please")
    games.get_game(session, "Tea").owner = make.user()
    session.flush()
    with pytest.raises(Forbidden, match="your own appeal"):
        appeals.decide_appeal(session, actor, appeal_id=appeal.id, is_granted=True, outcome="fine")
    assert (appeal.state, sanction.state) == ("open", "in force")


def test_only_sanctions_in_force_can_be_appealed_and_with_a_reason(make, session, admin):
    owner = make.user()
    make.game("Tea", owner=owner)
    actor = actors.of_user(session, owner.id)
    over, standing = mute(session, admin, "Bob@Tea"), mute(session, admin, "Eve@Tea")
    sanctions.lift(session, admin, sanction_id=over.id, reason="enough")
    with pytest.raises(Conflict, match="nothing to appeal"):
        appeals.create_appeal(session, actor, sanction_id=over.id, text="please")
    with pytest.raises(Invalid, match="say why"):
        appeals.create_appeal(session, actor, sanction_id=standing.id, text=" ")


def test_whoever_restored_a_sanction_cannot_decide_its_appeal(make, session, moderator, admin):
    owner = make.user()
    make.game("Tea", owner=owner)
    other, sanction = mute(session, moderator, "Bob@Tea"), mute(session, moderator, "Tea", target_kind="game")
    second = actors.of_user(session, make.user(role="moderator").id)
    sanctions.lift(session, admin, sanction_id=sanction.id, reason="enough")
    sanctions.restore(session, second, sanction_id=sanction.id, reason="not enough")
    session.commit()
    appellant = actors.of_user(session, owner.id)
    appeal = appeals.create_appeal(session, appellant, sanction_id=sanction.id, text="please")
    with pytest.raises(Forbidden, match="restored"):
        appeals.decide_appeal(session, second, appeal_id=appeal.id, is_granted=False, outcome="no")
    unrelated = appeals.create_appeal(session, appellant, sanction_id=other.id, text="please")
    appeals.decide_appeal(session, second, appeal_id=unrelated.id, is_granted=False, outcome="no")


# Ending a sanction


def test_a_moderator_cannot_end_a_sanction_against_their_own_game(make, session, admin):
    owner = make.user(role="moderator")
    make.game("Tea", owner=owner)
    sanction = mute(session, admin, "Tea", target_kind="game")
    for end in (sanctions.lift, sanctions.undo):
        with pytest.raises(Forbidden):
            end(session, actors.of_user(session, owner.id), sanction_id=sanction.id, reason="it is mine")
    colleague = actors.of_user(session, make.user(role="moderator").id)
    sanctions.lift(session, colleague, sanction_id=sanction.id, reason="promised")


def test_an_application_cannot_end_its_own_sanction(make, session, admin):
    application = make.application("Bridge", scopes=["moderate"])
    itself = actors.of_application(session, application.id)
    for target, kind in (("Bridge", "game"), ("Bot@Bridge", "player")):
        sanction = mute(session, admin, target, target_kind=kind)
        with pytest.raises(Forbidden):
            sanctions.lift(session, itself, sanction_id=sanction.id, reason="let me")
    with pytest.raises(Forbidden, match="yourself"):
        mute(session, itself, "Bridge", target_kind="game")


# Evasion


@pytest.mark.parametrize("kind", ["mute", "ban"])
def test_sanctioned_people_cannot_remove_their_characters(make, session, moderator, kind):
    user = make.user()
    character = claim(session, make.game("Tea"), user, "Wren")
    sanction = mute(session, moderator, user.username, kind=kind, target_kind="user")
    with pytest.raises(Conflict, match="sanction"):
        characters.delete_character(session, actors.of_user(session, user.id), character_id=character.id)
    sanctions.lift(session, moderator, sanction_id=sanction.id, reason="enough")
    characters.delete_character(session, actors.of_user(session, user.id), character_id=character.id)


# Reports


def test_a_reported_moderator_does_not_see_who_reported_them(make, session, moderator):
    user, reader = make.user(role="moderator"), make.user()
    claim(session, make.game("Tea"), user, "Wren")
    report = reports.create_report(
        session, actors.of_user(session, reader.id), game="Tea", name="wren", text="abuses the power"
    )
    itself = actors.of_user(session, user.id)
    with pytest.raises(NotFound):
        reports.get_report(session, itself, report.id)
    assert reports.list_reports(session, itself).items == []
    assert reports.list_reports_about(session, itself, peer=report.peer, player=report.player_key) == []
    assert records.count_waiting(session, itself).reports == 0
    assert records.get_record_of_user(session, itself, username=reader.username).reported == []
    with pytest.raises((Forbidden, NotFound)):
        reports.resolve_report(session, itself, report_id=report.id, state="dismissed", outcome="nothing")

    assert reports.list_reports(session, moderator).items == [report]
    assert records.count_waiting(session, moderator).reports == 1
    record = records.get_record_of_user(session, moderator, username=reader.username)
    assert [reporter.report for reporter in record.reported] == [report]
    assert reports.list_reports(session, OPERATOR).items == [report]
