"""Both libraries as their users get them: built into wheels, and installed into an empty environment."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from app.docs.libraries import source_archive

LIBRARIES = Path(__file__).resolve().parent.parent
NAMES = {"gossip-client": "gossip_client", "gossip-backbone": "backbone"}

pytestmark = pytest.mark.timeout(300)


def _run(command: list[str], **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return str(done.stdout)


def _pip(python: str, folder: Path) -> list[str]:
    """The command that runs the tests' pip on the environment, which has no pip."""
    return [python, "-m", "pip", "--python", str(folder / "venv/bin/python")]


def _snippets(name: str) -> list[str]:
    """Return the blocks of Python in a README."""
    text = (LIBRARIES / name / "README.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def environment_folder(tmp_path_factory: pytest.TempPathFactory, python: str) -> Path:
    """A folder with both wheels, and `venv`, where they are installed. The first process that needs it makes it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "wheels"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            sources = []
            for name in NAMES:  # as the site serves them
                sources.append(str(folder / f"{name}.zip"))
                Path(sources[-1]).write_bytes(source_archive(name))
            _run([python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), *sources])
            venv.create(folder / "venv", clear=True)
            wheels = map(str, folder.glob("*.whl"))
            _run([*_pip(python, folder), "install", "--quiet", "--disable-pip-version-check", *wheels])
            (folder / "done").touch()
    return folder


@pytest.fixture
def wheels(environment_folder: Path) -> dict[str, Path]:
    """The wheel of each library."""
    return {name: next(environment_folder.glob(f"{name.replace('-', '_')}-*.whl")) for name in NAMES}


@pytest.fixture
def installed(environment_folder: Path) -> str:
    """The path of the environment's Python."""
    return str(environment_folder / "venv/bin/python")


@pytest.fixture
def clean(tmp_path: Path) -> dict[str, object]:
    """An empty folder and environment variables, for programs that must not see this tree."""
    names = ("PATH", "HOME", "LANG", "TMPDIR")
    return {"cwd": tmp_path, "env": {name: os.environ[name] for name in names if name in os.environ}}


def test_a_wheel_contains_its_package_and_nothing_else(wheels: dict[str, Path]) -> None:
    for name, package in NAMES.items():
        with zipfile.ZipFile(wheels[name]) as wheel:
            files = wheel.namelist()
        assert f"{package}/py.typed" in files
        assert {file.partition("/")[0].partition("-")[0] for file in files} == {package, name.replace("-", "_")}


def test_a_wheel_carries_its_licence(wheels: dict[str, Path]) -> None:
    for name in NAMES:
        with zipfile.ZipFile(wheels[name]) as wheel:
            folder = next(file.partition("/")[0] for file in wheel.namelist() if ".dist-info/" in file)
            metadata = wheel.read(f"{folder}/METADATA").decode()
            licence = wheel.read(f"{folder}/licenses/LICENSE").decode()
        assert "License-Expression: MIT\n" in metadata and "License-File: LICENSE\n" in metadata
        assert licence == (LIBRARIES.parent / "LICENSE").read_text()


def test_the_libraries_need_few_packages(environment_folder: Path, python: str, clean: dict[str, object]) -> None:
    frozen = _run([*_pip(python, environment_folder), "freeze"], **clean).lower()
    names = set(re.findall(r"^([\w-]+)==", frozen, re.MULTILINE))
    assert names - {"typing-extensions", "typing_extensions", "greenlet"} == {"websockets", "sqlalchemy"}


def test_the_command_lines_start(installed: str, clean: dict[str, object]) -> None:
    for package in NAMES.values():
        assert "usage:" in _run([installed, "-m", package, "--help"], **clean)


@pytest.mark.parametrize("name", NAMES)
def test_the_code_in_the_readmes_runs(name: str, installed: str, clean: dict[str, object], worker, stored) -> None:  # type: ignore[no-untyped-def]
    """The first block of each README is a complete program. The others at least run without an error."""
    stored.channel("testing")
    stored.game("Alpha")
    game = stored.game_with_credentials("Mine")[1]
    application = stored.application_with_credentials("App")[1]
    credentials = application if name == "gossip-backbone" else game
    environment = {
        **clean["env"],  # type: ignore[dict-item]
        "GOSSIP_URL": worker.url,
        "GOSSIP_CLIENT_ID": credentials.client_id,
        "GOSSIP_CLIENT_SECRET": credentials.client_secret,
    }
    snippets = _snippets(name)
    assert len([line for line in snippets[0].splitlines() if line]) <= 12
    outputs = [_run([installed, "-c", code], cwd=clean["cwd"], env=environment) for code in snippets]
    if name == "gossip-client":
        assert outputs[0] == outputs[1] == "Said to ['Grapevine']\n"
    else:
        assert outputs[0].splitlines()[0] == "in sync" and "Alpha The Alpha []" in outputs[0]
