"""`flask network export`, `import` and `digest`, as an operator uses them to move to another database."""

from __future__ import annotations

import gzip
import json
import shutil
import stat

import pytest

from tests.support.moderating import make_moderated


@pytest.fixture
def new_database(request, tmp_path):
    """The address of an empty, migrated SQLite database."""
    shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), tmp_path / "new.db")
    return f"sqlite:///{tmp_path}/new.db"


def line(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.postgres
def test_a_network_moves_to_another_database(any_database, stored, run_flask, new_database, tmp_path):
    make_moderated(stored)
    file = tmp_path / ("network.jsonl.gz" if any_database == "postgres" else "network.jsonl")

    exported = line(run_flask("network", "export", str(file)))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert exported["bytes"] == file.stat().st_size
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    assert content.startswith(b'{"format":"gossip-network","version":1,')
    imported = line(run_flask("network", "import", str(file), DATABASE_URL=new_database))
    before, after = (
        line(run_flask("network", "digest")),
        line(run_flask("network", "digest", DATABASE_URL=new_database)),
    )
    assert before == after
    assert before["sha256"] == imported["sha256"] == exported["sha256"]
    again = run_flask("network", "import", str(file), DATABASE_URL=new_database)
    assert again.returncode == 1 and "the database is not empty" in again.stderr and again.stderr.count("\n") == 1


def test_a_network_passes_through_a_pipe(stored, run_flask, new_database):
    stored.game("Harbour")
    exported = run_flask("network", "export", "-")
    imported = run_flask("network", "import", "-", stdin=exported.stdout, DATABASE_URL=new_database)
    assert line(imported)["sha256"] == json.loads(exported.stderr)["sha256"]


def test_an_export_does_not_overwrite_a_file_by_accident(run_flask, tmp_path):
    file = tmp_path / "network.jsonl"
    file.write_text("precious")
    refused = run_flask("network", "export", str(file))
    assert refused.returncode == 1 and "already exists: use --replace" in refused.stderr
    assert file.read_text() == "precious" and len(list(tmp_path.iterdir())) == 1
    assert line(run_flask("network", "export", str(file), "--replace"))["file"] == str(file)
    assert file.read_text() != "precious"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x1f\x8b nothing that gzip knows",
        gzip.compress(b"x" * 1000)[:20],
        gzip.compress(b"x" * 1000)[:12] + b"\xff" * 40,
        bytes(range(256)) * 50,
    ],
    ids=["empty", "text", "not gzip", "cut gzip", "damaged gzip", "binary"],
)
def test_other_files_are_refused_in_one_line(app, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    refused = app.test_cli_runner().invoke(args=["network", "import", str(tmp_path / "file")])
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: the file is ") and refused.stderr.count("\n") == 1, refused.stderr


def test_an_export_to_a_missing_folder_is_refused_in_one_line(run_flask, tmp_path):
    refused = run_flask("network", "export", f"{tmp_path}/missing/file")
    assert refused.returncode == 1 and "cannot be written: No such file" in refused.stderr
