"""Backup and restore, with the commands of docs/operating.md as they stand there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from shared import db
from shared.models.version import Counter
from shared.services.dumps import tables
from tests.support.factory import Factory
from tests.support.moderating import make_moderated
from tests.support.processes import ROOT, clean_environment
from tests.support.programs import find_program

PAGE = ROOT / "docs" / "operating.md"
CHANGED_BY_A_RESTORE = {"counters"}


def commands(name: str) -> str:
    """Return the block of the page below `<!-- commands: name -->`."""
    block = re.search(rf"^<!-- commands: {name} -->\n```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert block, f"the page has no commands {name!r}"
    return block[1]


@pytest.fixture
def run_commands(environment: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Run a block of the page as an operator does, with other paths. `systemctl` only notes what it was asked."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/systemctl\n')
    (programs / "chown").write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    pg_dump = find_program("pg_dump")
    assert pg_dump is not None

    def run(name: str, **more_settings: str) -> str:
        block = commands(name).replace("/var/backups/gossip", f"{tmp_path}/backups")
        block = re.sub(r"\b(network\.jsonl\.gz|old\.json|new\.json)\b", rf"{tmp_path}/\1", block)
        if (url := make_url(environment["DATABASE_URL"])).get_backend_name() == "sqlite":
            block = block.replace("/srv/gossip/instance/gossip.db", str(url.database))
        env = clean_environment(**environment, **more_settings)
        env["PATH"] = f"{programs}:{env['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def contents(url: str) -> dict[str, Any]:
    """Return the digests of all tables, but the counters that a restore moves on purpose."""
    engine = db.make_engine(url)
    try:
        with Session(engine) as session:
            digests: dict[str, Any] = tables.digest_network(session)["tables"]
            return {name: digest for name, digest in digests.items() if name not in CHANGED_BY_A_RESTORE}
    finally:
        engine.dispose()


def cursor(url: str) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(select(Counter.value).where(Counter.name == Counter.VERSIONS)).scalar_one()
    finally:
        engine.dispose()


@pytest.mark.operating
@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    "any_database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
def test_a_lost_disk_is_restored(
    any_database: str,
    environment: dict[str, str],
    stored: Factory,
    engine: Any,
    request: pytest.FixtureRequest,
    run_commands: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """Everything is as it was at the backup. Replicas start over, since their cursors are not the log's."""
    url = environment["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
    for name in ("MoonHarbour", "AshFall"):
        stored.game(name)
    stored.channel("gossip")
    before, cursor_before = contents(url), cursor(url)
    assert before["games"]["rows"] == 2

    run_commands(f"backup-{any_database}")
    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.stat().st_mode & 0o077 == 0
    stored.game("TooLate")
    engine.dispose()
    if any_database == "sqlite":
        for path in Path(str(make_url(url).database)).parent.iterdir():
            path.unlink()
    else:
        postgres = request.getfixturevalue("postgres_server")
        postgres.empty_database(environment["DATABASE_URL"])
    run_commands(f"restore-{any_database}")

    assert contents(url) == before
    assert cursor(url) > cursor_before + 1000
    systemctl = (tmp_path / "systemctl").read_text().splitlines()
    assert systemctl[0].startswith("stop ") and systemctl[-1].startswith("start ")


@pytest.mark.operating
@pytest.mark.postgres
@pytest.mark.usefixtures("processes")
def test_a_network_moves_from_sqlite_to_postgres(
    environment: dict[str, str],
    stored: Factory,
    postgres_server: Any,
    run_commands: Callable[..., str],
    tmp_path: Path,
) -> None:
    make_moderated(stored)
    new_url = postgres_server.create_database()

    run_commands("move-network", NEW_DATABASE_URL=new_url)

    assert contents(new_url) == contents(environment["DATABASE_URL"])
    assert (tmp_path / "old.json").read_text() == (tmp_path / "new.json").read_text()
    assert (tmp_path / "network.jsonl.gz").stat().st_mode & 0o077 == 0
    assert (tmp_path / "systemctl").read_text() == "stop gossip\n"
