"""Find the imports between the modules of a folder, and the circles among them.

`python -m tests.support.import_graph worker` prints each circle and "N files in circles", and fails if there are any.
Imports inside functions and under `if TYPE_CHECKING` count: such a circle ties modules together too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Set
from pathlib import Path

Graph = dict[str, set[str]]


def imports_of(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of every module or name that a file imports, relative imports resolved."""
    package = list(path.relative_to(root).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *filter(None, (node.module or "").split("."))]
            yield node.lineno, ".".join(module)
            for alias in node.names:
                yield node.lineno, ".".join([*module, alias.name])


def import_graph(folder: str, root: Path) -> Graph:
    """Return, for each module of a folder below `root`, the modules of the same folder that it imports.

    `from package import module` counts as an import of the module, not of the package.
    """
    paths = {_module_name(path, root): path for path in sorted((root / folder).rglob("*.py"))}
    graph: Graph = {}
    for module, path in paths.items():
        by_line: dict[int, set[str]] = {}
        for line, name in imports_of(path, root):
            by_line.setdefault(line, set()).add(name)
        graph[module] = {
            name
            for names in by_line.values()
            for name in names & paths.keys()
            if name != module and not _is_only_the_parent(name, names, paths.keys())
        }
    return graph


def _is_only_the_parent(name: str, names: set[str], modules: Set[str]) -> bool:
    """Return True if a line imports nothing of a package but modules."""
    others = names - {name}
    return bool(others) and all(other.startswith(name + ".") and other in modules for other in others)


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or through others, each sorted."""
    reachable = {module: _reachable_from(module, graph) for module in graph}
    groups = {
        frozenset(other for other in reachable[module] if module in reachable[other])
        for module in graph
        if module in reachable[module]
    }
    return sorted(sorted(group) for group in groups)


def _reachable_from(module: str, graph: Graph) -> set[str]:
    """Return the modules that a module imports, directly or indirectly; itself only if it is in a circle."""
    reached: set[str] = set()
    pending = [module]
    while pending:
        for imported in graph.get(pending.pop(), ()):
            if imported not in reached:
                reached.add(imported)
                pending.append(imported)
    return reached


def _module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def main(folders: list[str]) -> int:
    """Print the circles of each folder below the working directory, and return the exit status."""
    count = 0
    for folder in folders:
        for circle in circles(import_graph(folder, Path.cwd())):
            print("circle:", ", ".join(circle))
            count += len(circle)
    print(f"{count} files in circles")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
