"""Which `before_commit` hooks belong to the transaction itself. Fails if SQLAlchemy changes what the module reads."""

from __future__ import annotations

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from shared.outermost_commit import is_outermost_commit

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.fixture
def commits(session):
    """What `is_outermost_commit` returns in each hook of the session."""
    answers = []

    def note(committing: Session) -> None:
        answers.append(is_outermost_commit(committing))

    event.listen(session, "before_commit", note)
    yield answers
    event.remove(session, "before_commit", note)


def test_a_commit_is_the_transaction_s_own(session, commits):
    session.connection()
    session.commit()
    assert commits == [True]


def test_the_release_of_a_savepoint_is_not(session, commits):
    with session.begin_nested():
        with session.begin_nested():
            pass
    assert commits == [False, False]
    session.commit()
    assert commits == [False, False, True]


def test_a_commit_with_an_open_savepoint(session, commits):
    """The savepoint may be released before the transaction's own hook is called, or after it."""
    session.begin_nested()
    session.commit()
    assert commits == [False, True]
    commits.clear()
    with session.begin():
        session.begin_nested()
    assert commits == [True, True]  # the second is within the commit of the transaction


def test_outside_a_commit_it_is_never_true(session):
    assert not is_outermost_commit(session)
    session.connection()
    assert not is_outermost_commit(session)
