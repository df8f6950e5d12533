"""`python -m tests.faults`: a long fault run on each database. `make test-faults` calls it."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time

from tests.faults.scenario import Scenario, full_form


def main() -> int:
    """Run, and print what happens and the figures. Return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long faults happen on each database (30)")
    parser.add_argument("--database", choices=("postgres", "sqlite"), nargs="+", default=["postgres", "sqlite"])
    parser.add_argument("--seed", type=int, help="repeat the faults of a run in their order (random)")
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    has_failed = False
    for database in options.database:
        print(f"{database}, {options.minutes:g} minutes, --seed {seed}", flush=True)
        started_at = time.monotonic()

        def log(text: str, started_at: float = started_at) -> None:
            print(f"{time.monotonic() - started_at:7.1f} s  {text}", flush=True)

        result = asyncio.run(Scenario(database, full_form(options.minutes), seed, log).run())
        print(json.dumps(result.figures, indent=2))
        for violation in result.violations[:200]:
            print(f"VIOLATION  {violation}")
        print(f"{database}: {len(result.violations)} violations", flush=True)
        has_failed = has_failed or bool(result.violations)
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
