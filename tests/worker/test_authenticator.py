"""Concurrent logins share one read. A login reads again only if its own peer has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from shared import db
from shared.errors import InvalidCredentials
from shared.services import game_clients
from shared.services.game_clients import ClientSoftware
from tests.support.in_process import PlainDatabase
from worker.sockets.authenticator import BATCH, Authenticator
from worker.sockets.client_notes import ClientNotes


class YieldingDatabase(PlainDatabase):
    """Runs other greenlets during each read, as `worker.database.Database` does."""

    def read(self, function: Callable[[Any], Any]) -> Any:
        result = super().read(function)
        gevent.sleep(0.001)
        return result


@pytest.fixture
def database(engine) -> YieldingDatabase:
    return YieldingDatabase()


@pytest.fixture
def authenticator(database) -> Authenticator:
    return Authenticator(database)  # type: ignore[arg-type]


def log_in_all(authenticator: Authenticator, credentials: list[Any]) -> list[Any]:
    """Start all logins in one turn of the event loop. Return them once they have finished."""
    greenlets = [gevent.spawn(authenticator.login, each.client_id, each.client_secret) for each in credentials]
    gevent.joinall(greenlets, timeout=30, raise_error=True)
    return [greenlet.value for greenlet in greenlets]


def test_waiting_logins_share_one_read(stored, database, authenticator):
    """Forty logins in one turn of the event loop need one read of the database."""
    credentials = [stored.game_with_credentials()[1] for _ in range(40)]

    logins = log_in_all(authenticator, credentials)

    assert len({login.peer.key for login in logins}) == 40
    assert database.reads == authenticator.batches == 1


def test_a_storm_of_logins_needs_one_read_per_batch(stored, database, authenticator):
    """The number of reads grows with the number of batches, not of games."""
    _, credentials = stored.game_with_credentials()

    log_in_all(authenticator, [credentials] * (3 * BATCH))

    assert database.reads == 3


def test_a_change_of_another_peer_costs_nothing(stored, database, authenticator):
    game, credentials = stored.game_with_credentials()
    other = stored.game("Other")
    login = authenticator.login(credentials.client_id, credentials.client_secret)

    authenticator.peer_changed(f"game:{other.id}")

    assert login.confirm().key == f"game:{game.id}"
    assert database.reads == 1


def test_a_login_reads_its_own_peer_again_once_after_a_change(stored, database, authenticator):
    game, credentials = stored.game_with_credentials()
    login = authenticator.login(credentials.client_id, credentials.client_secret)

    authenticator.peer_changed(f"game:{game.id}")
    authenticator.peer_changed(f"game:{game.id}")

    assert login.confirm().key == login.confirm().key
    assert database.reads == 2


def test_a_change_during_the_read_is_not_missed(stored, database, authenticator):
    """The read saw the state before the change, and the login was not registered yet."""
    game, credentials = stored.game_with_credentials()
    waiting = gevent.spawn(authenticator.login, credentials.client_id, credentials.client_secret)
    gevent.sleep(0)  # the read is under way
    while not database.reads:
        gevent.sleep(0)
    authenticator.peer_changed(f"game:{game.id}")
    login = waiting.get(timeout=10)

    login.confirm()

    assert database.reads == 2


def test_credentials_that_were_replaced_meanwhile_are_refused(stored, authenticator):
    game, credentials = stored.game_with_credentials()
    login = authenticator.login(credentials.client_id, credentials.client_secret)
    with db.transaction() as session:
        session.get_one(type(game), game.id).make_credentials()
    authenticator.peer_changed(f"game:{game.id}")

    with pytest.raises(InvalidCredentials):
        login.confirm()


def test_finished_logins_are_forgotten(stored, authenticator):
    """Nothing is kept of a login after its `with` block, whether it succeeded or not."""
    game, credentials = stored.game_with_credentials()
    with authenticator.login(credentials.client_id, credentials.client_secret) as login:
        pass
    with pytest.raises(InvalidCredentials):
        authenticator.login(credentials.client_id, "wrong")

    authenticator.peer_changed(f"game:{game.id}")

    assert not login.is_stale


def test_new_user_agents_of_many_games_are_stored_in_one_transaction(stored, database, engine):
    """Each game whose synced record changes gets one version; a second write has nothing to do."""
    from sqlalchemy import func, select

    from shared.models.version import Version
    from shared.services.peers import list_peers

    keys = [f"game:{stored.game().id}" for _ in range(30)]
    notes = ClientNotes(database)
    with db.reading() as session:
        peers = list_peers(session, keys)
        versions_before = session.scalar(select(func.count()).select_from(Version))
    for number, key in enumerate(keys):
        notes.note(peers[key], f"Codebase {number}", "2.3.0")
        notes.note(peers[key], None, "2.3.0")  # a second socket that declares none

    notes.write()
    notes.write()

    assert database.writes == 1
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Version)) == versions_before + 30
        again = list_peers(session, keys)
    assert {peer.user_agent for peer in again.values()} == {f"Codebase {number}" for number in range(30)}


def test_a_known_user_agent_with_another_protocol_version_makes_no_version(stored, database, engine):
    """The protocol's version is not part of the synced record."""
    from shared.services import versions
    from shared.services.peers import list_peers

    key = f"game:{stored.game().id}"
    notes = ClientNotes(database)
    for protocol_version in ("2.3.0", "2.4.0"):
        with db.reading() as session:
            before, peer = versions.last_cursor(session), list_peers(session, [key])[key]
        notes.note(peer, "ExVenture", protocol_version)
        notes.write()

    with db.reading() as session:
        assert versions.last_cursor(session) == before
        assert list_peers(session, [key])[key].protocol_version == "2.4.0"


def test_known_details_are_not_written_again(stored, database):
    from shared.services.peers import list_peers

    game = stored.game()
    notes = ClientNotes(database)
    with db.transaction() as session:
        game_clients.remember_clients(session, {game.id: ClientSoftware("ExVenture", "2.3.0")})
    with db.reading() as session:
        peer = list_peers(session, [f"game:{game.id}"])[f"game:{game.id}"]

    notes.note(peer, "ExVenture", "2.3.0")
    notes.note(peer, None, "2.3.0")
    notes.write()

    assert database.writes == 0
