"""Growth of memory and descriptors: what lived long enough is compared after its warm-up and at the end."""

from __future__ import annotations

import pytest

from tests.faults.figures import Figures, Sample


def figures(seconds: int, mib_per_minute: float = 0, descriptors_per_minute: int = 0) -> Figures:
    """Return samples of one process that lived for so long and grew so fast, from 80 MiB and 20 descriptors."""
    samples = [
        Sample(float(at), 80 + at / 60 * mib_per_minute, 20 + at // 60 * descriptors_per_minute)
        for at in range(0, seconds, 2)
    ]
    return Figures({("worker 0", 1): samples})


@pytest.mark.parametrize("grown", [{"mib_per_minute": 5}, {"descriptors_per_minute": 10}])
def test_a_process_that_grows_is_reported(grown: dict[str, int]) -> None:
    assert [text.split(" from")[0] for text in figures(600, **grown).violations()] == ["grown: worker 0 (1)"]


@pytest.mark.parametrize("grown", [{"mib_per_minute": 0.5}, {"descriptors_per_minute": 2}])
def test_a_process_that_is_nearly_flat_is_not(grown: dict[str, float]) -> None:
    flat = figures(600, **grown)  # type: ignore[arg-type]
    assert flat.violations() == []
    assert list(flat.growth()) == ["worker 0 (1)"]


def test_a_process_that_lived_shortly_says_nothing() -> None:
    assert figures(150, mib_per_minute=100).violations() == []
