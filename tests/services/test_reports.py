"""Reports and appeals."""

from __future__ import annotations

import pytest

from shared import db
from shared.errors import Conflict, Forbidden, NotFound
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.services.moderation import (
    appeals,
    reports,
)
from tests.support.moderating import mute
from tests.support.racing import Racer

pytestmark = pytest.mark.usefixtures("any_database")


def test_somebody_else_decides_an_appeal_which_undoes_the_sanction(make, session, moderator, admin):
    owner = make.user()
    make.game("Tea", owner=owner)
    sanction = mute(session, moderator, "Tea", target_kind="game")
    appellant, stranger = actors.of_user(session, owner.id), actors.of_user(session, make.user().id)
    with pytest.raises(NotFound):
        appeals.create_appeal(session, stranger, sanction_id=sanction.id, text="please")
    appeal = appeals.create_appeal(session, appellant, sanction_id=sanction.id, text="please")
    with pytest.raises(Conflict):
        appeals.create_appeal(session, appellant, sanction_id=sanction.id, text="again")
    with pytest.raises(Forbidden):
        appeals.decide_appeal(session, moderator, appeal_id=appeal.id, is_granted=False, outcome="no")
    appeals.decide_appeal(session, admin, appeal_id=appeal.id, is_granted=True, outcome="it was not the game")
    assert (appeal.state, sanction.state) == ("granted", "undone")
    with pytest.raises(Conflict):
        appeals.decide_appeal(session, admin, appeal_id=appeal.id, is_granted=True, outcome="again")


def test_reports_of_one_message_are_merged_even_at_the_same_moment(engine, stored):
    game = stored.game("Tea")
    people = [stored.user() for _ in range(6)]

    def report(user):
        with db.transaction() as session:
            actor = actors.of_user(session, user.id)
            return reports.create_report(session, actor, game="tea", name="Bob", text="rude").id

    ids = {racer.join() for racer in [Racer(lambda user=user: report(user)) for user in people]}
    assert len(ids) == 1
    with db.transaction() as session:
        [merged] = reports.list_reports(session, OPERATOR).items
        assert len(merged.reporters) == 6 and merged.peer == f"game:{game.id}"
        reports.resolve_report(session, OPERATOR, report_id=merged.id, state="upheld", outcome="he was muted")
        [own] = reports.list_reports_by(session, actors.of_user(session, people[0].id)).items
        assert (own.report.state, own.report.outcome) == ("upheld", "he was muted")
    assert report(people[0]) not in ids  # a new one, now that the old is decided
