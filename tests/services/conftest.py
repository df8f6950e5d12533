"""Cheap password hashes, and moderators as actors."""

from __future__ import annotations

import pytest

from shared.services.authority import actors
from tests.support.passwords import use_quick_passwords


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    use_quick_passwords(monkeypatch)


@pytest.fixture
def moderator(make, session):
    return actors.of_user(session, make.user(role="moderator").id)


@pytest.fixture
def admin(make, session):
    return actors.of_user(session, make.admin().id)
