"""The job that stores when characters were last online."""

from __future__ import annotations

from shared import db
from shared.services import characters, profiles
from shared.services.authority import actors
from shared.services.authority.actors import VISITOR
from tests.support.in_process import PlainDatabase
from worker.jobs.jobs import Jobs, network_jobs


def test_a_profile_says_when_a_character_was_last_seen(any_database, engine, stored, settings):
    """The job runs once a minute at most, and covers the characters that are online then."""
    user, game = stored.user("wren"), stored.game("Harbour")
    with db.transaction() as session:
        character = characters.register_character(session, game_id=game.id, name="Wren", key=user.registration_key)
        session.flush()
        characters.approve_character(session, actors.of_user(session, user.id), character_id=character.id)

    def last_seen():
        with db.reading() as session:
            profile = profiles.get_profile(session, VISITOR, username="wren", online=frozenset())
            return profile.characters[0].seen_at

    online = [(game.id, ["WREN", "Odo"])]
    (job,) = [job for job in network_jobs(settings, lambda: online) if job.name == "note-sightings"]
    jobs = Jobs(PlainDatabase(), [job])
    assert last_seen() is None
    assert jobs.run_if_due(job)
    seen = last_seen()
    assert abs((db.utc_now() - seen).total_seconds()) < 60
    assert not jobs.run_if_due(job)
    assert last_seen() == seen
