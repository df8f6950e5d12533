"""The namespace that games and applications share, and names that stay reserved."""

from __future__ import annotations

import pytest

from shared import db
from shared.errors import NameTaken
from shared.models.game_details import GameDetails
from shared.services import applications, games, short_names
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from tests.support.factory import edit_game
from tests.support.racing import Racer, wait_until_blocked


@pytest.mark.usefixtures("any_database")
def test_a_reserved_name_is_reserved_in_any_case(session):
    assert not short_names.is_reserved(session, "Tea")
    short_names.reserve(session, "Tea", game_id=1)
    assert short_names.is_reserved(session, "tEA")


def test_only_the_same_owner_may_take_a_name_back(session):
    short_names.reserve(session, "Tea", game_id=1)
    short_names.reserve(session, "TEA", game_id=1)
    for owner in ({"game_id": 2}, {"application_id": 1}):
        with pytest.raises(NameTaken) as taken:
            short_names.reserve(session, "tea", **owner)
        assert taken.value.field == "short_name"


@pytest.mark.usefixtures("any_database")
def test_a_deleted_games_name_stays_reserved(make, session):
    game = make.game("Tea")
    games.delete_game(session, OPERATOR, short_name="tea")
    session.commit()
    with pytest.raises(NameTaken):
        make.game("TEA")
    session.rollback()
    with pytest.raises(NameTaken):
        make.application("tEa")
    session.rollback()
    assert make.game("Coffee").id > game.id


@pytest.mark.usefixtures("any_database")
def test_a_deleted_applications_name_stays_reserved(make, session):
    application = make.application("Mirror")
    applications.delete_application(session, OPERATOR, short_name="MIRROR")
    session.commit()
    with pytest.raises(NameTaken):
        make.game("mirror")
    session.rollback()
    assert make.application("Mirror2").id > application.id


def test_only_the_game_itself_may_take_back_an_old_name(make, session):
    owner = make.user()
    make.game("Tea", owner=owner)
    edit_game(session, "Tea", actor=actors.of_user(session, owner.id), short_name="Coffee")
    with pytest.raises(NameTaken):
        make.game("tea")
    game = edit_game(session, "coffee", actor=actors.of_user(session, owner.id), short_name="tea")
    assert game.short_name == "tea"


@pytest.mark.usefixtures("any_database")
def test_a_game_and_an_application_race_for_one_name(engine, stored, monkeypatch):
    """They are in two tables, so only the reservation keeps them apart."""
    owner = stored.user()
    monkeypatch.setattr(short_names, "is_reserved", lambda session, short_name: False)

    def lose():
        with db.transaction() as other:
            applications.create_application(other, OPERATOR, name="The Mirror", short_name="MIRROR")

    with db.transaction() as session:
        games.create_game(session, OPERATOR, owner_id=owner.id, details=GameDetails(name="Mirror", short_name="mirror"))
        racer = Racer(lose)
        wait_until_blocked(engine, racer)
    with pytest.raises(NameTaken) as taken:
        racer.join()
    assert taken.value.field == "short_name"
