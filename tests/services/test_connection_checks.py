"""Connection checks: which are due, who runs them, and which results count."""

from __future__ import annotations

from functools import partial

import pytest

from shared import db
from shared.bus import take_announcements
from shared.errors import NotFound, TooMany
from shared.models import ConnectionCheck
from shared.services import check_allowances, connection_checks, games, users
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR
from shared.services.connection_checks import EVERY, LEASE, SPREAD, Outcome, Result
from shared.signals import ChecksDue
from tests.support.racing import Racer

OK = Result(Outcome.OK, 12, 200)


@pytest.fixture
def ways(any_database, stored):
    game = stored.game("Mine", owner=stored.user("keeper"))
    return [stored.connection(game, port=port) for port in (4000, 4001, 4002)]


def plan(now=None):
    with db.transaction() as session:
        return connection_checks.plan(session, now=now or db.utc_now())


def take(now, at_most=10):
    with db.transaction() as session:
        return connection_checks.take_due(session, now=now, at_most=at_most)


def finish(target, result=OK, now=None):
    with db.transaction() as session:
        return connection_checks.finish(session, target, result, now=now or db.utc_now())


def checks():
    with db.reading() as session:
        return {check.connection_id: check for check in session.query(ConnectionCheck)}


def test_new_ways_get_one_first_check_soon(ways):
    now = db.utc_now()
    assert (plan(now), plan(now)) == (3, 0)
    dues = [check.due_at for check in checks().values()]
    assert len(set(dues)) == 3 and all(now <= due <= now + SPREAD for due in dues)
    assert take(now + SPREAD, at_most=2) != []
    assert len(take(now + SPREAD)) == 1


def test_each_check_is_claimed_once_and_again_a_day_later(ways):
    now = db.utc_now()
    plan(now)
    later = now + SPREAD
    targets = take(later)
    assert {(target.type, target.host, target.port) for target in targets} == {
        ("telnet", "mud.example.com", port) for port in (4000, 4001, 4002)
    }
    assert take(later) == []
    assert all(finish(target, now=later) for target in targets)
    for check in checks().values():
        assert (check.outcome, check.milliseconds, check.http_status) == ("ok", 12, 200)
        assert check.checked_at == later and 0.9 * EVERY <= check.due_at - later <= 1.1 * EVERY
        assert not check.is_waiting
    assert take(later + 0.8 * EVERY) == []
    assert len(take(later + 1.1 * EVERY)) == 3


def test_a_request_starts_a_new_check(ways):
    """A check that is running may have begun before the owner fixed the problem."""
    now = db.utc_now()
    plan(now)
    before = take(now + SPREAD)
    with db.transaction() as session:
        game = session.get(connection_checks.GameConnection, ways[0].id).game
        games.check_connections(session, actors.of_user(session, game.owner_id), short_name=game.short_name)
    again = take(db.utc_now())
    assert {target.connection_id for target in again} == {way.id for way in ways}
    assert not any(finish(target, Result(Outcome.REFUSED, 3)) for target in before)
    assert all(finish(target) for target in again)
    assert {check.outcome for check in checks().values()} == {"ok"}


def test_a_dead_worker_delays_a_check_only_until_its_lease_ends(ways):
    """Its late result does not count."""
    plan()
    now = db.utc_now() + SPREAD
    old = take(now)
    new = take(now + LEASE)
    assert len(new) == 3
    assert not finish(old[0])
    assert finish(new[0])


def test_an_edit_discards_earlier_results(ways):
    """Also the result of a check that is running."""
    plan()
    targets = take(db.utc_now() + SPREAD)
    mine = next(target for target in targets if target.connection_id == ways[0].id)
    with db.transaction() as session:
        games.update_connection(
            session, OPERATOR, connection_id=ways[0].id, type="telnet", host="new.example.com", port=4000
        )
    assert not finish(mine)
    assert ways[0].id not in checks()
    assert plan() == 1


def test_deleting_a_way_deletes_its_check(ways):
    plan()
    targets = take(db.utc_now() + SPREAD)
    with db.transaction() as session:
        games.delete_connection(session, OPERATOR, connection_id=ways[0].id)
    assert len(checks()) == 2
    assert sorted(map(finish, targets)) == [False, True, True]


def test_an_owner_asks_for_a_check_now(ways):
    """Works for ways with and without a check, and signals the workers."""
    plan()
    with db.transaction() as session:
        session.delete(session.get(ConnectionCheck, ways[0].id))
    for target in take(db.utc_now() + SPREAD):
        finish(target)
    assert take(db.utc_now()) == []
    with db.transaction() as session:
        owner = users.get_user_by_username(session, "keeper")
        assert games.check_connections(session, actors.of_user(session, owner.id), short_name="Mine") == 3
    assert take_announcements(session) == [ChecksDue()]
    assert len(take(db.utc_now())) == 3


def test_strangers_cannot_ask_for_a_check(ways, stored):
    with pytest.raises(NotFound), db.transaction() as session:
        games.check_connections(session, actors.of_user(session, stored.user().id), short_name="Mine")


def test_two_workers_share_the_checks_that_are_due(ways):
    """No check is claimed by both, on real connections that commit."""
    plan()
    now = db.utc_now() + SPREAD
    for _ in range(5):
        racers = [Racer(partial(take, now)) for _ in range(2)]
        taken = [target.connection_id for racer in racers for target in racer.join()]
        assert sorted(taken) == sorted(way.id for way in ways)
        now += LEASE


def ask(stored_game, owner):
    with db.transaction() as session:
        return games.check_connections(session, actors.of_user(session, owner.id), short_name=stored_game.short_name)


@pytest.fixture
def few_checks(monkeypatch):
    """Three checks of ports of games in an hour, and one of a port of the system."""
    monkeypatch.setitem(check_allowances.CHECKS, check_allowances.PortClass.GAME, 3)
    monkeypatch.setitem(check_allowances.CHECKS, check_allowances.PortClass.SYSTEM, 1)


def test_an_owner_cannot_scan_ports_by_editing_a_way(few_checks, any_database, stored):
    """Neither through one game nor through several: their checks wait for the next hour."""
    owner, other = stored.user("keeper"), stored.user("other")
    mine = [stored.game("Mine", owner=owner), stored.game("Second", owner=owner)]
    ways = [stored.connection(game, host="victim.example.com", port=4000) for game in mine]
    now = db.utc_now()
    scanned = []
    for port in range(4000, 4010):
        for way in ways:
            with db.transaction() as session:
                games.update_connection(
                    session, OPERATOR, connection_id=way.id, type="telnet", host="victim.example.com", port=port
                )
        plan(now - SPREAD)
        scanned += [target.port for target in take(now)]
    assert len(scanned) == 3
    stored.connection(stored.game("Theirs", owner=other), port=5000)
    plan(now - SPREAD)
    assert [target.port for target in take(now)] == [5000]
    later = now + check_allowances.WINDOW + SPREAD
    assert sorted(target.port for target in take(later)) == [4009, 4009, 5000]


def test_ports_of_the_system_have_an_allowance_of_their_own(few_checks, any_database, stored):
    game = stored.game("Mine", owner=stored.user("keeper"))
    for port in (22, 25, 23, 443, 4000):
        stored.connection(game, port=port)
    plan()
    now = db.utc_now() + SPREAD
    ports = [target.port for target in take(now)]
    assert len({22, 25} & set(ports)) == 1 and {23, 443, 4000} <= set(ports)


def test_the_port_of_a_page_counts(few_checks, any_database, stored):
    game = stored.game("Mine", owner=stored.user("keeper"))
    for url in ("http://victim.example.com:22/", "https://victim.example.com:25/", "https://example.com/"):
        stored.connection(game, type="web", url=url, host=None, port=None)
    plan()
    assert len(take(db.utc_now() + SPREAD)) == 2


def test_an_owner_who_asks_too_often_is_told_when_to_ask_again(few_checks, any_database, stored):
    owner = stored.user("keeper")
    game = stored.game("Mine", owner=owner)
    for port in (4000, 4001, 22):
        stored.connection(game, port=port)
    assert ask(game, owner) == 3 and len(take(db.utc_now())) == 3
    assert ask(game, owner) == 2  # not the port of the system
    take(db.utc_now())
    with pytest.raises(TooMany, match="try again in 60 minutes"):
        ask(game, owner)


def test_limits_can_be_switched_off(few_checks, any_database, stored):
    owner = stored.user("keeper")
    game = stored.game("Mine", owner=owner)
    for port in range(20, 30):
        stored.connection(game, port=port)
    for _ in range(2):
        assert ask(game, owner) == 10
        with db.transaction() as session:
            due = connection_checks.take_due(session, now=db.utc_now(), at_most=20, is_limited=False)
        assert len(due) == 10


def test_workers_lock_the_counts_of_checks_in_one_order(stored, monkeypatch):
    """Otherwise two workers, each with some of an owner's checks, could wait for each other."""
    charged = []
    charge = check_allowances.charge

    def record(session, *, owner_id, port, now):
        charged.append((owner_id, check_allowances.port_class(port)))
        return charge(session, owner_id=owner_id, port=port, now=now)

    monkeypatch.setattr(check_allowances, "charge", record)
    now = db.utc_now()
    games_of_two_owners = [stored.game(name, owner=stored.user(f"owner-{name}")) for name in ("First", "Second")]
    ways = [stored.connection(game, port=port) for port in (22, 4000, 25, 4001) for game in games_of_two_owners]
    plan(now)
    with db.transaction() as session:
        for number, way in enumerate(ways):
            session.get_one(ConnectionCheck, way.id).due_at = now + number * SPREAD / 100
    assert len(take(now + SPREAD)) == 8
    assert charged == sorted(charged) and len(set(charged)) == 4
