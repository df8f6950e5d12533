"""Dependencies point one way: app and worker use shared, shared uses neither, libraries use nothing of the server."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from tests.support.import_graph import circles, import_graph, imports_of
from tests.support.processes import ROOT

SERVER = {"app", "gateway", "worker", "shared", "launcher", "server", "wsgi", "migrations", "tests"}
FLASK = {"flask", "flask_login", "flask_wtf", "flask_limiter", "flask_migrate", "wtforms", "werkzeug", "jinja2"}
GEVENT = {"gevent", "geventwebsocket", "greenlet"}


def _files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if ".venv" not in path.parts)


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    return imports_of(path, ROOT)


def _found(paths: list[Path], forbidden: set[str], *, except_for: Set[str] = frozenset()) -> list[str]:
    """Return each import of a forbidden module that no exception allows, as `file:line imports name`."""
    return sorted(
        {
            f"{path.relative_to(ROOT)}:{line} imports {name}"
            for path in paths
            for line, name in _imports(path)
            if _is_in(name, forbidden) and not _is_in(name, except_for)
        }
    )


def _is_in(name: str, modules: Set[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


@pytest.mark.parametrize(
    ("folders", "forbidden"),
    [
        (["app"], {"gateway", "worker", "launcher", "tests"} | GEVENT),
        (["worker"], {"app", "gateway", "wsgi", "launcher", "tests"} | FLASK),
        (["gateway"], {"app", "worker", "wsgi", "launcher", "tests"} | FLASK | GEVENT),
        (["shared"], {"app", "gateway", "worker", "wsgi", "launcher", "tests"} | FLASK | GEVENT),
        (["server"], {"app", "gateway", "worker", "shared", "launcher", "wsgi", "tests"} | FLASK | GEVENT),
        (["launcher"], {"app", "gateway", "worker", "wsgi", "tests"} | FLASK | GEVENT),
        (["libraries/gossip-client/src"], SERVER | FLASK | {"flask_sqlalchemy", "sqlalchemy", "backbone"} | GEVENT),
        (["libraries/gossip-backbone/src"], SERVER | FLASK | {"flask_sqlalchemy"} | GEVENT),
        (["libraries/gossip-backbone/examples"], SERVER | {"flask_sqlalchemy"} | GEVENT),
        (["migrations"], {"app", "gateway", "worker", "launcher", "tests", "shared.services"} | GEVENT),
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
    files = [path for path in _files("shared", "worker", "gateway") if path != ROOT / "shared" / "db.py"]
    assert _found(files, {"flask_sqlalchemy"}) == []


def test_the_protocol_imports_only_what_is_pure():
    """Frames are plain values: no database, no Redis, no clock of the server."""
    forbidden = {"shared.models", "shared.services", "shared.db", "shared.bus", "shared.sync", "shared.settings"}
    assert _found(_files("shared/protocol"), forbidden | {"sqlalchemy", "redis", "flask_sqlalchemy"}) == []


def test_models_do_not_import_services():
    """Rules live above the tables."""
    assert _found(_files("shared/models"), {"shared.services", "shared.bus"}) == []


def test_only_services_import_services_in_shared():
    """Settings, signals and what else both processes share can be read without the rules."""
    folder = ROOT / "shared" / "services"
    assert _found([path for path in _files("shared") if folder not in path.parents], {"shared.services"}) == []


def test_only_the_worker_s_start_patches():
    """Monkey patching is the first thing worker/__main__.py does, and nothing else does it."""
    start = ROOT / "worker" / "__main__.py"
    others = [path for path in _files("app", "gateway", "worker", "shared", "launcher", "server") if path != start]
    assert _found(others, {"gevent.monkey"}) == []
    assert "patch_all" not in "".join(path.read_text() for path in others)

    statements = ast.parse(start.read_text()).body
    if isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Constant):
        statements = statements[1:]  # the docstring
    first, second = (ast.unparse(statement) for statement in statements[:2])
    assert first == "from gevent import monkey"
    assert second.startswith("monkey.patch_all(")


def test_the_worker_has_no_import_circle():
    """Each of its modules can be read, and tested, with only those below it. See tests/support/import_graph.py."""
    assert circles(import_graph("worker", ROOT)) == []


def test_the_gateway_has_no_import_circle():
    """Telnet stands alone, sessions stand on telnet, and the server on both."""
    assert circles(import_graph("gateway", ROOT)) == []
    assert (
        _found(
            _files("gateway/telnet"),
            {"gateway", "shared", "asyncio"},
            except_for={"gateway.telnet", "shared.encodings"},
        )
        == []
    )


def _wire_imports() -> list[str]:
    """The imports of the wire from the rest of the worker."""
    return _found(_files("worker/wire"), {"worker"}, except_for={"worker.wire"})


def _handler_imports() -> list[str]:
    """The imports of handlers from anywhere but themselves, the routes, the dispatcher and the composition root."""
    allowed = {ROOT / "worker" / name for name in ("worker.py", "routes.py", "dispatch.py")}
    folder = ROOT / "worker" / "handlers"
    others = [path for path in _files("worker") if path not in allowed and folder not in path.parents]
    return _found(others, {"worker.handlers"})


def test_the_wire_knows_nothing_of_the_worker():
    """Sockets, frames and the fan-out can be used and tested alone."""
    assert _wire_imports() == []


def test_only_routes_and_the_composition_root_know_handlers():
    """Parts of the worker know each other, never the events that use them."""
    assert _handler_imports() == []


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


@pytest.mark.parametrize(
    "statement",
    [
        "from worker.a import x",
        "def f():\n    import worker.a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import a",
    ],
)
def test_the_check_sees_circles(tmp_path, statement):
    """Also one of three modules, and one that is closed inside a function or for types alone."""
    (tmp_path / "worker").mkdir()
    for name, source in {
        "__init__": "",
        "a": "import worker.b",
        "b": "import worker.c",
        "d": "import worker.a",
    }.items():
        (tmp_path / "worker" / f"{name}.py").write_text(source)
    (tmp_path / "worker" / "c.py").write_text("import json")
    assert circles(import_graph("worker", tmp_path)) == []
    (tmp_path / "worker" / "c.py").write_text(statement)
    assert circles(import_graph("worker", tmp_path)) == [["worker.a", "worker.b", "worker.c"]]


def test_the_check_sees_what_breaks_the_worker_s_layers(tmp_path, monkeypatch):
    """The wire importing a part, and a part importing a handler."""
    sources = {
        "wire/server.py": "from worker.wire import fanout\nfrom worker import signals\n",
        "chat/lines.py": "from worker.handlers import channels\n",
        "handlers/tells.py": "from worker.handlers import channels\n",
        "routes.py": "from worker.handlers import channels\n",
    }
    for name, source in sources.items():
        (tmp_path / "worker" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "worker" / name).write_text(source)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert {line.split()[0] for line in _wire_imports()} == {"worker/wire/server.py:2"}
    assert {line.split()[0] for line in _handler_imports()} == {"worker/chat/lines.py:1"}


def test_shared_has_no_import_circle():
    """Each module of shared/ can be read without those that are built on it."""
    assert circles(import_graph("shared", ROOT)) == []


def _service_imports(folder: str) -> list[str]:
    """The imports of services below a folder from services elsewhere."""
    package = folder.replace("/", ".")
    return _found(_files(folder), _services() - {package}, except_for={package})


def _imports_of_moderation() -> list[str]:
    """The imports of moderation from the other services."""
    folder = ROOT / "shared" / "services" / "moderation"
    others = [path for path in _files("shared/services") if folder not in path.parents]
    return _found(others, {"shared.services.moderation"})


def _services() -> set[str]:
    """The modules and packages of the services by full name."""
    paths = (ROOT / "shared" / "services").iterdir()
    return {f"shared.services.{path.stem}" for path in paths if path.stem not in ("__init__", "__pycache__")}


def test_authority_stands_on_no_other_service():
    """Actors, permissions and the audit trail are below everything that acts."""
    assert _service_imports("shared/services/authority") == []


def test_no_service_stands_on_moderation():
    """The moderators' work is built on the other services, and none of them on it."""
    assert _imports_of_moderation() == []


def test_the_check_sees_what_breaks_the_order_of_services(tmp_path, monkeypatch):
    """Authority importing a service, and a service importing moderation for types alone."""
    sources = {
        "authority/actors.py": "from shared.services import games\nfrom shared.services.authority import audit\n",
        "moderation/sanctions.py": "from shared.services import games\n",
        "games.py": "if TYPE_CHECKING:\n    from shared.services.moderation import sanctions\n",
    }
    for name, source in sources.items():
        path = tmp_path / "shared" / "services" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert {line.split()[0] for line in _service_imports("shared/services/authority")} == {
        "shared/services/authority/actors.py:1"
    }
    assert {line.split()[0] for line in _imports_of_moderation()} == {"shared/services/games.py:2"}
