"""Authentication of games and applications, one and many at once; and looking peers up."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from shared import db
from shared.errors import InvalidCredentials
from shared.models.credentials import Credentials
from shared.models.user_agent import UserAgent
from shared.services import peer_credentials, peers
from shared.services.peer_credentials import WrongSecret
from shared.services.peers import Peer
from tests.support.credentials import authenticate_peer


def test_each_attempt_gets_its_own_answer_in_order(make, session):
    """Right, wrong and unknown credentials do not influence each other, even for the same id."""
    game, of_game = make.game_with_credentials()
    application, of_application = make.application_with_credentials()
    game.user_agent, game.protocol_version = UserAgent(name="ExVenture 0.29"), "2.3.0"
    session.flush()

    right, wrong, shouted, unknown, application_peer = peer_credentials.authenticate_peers(
        session,
        [
            of_game,
            Credentials(of_game.client_id, of_application.client_secret),
            Credentials(f" {of_game.client_id.upper()}\n", of_game.client_secret.upper()),
            Credentials("nobody", of_game.client_secret),
            of_application,
        ],
    )

    assert right == shouted
    assert isinstance(right, Peer)
    assert (right.key, right.short_name, right.is_application) == (f"game:{game.id}", game.short_name, False)
    assert (right.user_agent, right.protocol_version) == ("ExVenture 0.29", "2.3.0")
    assert isinstance(wrong, WrongSecret)
    assert wrong.peer == f"game:{game.id}"
    assert type(unknown) is InvalidCredentials
    assert isinstance(application_peer, Peer)
    assert application_peer.key == f"application:{application.id}"
    assert (application_peer.is_application, application_peer.is_displayed) == (True, False)


def test_a_batch_takes_two_queries(make, session, engine):
    """Whatever its size: one of games, one of applications."""
    attempts = [make.game_with_credentials()[1] for _ in range(60)]
    session.commit()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda c, cu, statement, *rest: statements.append(statement))

    with db.reading() as reader:
        peers = peer_credentials.authenticate_peers(reader, attempts)

    assert all(isinstance(peer, Peer) for peer in peers)
    assert [statement.count("client_id IN") for statement in statements if "SELECT" in statement] == [1, 1]


@pytest.mark.parametrize(
    ("client_id", "client_secret"),
    [("", ""), ("{id}", ""), ("{id}", "wrong"), ("nobody", "{secret}"), ("{id}\0", "{secret}"), ("\ud800", "\ud800")],
)
def test_wrong_credentials(make, session, client_id, client_secret):
    _, credentials = make.game_with_credentials()
    values = {"id": credentials.client_id, "secret": credentials.client_secret}
    with pytest.raises(InvalidCredentials) as refused:
        authenticate_peer(session, client_id=client_id.format(**values), client_secret=client_secret.format(**values))
    assert refused.value.message == "invalid credentials"


@pytest.mark.parametrize("is_known", [True, False])
def test_a_wrong_id_and_a_wrong_secret_run_the_same_queries(make, session, engine, is_known, statements):
    """The same number of queries, and one digest is compared."""
    _, credentials = make.game_with_credentials()
    session.commit()
    client_id = credentials.client_id if is_known else "00000000-0000-4000-8000-000000000000"
    with db.reading() as reader:
        with pytest.raises(InvalidCredentials):
            authenticate_peer(reader, client_id=client_id, client_secret="wrong")
    assert len(statements("FROM games")) == len(statements("FROM applications")) == 1


@pytest.fixture
def statements(engine):
    """Return a function that lists the SQL run so far that looks up client ids and contains a text."""
    run = []
    event.listen(
        engine, "before_cursor_execute", lambda c, cu, statement, *rest: run.append(" ".join(statement.split()))
    )
    return lambda text: [statement for statement in run if text in statement and "client_id IN" in statement]


def test_peers_that_still_exist(make, session):
    game, application = make.game(), make.application()
    session.flush()
    keys = [f"game:{game.id}", f"application:{application.id}", "game:999", "grapevine"]
    listed = peers.list_peers(session, keys)
    assert set(listed) == set(keys[:2])
    assert listed[keys[0]].credentials_serial == 1
