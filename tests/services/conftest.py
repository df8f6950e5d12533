"""Users of these tests have cheap passwords."""

from __future__ import annotations

import pytest

from tests.support.passwords import use_quick_passwords


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    use_quick_passwords(monkeypatch)
