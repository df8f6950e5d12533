"""Which server software games run and which protocol version they speak, as they declare when they connect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, lazyload

from shared.models.game import Game
from shared.models.user_agent import UserAgent


class ClientSoftware(NamedTuple):
    """What a game declared. user_agent: None if it declared none, which keeps the one declared before."""

    user_agent: str | None
    protocol_version: str


def remember_clients(session: Session, clients: Mapping[int, ClientSoftware]) -> None:
    """Store what games declared, by game id. New user agents are added; games that no longer exist are skipped.

    Costs a fixed number of statements, whatever the number of games.
    """
    games = session.scalars(select(Game).where(Game.id.in_(clients)).options(lazyload("*"))).all()
    agents = _find_or_add(session, {name for game in games if (name := clients[game.id].user_agent)})
    for game in games:
        client = clients[game.id]
        if client.user_agent:
            game.user_agent = agents[client.user_agent]
        game.protocol_version = client.protocol_version


def _find_or_add(session: Session, names: set[str]) -> dict[str, UserAgent]:
    """Return the user agents of these names, and add the missing ones."""
    while missing := names - (agents := _find(session, names)).keys():
        try:
            with session.begin_nested():
                session.add_all([UserAgent(name=name) for name in sorted(missing)])  # one order everywhere: no deadlock
        except IntegrityError:  # another worker has added one of them since
            continue
    return agents


def _find(session: Session, names: set[str]) -> dict[str, UserAgent]:
    return {agent.name: agent for agent in session.scalars(select(UserAgent).where(UserAgent.name.in_(names)))}
