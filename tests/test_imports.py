"""Dependencies point one way: app and worker use shared, shared uses neither, libraries use nothing of the server."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT

SERVER = {"app", "worker", "shared", "launcher", "wsgi", "migrations", "tests"}
FLASK = {"flask", "flask_login", "flask_wtf", "flask_limiter", "flask_migrate", "wtforms", "werkzeug", "jinja2"}
GEVENT = {"gevent", "geventwebsocket", "greenlet"}


def _files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if ".venv" not in path.parts)


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every module that a file imports, wherever in the file; relative ones made absolute."""
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            yield node.lineno, ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                yield node.lineno, ".".join([*base, *filter(None, (node.module or "").split(".")), alias.name])


def _found(paths: list[Path], forbidden: set[str]) -> list[str]:
    """Each import of a forbidden module: `file:line imports name`."""
    return sorted(
        {
            f"{path.relative_to(ROOT)}:{line} imports {name}"
            for path in paths
            for line, name in _imports(path)
            if any(name == module or name.startswith(module + ".") for module in forbidden)
        }
    )


@pytest.mark.parametrize(
    ("folders", "forbidden"),
    [
        (["app"], {"worker", "launcher", "tests"} | GEVENT),
        (["worker"], {"app", "wsgi", "launcher", "tests"} | FLASK),
        (["shared"], {"app", "worker", "wsgi", "launcher", "tests"} | FLASK | GEVENT),
        (["launcher"], {"app", "worker", "wsgi", "tests"} | FLASK | GEVENT),
        (["libraries/gossip-client/src"], SERVER | FLASK | {"flask_sqlalchemy", "sqlalchemy", "backbone"} | GEVENT),
        (["libraries/gossip-backbone/src"], SERVER | FLASK | {"flask_sqlalchemy"} | GEVENT),
        (["libraries/gossip-backbone/examples"], SERVER | {"flask_sqlalchemy"} | GEVENT),
        (["migrations"], {"app", "worker", "launcher", "tests", "shared.services"} | GEVENT),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_imports_point_one_way(folders, forbidden):
    """What a folder may not import, nowhere in it, not even inside a function."""
    paths = [path for path in _files(*folders) if "tests" not in path.parts[len(ROOT.parts) + 1 :]]
    assert paths or not (ROOT / folders[0]).exists()
    assert _found(paths, forbidden) == []


def test_only_db_knows_flask_sqlalchemy():
    """Services and models are given plain sessions, and need no app."""
    files = [path for path in _files("shared", "worker") if path != ROOT / "shared" / "db.py"]
    assert _found(files, {"flask_sqlalchemy"}) == []


def test_the_protocol_imports_only_what_is_pure():
    """Frames are plain values: no database, no Redis, no clock of the server."""
    forbidden = {"shared.models", "shared.services", "shared.db", "shared.bus", "shared.sync", "shared.settings"}
    assert _found(_files("shared/protocol"), forbidden | {"sqlalchemy", "redis", "flask_sqlalchemy"}) == []


def test_models_do_not_import_services():
    """Rules live above the tables."""
    assert _found(_files("shared/models"), {"shared.services", "shared.bus"}) == []


def test_only_the_worker_s_start_patches():
    """Monkey patching is the first thing worker/__main__.py does, and nothing else does it."""
    start = ROOT / "worker" / "__main__.py"
    others = [path for path in _files("app", "worker", "shared", "launcher") if path != start]
    assert _found(others, {"gevent.monkey"}) == []
    assert "patch_all" not in "".join(path.read_text() for path in others)

    statements = ast.parse(start.read_text()).body
    if isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Constant):
        statements = statements[1:]  # the docstring
    first, second = (ast.unparse(statement) for statement in statements[:2])
    assert first == "from gevent import monkey"
    assert second.startswith("monkey.patch_all(")


def test_the_check_sees_what_it_should(tmp_path, monkeypatch):
    """Every way to write an import is noticed."""
    (tmp_path / "app" / "games").mkdir(parents=True)
    file = tmp_path / "app" / "games" / "routes.py"
    file.write_text(
        "import worker\nimport os, worker.routes as r\nfrom worker import fanout\n"
        "from ... import worker as w\ndef f():\n    from worker.handlers.core import x\n"
        "import workers\nfrom . import worker\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    lines = {int(found.split(":")[1].split()[0]) for found in _found([file], {"worker"})}
    assert lines == {1, 2, 3, 4, 6}
