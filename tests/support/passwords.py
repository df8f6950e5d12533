"""Cheap password hashes: real ones would take most of the time of tests with many users."""

from __future__ import annotations

import pytest


def use_quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the users service of this process hash cheaply until the patch is undone."""
    from argon2 import PasswordHasher

    from shared.services import users

    monkeypatch.setattr(users, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
