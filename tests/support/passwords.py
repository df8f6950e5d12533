"""Password hashes that cost next to nothing: real ones would be most of what tests with many users take."""

from __future__ import annotations

import pytest


def use_quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the accounts service of this process hash cheaply until the patch is undone."""
    from argon2 import PasswordHasher

    from shared.services import users

    monkeypatch.setattr(users, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
