"""Compare this checkout's worker with that of another commit, so that a change that makes it slower is seen.

    python -m bench.commits BASE [--rounds 3] [--minutes 9] [--only w1_1000 w2]

BASE is any commit that git knows. It is checked out into a temporary folder, with packages of its own if it pins
others. Both workers get the same loads in turns (`bench/rounds.py`), each with its own database and Redis.

Prints a table. `ratio` is this checkout's figure as a multiple of BASE's; changes of more than 15 % are marked.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import report
from bench.compare import rows_of
from bench.rounds import NOISY_CORES, run_rounds
from bench.servers.ours import Network, version_of
from bench.stack import ROOT, Checkout, Stack
from bench.workloads import WORKLOADS


@contextmanager
def checkout(commit: str, folder: Path) -> Iterator[Checkout]:
    """Check a commit out into a folder, until the end of the block."""
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield Checkout(folder, _python(folder))
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def _python(folder: Path) -> str:
    """Return a Python with the checkout's packages: this one, or one of its own if it pins others."""
    pinned = "requirements.txt"
    if (folder / pinned).read_text() == (ROOT / pinned).read_text():
        return sys.executable
    print("Installing the packages of that commit ...", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / ".venv")], check=True)
    python = str(folder / ".venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]
    subprocess.run([*install, str(folder / pinned)], check=True)
    return python


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--only", nargs="+", help="keys of workloads: " + " ".join(each.key for each in WORKLOADS))
    parser.add_argument("--noise", type=float, default=NOISY_CORES, help="cores that may be busy with something else")
    options = parser.parse_args()
    workloads = [each for each in WORKLOADS if not options.only or each.key in options.only]
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        with checkout(options.base, folder / "base") as base, Stack(checkout=base) as old, Stack() as new:
            servers = [Network(old).server("base", "base"), Network(new).server()]
            seconds = options.minutes * 60
            runs = run_rounds(
                workloads,
                servers,
                folder=folder,
                rounds=options.rounds,
                seconds=seconds,
                noisy_cores=options.noise,
            )
            names = {"base": version_of(base), "now": version_of(Checkout())}
    print(report.ratios(rows_of(workloads, servers, runs), **names))
    for failure in runs.failures:
        print("failed:", failure)


if __name__ == "__main__":
    main()
