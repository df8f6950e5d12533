"""The short form of `make test-faults`: each fault once, and no promise is broken. It waits most of the time."""

from __future__ import annotations

import pytest

from tests.faults.scenario import SHORT_FORM, Scenario
from tests.support.asynchronous import run_async

SEED = 15


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("database", [pytest.param("postgres", marks=pytest.mark.postgres), "sqlite"])
def test_no_fault_loses_repeats_or_mixes_up_anything(database: str) -> None:
    scenario = Scenario(database, SHORT_FORM, SEED, print)
    result = run_async(scenario.run(), seconds=230)
    print(result.figures)
    assert result.violations == []
