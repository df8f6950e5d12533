"""The documentation matches the code: it describes every event, code, setting and command; examples and links work.

Where possible, each check works both ways: documenting something that the code does not have fails as well.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import pytest
from websockets.frames import CloseCode

from app.cli import GROUPS
from app.commands.doctor import doctor
from app.commands.settings import show_settings
from shared.limits import DEFAULTS
from shared.protocol import HEARTBEAT, INCOMING, OUTGOING, Code, Outgoing, decode_payload, parse_frame
from shared.protocol.codes import CLOSE_CODES, SENTENCES, CloseMeaning
from shared.protocol.core import PROTOCOL_VERSION
from shared.protocol.sync import Digest
from shared.settings import Settings
from shared.settings_docs import settings_table
from tests.support.client import SocketClient
from tests.support.factory import Factory
from tests.support.processes import ROOT, ServerProcess, clean_environment
from tests.support.servers import RunningWorker

PROTOCOL = ROOT / "docs" / "protocol.md"
OPERATING = ROOT / "docs" / "operating.md"
NOT_OURS = re.compile(r"^(instance|build|dist|\..*|.*/node_modules)/")  # by the path below the project's folder


# Reading Markdown


def _documents() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.md") if not NOT_OURS.match(path.relative_to(ROOT).as_posix()))


def _prose(text: str) -> str:
    """Remove code blocks, whose lines could look like headings and links."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _headings(text: str) -> list[str]:
    return [heading.strip() for heading in re.findall(r"^#{1,6} (.+)$", _prose(text), re.MULTILINE)]


def _anchor(heading: str) -> str:
    """Return a heading's anchor, as common Markdown viewers generate it."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def _section(text: str, heading: str) -> str:
    """Return the text under a heading, up to the next heading of the same or a higher level."""
    start = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert start, f"no heading {heading!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def _rows(text: str) -> dict[str, str]:
    """Return the rows of all tables, keyed by each `code` in their first cell."""
    rows = {}
    for line in text.splitlines():
        if line.startswith("|"):
            first, *rest = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            for name in re.findall(r"`([^`]+)`", first):
                rows[name] = "|".join(rest)
    return rows


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """A JSON block of the protocol's page.

    Attributes:
        speaker: The last `Client` or `Worker` above the block; empty if there is none.
        line: The number of its first line.
        value: The decoded JSON.
    """

    speaker: str
    line: int
    value: Any


def _examples() -> list[Example]:
    text = PROTOCOL.read_text()
    examples = []
    for block in re.finditer(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        speakers = re.findall(r"^(Client|Worker):$", text[: block.start()], re.MULTILINE)
        line = text.count("\n", 0, block.start()) + 1
        try:
            value = json.loads(block[1])
        except ValueError as error:
            raise AssertionError(f"{PROTOCOL.name}:{line}: {error}") from None
        examples.append(Example(speakers[-1] if speakers else "", line, value))
    return examples


def _frames(speaker: str) -> list[Example]:
    return [example for example in _examples() if example.speaker == speaker and isinstance(example.value, dict)]


# The protocol


def test_every_event_has_a_heading_and_a_row() -> None:
    text = PROTOCOL.read_text()
    events = {*INCOMING, *OUTGOING}

    headings = {heading for heading in _headings(text) if heading in events or re.fullmatch(r"[a-z]+/[a-z-]+", heading)}
    assert headings == events
    assert set(_rows(_section(text, "Every event"))) == events


def test_the_table_of_events_has_the_right_directions_and_flags() -> None:
    for event, row in _rows(_section(PROTOCOL.read_text(), "Every event")).items():
        direction, flag, _what = (cell.strip() for cell in row.split("|"))
        ways = (event in INCOMING, event in OUTGOING)
        assert direction == {(True, True): "both", (True, False): "to the worker", (False, True): "to the client"}[ways]
        declared = (INCOMING.get(event) or OUTGOING[event]).flag
        shown = {"core": "–", "reports": "–", "sync": "applications", "moderation": "applications"}
        assert flag == shown.get(declared, f"`{declared}`"), event


def test_every_field_is_named_in_the_section_of_its_event() -> None:
    text = PROTOCOL.read_text()
    for table in (INCOMING, OUTGOING):
        for event, cls in table.items():
            section = _section(text, event)
            for field in cls.__struct_fields__:
                assert f"`{field}`" in section or f'"{field}"' in section, f"{event}: {field} is not described"


def test_the_page_lists_events_that_are_not_served_yet() -> None:
    """The page may be ahead of the worker if it says so. Remove an event from the list when you add its route."""
    from worker.routes import ROUTES

    unserved = re.search(r"^\*\*Not served yet:\*\* (.*?)\.", PROTOCOL.read_text(), re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`([^`]+)`", unserved[1] if unserved else "")) == set(INCOMING) - set(ROUTES)


def test_the_page_has_the_current_version() -> None:
    assert f"The protocol's version is **{PROTOCOL_VERSION}**" in PROTOCOL.read_text()


def test_every_code_has_a_row_with_its_sentences() -> None:
    rows = _rows(_section(PROTOCOL.read_text(), "Failure codes"))

    assert set(rows) == {str(code) for code in Code}
    for code, sentences in SENTENCES.items():
        for sentence in sentences:
            assert f"`{sentence}`" in rows[code], f"{code}: {sentence}"


def _close_codes_of_the_worker() -> set[int]:
    """Collect every close code in the worker's source, except those that only its parser handles."""
    codes = {int(CloseCode.PROTOCOL_ERROR)}  # sent by the parser for anything that RFC 6455 forbids
    for path in (ROOT / "worker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and type(node.value) is int:
                if 4000 <= node.value < 4090 or 1001 <= node.value < 1016:
                    codes.add(node.value)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "CloseCode":
                codes.add(int(CloseCode[node.attr]))
    return codes - {CloseCode.NORMAL_CLOSURE, CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE}


def test_every_close_code_has_a_row() -> None:
    section = _section(PROTOCOL.read_text(), "Close codes")
    documented = {
        int(code): CloseMeaning(meaning, advice)
        for code, meaning, advice in re.findall(r"^\| (\d{4}) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    }

    assert documented == CLOSE_CODES
    assert set(CLOSE_CODES) == _close_codes_of_the_worker()


def test_every_example_says_who_sends_it() -> None:
    assert len(_examples()) > 30
    for example in _examples():
        if isinstance(example.value, dict):
            assert example.speaker, f"line {example.line}: no sender above it"
            assert isinstance(example.value.get("event"), str), f"line {example.line}: not a frame"


@pytest.mark.parametrize("example", _frames("Client"), ids=lambda example: f"line-{example.line}")
def test_examples_of_clients_decode(example: Example) -> None:
    frame = parse_frame(json.dumps(example.value))
    payload = decode_payload(INCOMING[frame.event], frame.payload)

    unknown = set(example.value.get("payload", {})) - set(type(payload).__struct_fields__)
    assert not unknown


@pytest.mark.parametrize("example", _frames("Worker"), ids=lambda example: f"line-{example.line}")
def test_examples_of_the_worker_match_its_classes(example: Example) -> None:
    frame = dict(example.value)
    event = frame["event"]
    if frame.get("status") == "failure":
        assert frame["error"] in SENTENCES[Code(frame["code"])]
        assert set(frame) <= {"event", "ref", "status", "error", "code", "retry_after_ms", "seconds_left", "lifted_by"}
        return
    if "payload" not in frame:
        assert frame == json.loads(HEARTBEAT) or (event in INCOMING and set(frame) == {"event", "ref", "status"})
        return
    cls = OUTGOING[event]
    msgspec.json.decode(json.dumps(frame["payload"]), type=cls)
    assert set(frame["payload"]) <= set(cls.__struct_fields__)
    assert frame.get("status") == cls.status
    if cls.status is None:
        assert frame["ref"]


@pytest.mark.parametrize(("speaker", "table"), [("Client", INCOMING), ("Worker", OUTGOING)])
def test_the_example_of_every_class_is_on_the_page(speaker: str, table: dict[str, Any]) -> None:
    shown = [example.value for example in _frames(speaker)]
    for event, cls in table.items():
        if issubclass(cls, Outgoing) and cls.bare:
            matches = [frame for frame in shown if frame["event"] == event and cls.example.items() <= frame.items()]
        else:
            matches = [frame for frame in shown if frame["event"] == event and frame.get("payload") == cls.example]
        assert matches, f"{event}: its example is not on the page"
        for further in getattr(cls, "further_examples", ()):
            assert [frame for frame in shown if frame["event"] == event and frame.get("payload") == further], event


def test_the_example_of_a_digest_is_correct() -> None:
    section = _section(PROTOCOL.read_text(), "Digests")
    digest = Digest()
    for record in json.loads(_blocks(section, "json")[0]):
        digest.add(record)
    by_hand = Digest()
    for line in _blocks(section, "text")[0].splitlines():
        by_hand.add_canonical(line)

    assert f"`{digest.hexdigest()}`" in section
    assert by_hand.hexdigest() == digest.hexdigest()


# Settings and commands


def test_every_setting_has_a_row_with_its_default() -> None:
    rows = _rows(_section(OPERATING.read_text(), "Settings").partition("\n### ")[0])

    assert set(rows) == {field.name.upper() for field in dataclasses.fields(Settings)}
    assert settings_table() in OPERATING.read_text(), "run: python -m shared.settings_docs"


def test_every_limit_has_a_row_with_its_default() -> None:
    rows = _rows(_section(OPERATING.read_text(), "Limits"))

    shown = {name: row.split("|")[0].strip() for name, row in rows.items()}
    assert shown == {name: f"{limit.burst}/{limit.per_second:g}" for name, limit in DEFAULTS.items()}


def _commands() -> dict[str, click.Command]:
    grouped = {
        f"flask {group} {name}": command
        for group, (module, _) in GROUPS.items()
        for name, command in importlib.import_module(module).group.commands.items()
    }
    return grouped | {"flask settings": show_settings, "flask doctor": doctor}


def test_every_command_has_a_row_with_its_options() -> None:
    rows = {re.sub(r" [A-Z-].*", "", usage): usage for usage in _rows(_section(OPERATING.read_text(), "Commands"))}

    assert set(rows) == {*_commands(), "flask db upgrade"}
    for name, command in _commands().items():
        options = {
            option
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for option in [*parameter.opts, *parameter.secondary_opts]
        }
        assert set(re.findall(r"--[a-z-]+", rows[name])) == options, name


# The decisions


def test_the_index_lists_every_decision_with_its_number_and_title() -> None:
    folder = ROOT / "docs" / "decisions"
    decisions = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    titles = {path.name: _headings(path.read_text())[0].split(". ", 1) for path in decisions}

    rows = re.findall(r"^\| \[(\d+)\]\((.+?)\) \| (.+?) \| .+ \|$", (folder / "README.md").read_text(), re.MULTILINE)
    assert rows == [(titles[path.name][0], path.name, titles[path.name][1]) for path in decisions]
    assert all(int(path.name[:4]) == int(titles[path.name][0]) for path in decisions)


def test_every_decision_has_the_same_sections() -> None:
    for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"):
        text = path.read_text()
        required = ["Context", "Decision", "Consequences"]
        assert [heading for heading in _headings(text) if heading in required] == required, path.name
        assert re.search(r"^Status: (accepted|replaced by \[\d+\]\(.+\))\.$", text, re.MULTILINE), path.name


# Links and mentions


def _links() -> Iterator[tuple[Path, str]]:
    for path in _documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", _prose(path.read_text())):
            if not re.match(r"[a-z]+:", target):
                yield path, target


def test_links_resolve() -> None:
    broken = []
    for path, target in _links():
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        if not linked.is_relative_to(ROOT) or not linked.exists():
            broken.append(f"{path.relative_to(ROOT)}: {target} does not exist")
        elif anchor and linked.suffix == ".md" and anchor not in map(_anchor, _headings(linked.read_text())):
            broken.append(f"{path.relative_to(ROOT)}: {target} has no such heading")
    assert not broken, "\n".join(broken)
    assert any(True for _ in _links())


def test_paths_named_in_the_documentation_exist() -> None:
    """Checks names such as `shared/sync.py` in the text."""
    missing = []
    for path in _documents():
        for name in re.findall(
            r"`((?:app|worker|shared|launcher|migrations|tests|docs|scripts|bench)/[\w/.-]*\w)`", path.read_text()
        ):
            if not (ROOT / name).exists():
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert not missing, "\n".join(missing)


def test_documentation_cited_in_the_code_exists() -> None:
    """Docstrings cite their sources: `docs/…md`, and sections of the protocol's page."""
    sections = {heading.split(".")[0] for heading in _headings(PROTOCOL.read_text()) if re.match(r"\d+\. ", heading)}
    assert sections == {str(number) for number in range(1, 13)}
    missing = []
    for folder in ("app", "worker", "shared", "launcher", "server", "migrations", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            text = re.sub(r"\s+", " ", path.read_text())
            missing += [
                f"{path.relative_to(ROOT)}: {name}"
                for name in re.findall(r"docs/[\w/-]+\.md", text)
                if not (ROOT / name).exists()
            ]
            for cited in re.findall(r"docs/protocol\.md, ((?:§\d+(?:, | and )?)+)", text):
                missing += [
                    f"{path.relative_to(ROOT)}: §{number}"
                    for number in re.findall(r"\d+", cited)
                    if number not in sections
                ]
    assert not missing, "\n".join(missing)


# The example of the README


def test_the_example_of_the_readme_works(
    worker: RunningWorker, stored: Factory, connect: Callable[..., SocketClient], tmp_path: Path
) -> None:
    """With the placeholders filled in, it sends a line that another game receives, and prints the reply."""
    stored.channel("testing")
    _, credentials = stored.game_with_credentials("Example")
    _, others = stored.game_with_credentials("Other")
    other = connect()
    other.authenticate(others.client_id, others.client_secret, channels=["testing"])
    (code,) = [block for block in _blocks((ROOT / "README.md").read_text(), "python") if "import websocket" in block]
    for placeholder, value in (
        ("ws://127.0.0.1:4110/socket", worker.url),
        ("the client id", credentials.client_id),
        ("the client secret", credentials.client_secret),
    ):
        assert placeholder in code
        code = code.replace(placeholder, value)
    script = tmp_path / "game.py"
    script.write_text(code)

    game = ServerProcess([sys.executable, str(script)], env=clean_environment())
    try:
        line = other.wait_for("channels/broadcast", seconds=20)["payload"]
        assert (line["game"], line["channel"]) == ("Example", "testing")
        other.send("channels/send", {"channel": "testing", "name": "Bob", "message": "Welcome!"})
        game.wait_for_line("Bob@Other: Welcome!")
        assert game.lines[:3] == ["connected", "listening on testing", "said hello"]
    finally:
        game.kill()


def test_the_folders_in_the_layout_exist() -> None:
    """Checks the table in CONTRIBUTING.md, and that the packages in it can be imported."""
    for name in _rows(_section((ROOT / "CONTRIBUTING.md").read_text(), "Layout")):
        assert (ROOT / name).exists(), name
        if name.strip("/") in ("app", "worker", "shared", "launcher", "server"):
            importlib.import_module(name.strip("/"))


def test_the_page_of_the_libraries_lists_the_modules_of_gossip_backbone() -> None:
    folder = ROOT / "libraries" / "gossip-backbone" / "src" / "backbone"
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py", "__main__.py", "errors.py"}
    assert (
        set(_rows(_section((ROOT / "docs" / "libraries.md").read_text(), "gossip-backbone: how it works"))) == modules
    )


# docs/security.md


def test_the_tests_that_the_security_page_names_exist():
    """A threat whose test was renamed or deleted is no longer known to be covered."""
    text = (ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(tests/[a-z_/]+\.py)(?:::(test_[a-z0-9_]+))?`", text))
    assert len(named) > 40
    for path, name in sorted(named):
        source = (ROOT / path).read_text()
        assert not name or re.search(rf"^def {name}\(", source, re.MULTILINE), f"{path}::{name}"


def test_every_attack_on_the_security_page_has_a_test():
    text = (ROOT / "docs" / "security.md").read_text()
    attacks = text[text.index("## What attackers can try") : text.index("## ASVS")]
    rows = [
        line for line in attacks.splitlines() if line.startswith("| ") and not line.startswith(("| attack", "| ---"))
    ]
    assert len(rows) > 30
    assert [row for row in rows if "`tests/" not in row and "(operating.md#" not in row] == []
