"""A game changes its owner if both sides agree, and only once."""

from __future__ import annotations

from functools import partial

import pytest

from shared import db
from shared.errors import Conflict, Invalid, NotFound
from shared.services import accounts, game_transfers, games, versions
from shared.services.authority import actors
from tests.support.factory import PASSWORD
from tests.support.racing import Racer


@pytest.fixture
def people(any_database, stored):
    """The owner of the game "Mine", its receiver, and somebody else."""
    owner, receiver, stranger = stored.user("wren"), stored.user("odo"), stored.user("sly")
    stored.game("Mine", owner=owner)
    return owner, receiver, stranger


def offer(actor, username="odo"):
    with db.transaction() as session:
        game_transfers.offer_game(session, actors.of_user(session, actor.id), short_name="Mine", username=username)


def accept(actor):
    with db.transaction() as session:
        return game_transfers.accept_game(session, actors.of_user(session, actor.id), short_name="mine")


def cancel(actor):
    with db.transaction() as session:
        return game_transfers.cancel_transfer(session, actors.of_user(session, actor.id), short_name="Mine")


def owner_id():
    with db.reading() as session:
        return games.get_game(session, "Mine").owner_id


def offered_to(user):
    with db.reading() as session:
        return [transfer.game.short_name for transfer in game_transfers.list_offers_to(session, user.id)]


def test_a_game_is_offered_and_accepted(people):
    """It stays the owner's until then. Nothing is synced, since the owner is not part of the record."""
    owner, receiver, _ = people
    offer(owner, "ODO")
    assert owner_id() == owner.id and offered_to(receiver) == ["Mine"]
    with db.reading() as session:
        before = versions.last_cursor(session)
    transfer = accept(receiver)
    assert (transfer.game_id, transfer.from_user_id, transfer.to_user_id) == (transfer.game.id, owner.id, receiver.id)
    assert owner_id() == receiver.id and offered_to(receiver) == []
    with db.reading() as session:
        assert versions.last_cursor(session) == before
    with pytest.raises(NotFound), db.transaction() as session:
        games.get_own_game(session, actors.of_user(session, owner.id), short_name="Mine")


@pytest.mark.parametrize("who", [0, 1])
def test_either_side_can_cancel(people, who):
    offer(people[0])
    cancel(people[who])
    with pytest.raises(NotFound):
        accept(people[1])
    assert owner_id() == people[0].id
    offer(people[0])  # again is fine


def test_nobody_else_can_offer_accept_or_cancel(people):
    owner, receiver, stranger = people
    with pytest.raises(NotFound):
        offer(stranger)
    offer(owner)
    for act in (accept, cancel):
        with pytest.raises(NotFound):
            act(stranger)
    with pytest.raises(NotFound):
        accept(owner)
    assert offered_to(receiver) == ["Mine"]


@pytest.mark.parametrize(("username", "words"), [("nobody", "no account"), ("wren", "already"), ("a\0b", "no account")])
def test_who_cannot_receive_a_game(people, username, words):
    with pytest.raises(Invalid, match=words) as refused:
        offer(people[0], username)
    assert refused.value.field == "username"


def test_a_game_can_be_offered_to_only_one_account_at_a_time(people):
    offer(people[0])
    with pytest.raises(Conflict, match="already"):
        offer(people[0], "sly")


def test_a_receiver_with_the_full_number_of_games_cannot_accept(people, monkeypatch):
    """They may delete a game and then accept."""
    offer(people[0])
    monkeypatch.setattr(games, "GAMES_PER_OWNER", 0)
    with pytest.raises(Conflict, match="at most"):
        accept(people[1])
    monkeypatch.undo()
    accept(people[1])


def test_deleting_the_game_or_the_receiver_deletes_the_offer(people, stored):
    owner, receiver, _ = people
    offer(owner)
    with db.transaction() as session:
        accounts.delete_account(session, actors.of_user(session, receiver.id), password=PASSWORD)
    offer(owner, "sly")
    with db.transaction() as session:
        games.delete_game(session, actors.of_user(session, owner.id), short_name="Mine")
    assert offered_to(people[2]) == []


def test_accepting_and_cancelling_at_once_only_one_succeeds(people):
    """The other request fails, since the offer is no longer open."""
    for _ in range(5):
        with db.transaction() as session:
            games.get_game(session, "Mine").owner_id = people[0].id
        offer(people[0])
        racers = [Racer(partial(accept, people[1])), Racer(partial(cancel, people[0]))]
        outcomes = []
        for racer in racers:
            try:
                racer.join()
                outcomes.append(True)
            except (NotFound, Conflict):
                outcomes.append(False)
        assert sorted(outcomes) == [False, True]
        assert owner_id() == (people[1] if outcomes[0] else people[0]).id
