"""Run commands of `flask` in the process of a test."""

from __future__ import annotations

import json

import pytest

from tests.support.passwords import use_quick_passwords


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch):
    use_quick_passwords(monkeypatch)


@pytest.fixture
def flask(app):
    """Run a command in this process."""
    runner = app.test_cli_runner()
    return lambda *arguments, **options: runner.invoke(args=list(arguments), **options)


@pytest.fixture
def output(flask):
    """Return the JSON object that a successful command prints on one line."""

    def run(*arguments, **options):
        result = flask(*arguments, **options)
        assert result.exit_code == 0, result.output
        assert result.stdout.count("\n") == 1 and result.stderr == ""
        return json.loads(result.stdout)

    return run


@pytest.fixture
def error(flask):
    """Return the error line of a command that fails and prints nothing on standard output."""

    def run(*arguments, **options):
        result = flask(*arguments, **options)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1 and result.stderr.startswith("error: "), result.stderr
        return result.stderr.removeprefix("error: ").rstrip("\n")

    return run
