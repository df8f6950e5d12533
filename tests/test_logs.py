"""What processes log: both formats, from structlog and from the standard library, with hostile texts escaped."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.logs import configure_logs


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_json_records_of_both_kinds_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    structlog.get_logger("worker").info("online", peer="game:7", sockets=3)
    logging.getLogger("library").warning("retry %s", 2)

    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())

    assert (ours["event"], ours["level"], ours["peer"], ours["sockets"]) == ("online", "info", "game:7", 3)
    assert (theirs["event"], theirs["level"]) == ("retry 2", "warning")
    assert ours["timestamp"].endswith("Z") and theirs["timestamp"].endswith("Z")


def test_an_exception_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("worker").exception("a handler failed")

    (line,) = capsys.readouterr().err.splitlines()

    assert json.loads(line)["exception"].endswith("ValueError: broken")


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31mred", "\\x9b31mred"),
        ("bell\x07\x00", "bell\\x07\\x00"),
        ("evil\rline", "evil\\x0dline"),
        ("abc\u202egnp", "abc\\u202egnp"),
        ("in\u2066visible\u200b", "in\\u2066visible\\u200b"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_text_that_a_terminal_would_act_on_is_escaped(
    capsys: pytest.CaptureFixture[str], log_format: str, is_ours: bool, text: str, escaped: str
) -> None:
    configure_logs(log_format)
    if is_ours:
        structlog.get_logger("worker").warning("offline", reason=text)
    else:
        logging.getLogger("library").warning("offline: %s", text)

    line = capsys.readouterr().err

    assert text not in line
    if log_format == "json":
        record = json.loads(line)
        assert record["reason" if is_ours else "event"].endswith(escaped)
    else:
        assert escaped in line.replace("\\\\", "\\")


def test_what_json_cannot_hold_is_logged_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    structlog.get_logger("worker").info("odd", values=["\ud800", object, b"\xff"], pair={1: 2})

    assert json.loads(capsys.readouterr().err)["event"] == "odd"
