"""Tells a transaction's own commit from the release of a savepoint.

SQLAlchemy calls `before_commit` for both and passes only the session. A savepoint may still be open when its
transaction commits, so `in_nested_transaction` does not tell them apart, and no public attribute does. This module
reads the state that SQLAlchemy itself keeps; `tests/test_outermost_commit.py` fails if a new version changes it.
"""

from __future__ import annotations

from sqlalchemy.orm import Session
from sqlalchemy.orm.state_changes import _StateChangeStates


def is_outermost_commit(session: Session) -> bool:
    """Return True in a `before_commit` hook while the transaction itself commits, False when only a savepoint ends."""
    root = session.get_transaction()
    return root is not None and root._next_state is _StateChangeStates.CHANGE_IN_PROGRESS
