"""Deleting accounts that were registered and never used."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from shared import db
from shared.models import User
from shared.services import accounts, channels, characters, game_transfers, games, users
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.support.factory import PASSWORD
from tests.support.in_process import PlainDatabase
from worker.jobs.jobs import Jobs, network_jobs


def sign_up(username):
    with db.transaction() as session:
        return users.sign_up(session, username=username, email=f"{username}@example.com", password=PASSWORD)


def grow_old(days=31):
    with db.transaction() as session:
        session.execute(update(User).values(created_at=db.utc_now() - timedelta(days=days)))


def usernames():
    with db.reading() as session:
        return set(session.scalars(select(User.username)))


@pytest.fixture
def sweep(engine, settings):
    (job,) = [job for job in network_jobs(settings) if job.name == "remove-abandoned-accounts"]
    return lambda: Jobs(PlainDatabase(), [job]).run_if_due(job)


def test_accounts_stay_until_the_time_is_over(sweep):
    sign_up("abandoned")
    grow_old(days=29)
    assert sweep() and usernames() == {"abandoned"}
    assert not sweep(), "once a day"


def test_abandoned_accounts_are_deleted_after_the_time(any_database, sweep, stored):
    """The name is free again."""
    sign_up("abandoned")
    sign_up("returned")
    with db.transaction() as session:
        returned = users.get_user_by_username(session, "returned")
        accounts.note_return(session, user_id=returned.id, at=db.utc_now())
    grow_old()
    sign_up("young")
    assert sweep() and usernames() == {"returned", "young"}
    sign_up("abandoned")


def test_each_reason_to_keep_an_account(any_database, sweep, stored):
    """Each account lacks everything else that would keep it."""
    operator_made = stored.user("operator-made")
    game = stored.game("Mine", owner=operator_made)
    reasons = ("verified", "owner", "player", "receiver", "helper", "proposer")
    people = {name: sign_up(name) for name in (*reasons, "abandoned")}
    stored.game("Theirs", owner=people["owner"])
    passing = stored.game("Passing", owner=people["proposer"])
    with db.transaction() as session:
        verified = session.get(User, people["verified"].id)
        accounts.verify_email(session, user_id=verified.id, email=verified.email, mark=accounts.mark_of(verified))
        key = session.get(User, people["player"].id).registration_key
        characters.register_character(session, game_id=game.id, name="Wren", key=key)
        users.set_role(session, OPERATOR, username="helper", role="moderator")
        game_transfers.offer_game(
            session, actors.of_user(session, game.owner_id), short_name="Mine", username="receiver"
        )
        channels.propose_channel(session, actors.of_user(session, people["proposer"].id), name="music")
        games.delete_game(session, OPERATOR, short_name=passing.short_name)
    grow_old()
    assert sweep() and usernames() == {"operator-made", *people} - {"abandoned"}
