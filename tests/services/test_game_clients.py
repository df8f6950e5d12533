"""The server software that games declare when they connect."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from shared import db
from shared.models import Game, UserAgent
from shared.services import game_clients
from shared.services.game_clients import ClientSoftware
from tests.support.racing import Racer, wait_until_blocked


@pytest.mark.usefixtures("any_database")
def test_a_games_software_is_remembered(make, session):
    game, other = make.game("Tea"), make.game("Coffee")
    session.commit()
    for each in (game, other):
        game_clients.remember_clients(session, {each.id: ClientSoftware("ExVenture 1", "2.3.0")})
    session.commit()
    assert game.user_agent.name == "ExVenture 1" and game.user_agent is other.user_agent
    assert game.protocol_version == "2.3.0"
    game_clients.remember_clients(session, {game.id: ClientSoftware(None, "1.0.0")})
    assert game.user_agent.name == "ExVenture 1"
    game_clients.remember_clients(session, {999: ClientSoftware("X", "1.0.0")})
    assert session.scalar(select(func.count()).select_from(UserAgent)) == 1


@pytest.mark.usefixtures("any_database")
def test_two_workers_may_register_one_user_agent_at_once(engine, stored):
    first, second = stored.game("Tea"), stored.game("Coffee")

    def other_worker():
        with db.transaction() as other:
            game_clients.remember_clients(other, {second.id: ClientSoftware("ExVenture", "2.3.0")})

    with db.transaction() as session:
        game_clients.remember_clients(session, {first.id: ClientSoftware("ExVenture", "2.3.0")})
        session.flush()
        racer = Racer(other_worker)
        wait_until_blocked(engine, racer)
    racer.join()
    with db.reading() as session:
        assert session.scalars(select(UserAgent.name)).all() == ["ExVenture"]
        assert all(game.user_agent for game in session.scalars(select(Game)))
