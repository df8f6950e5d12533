"""Memory and descriptors of the network's processes during a run, and whether they are flat."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

import psutil

from tests.faults.network import Network

SAMPLE_SECONDS = 2.0
WARM_UP_SECONDS = 60.0  # caches fill
MIN_SECONDS = 120.0  # after the warm-up; processes that lived shorter say nothing
MEMORY_SHARE, MEMORY_MIB = 1.15, 10.0
SPARE_DESCRIPTORS = 40  # sockets move between the workers


class Sample(NamedTuple):
    at: float
    mib: float
    descriptors: int


@dataclass
class Figures:
    """Samples of each process, by its program's name and its number."""

    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=dict)

    async def collect(self, network: Network) -> None:
        """Take samples until cancelled."""
        while True:
            for program in network.programs:
                for process in program.processes():
                    with suppress(psutil.Error):
                        sample = Sample(time.monotonic(), process.memory_info().rss / 2**20, process.num_fds())
                        self.samples.setdefault((program.name, process.pid), []).append(sample)
            await asyncio.sleep(SAMPLE_SECONDS)

    def growth(self) -> dict[str, str]:
        """Return what long-lived processes used after the warm-up and at the end, in words."""
        return {
            f"{name} ({pid})": f"{first.mib:.0f} to {last.mib:.0f} MiB, {first.descriptors} to {last.descriptors} "
            f"descriptors in {last.at - first.at:.0f} s"
            for (name, pid), first, last in self._long_lived()
        }

    def violations(self) -> list[str]:
        """Return the processes that have grown."""
        return [
            f"grown: {name} ({pid}) from {first} to {last}"
            for (name, pid), first, last in self._long_lived()
            if last.mib > first.mib * MEMORY_SHARE + MEMORY_MIB
            or last.descriptors > first.descriptors + SPARE_DESCRIPTORS
        ]

    def _long_lived(self) -> list[tuple[tuple[str, int], Sample, Sample]]:
        lived = []
        for key, samples in self.samples.items():
            warm = [sample for sample in samples if sample.at - samples[0].at >= WARM_UP_SECONDS]
            if warm and warm[-1].at - warm[0].at >= MIN_SECONDS:
                count = max(1, len(warm) // 6)
                lived.append((key, _middle(warm[:count]), _middle(warm[-count:])))
        return lived


def _middle(samples: list[Sample]) -> Sample:
    return Sample(
        samples[len(samples) // 2].at,
        median(sample.mib for sample in samples),
        int(median(sample.descriptors for sample in samples)),
    )
