"""Programs that tests fork behave like programs that they start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.support.forking import ForkServer
from tests.support.processes import ServerProcess, clean_environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("processes")


class Forked(ServerProcess):
    fork_server = ForkServer()

    def __init__(self, *command: str, **settings: str) -> None:
        super().__init__([sys.executable, "-m", *command], env=clean_environment(**settings))


@pytest.mark.parametrize(("command", "status"), [(("platform",), 0), (("json.tool",), 1), (("http.server", "x"), 2)])
def test_output_and_status_are_those_of_the_program(command, status):
    forked, started = (
        Forked(*command),
        subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, stdin=subprocess.DEVNULL),
    )
    assert forked.wait() == started.returncode == status
    assert forked.output.strip() == (started.stdout + started.stderr).strip()


def test_a_child_has_the_environment_and_no_other(monkeypatch):
    forked = Forked("site", "--user-base", PYTHONUSERBASE="/elsewhere")
    assert forked.wait() in (0, 1)
    assert forked.output == "/elsewhere"


def test_signals_reach_the_child_and_its_number_is_free_afterwards():
    forked = Forked("http.server", "0", "--bind", "127.0.0.1")
    forked.wait_for_line("Serving HTTP")
    assert os.getpgid(forked.pid) == forked.pid
    assert forked.process.poll() is None
    assert forked.stop() == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(forked.pid, 0)
    forked.kill()


def test_children_end_with_the_tests():
    """The tests' process starts a server, and is killed."""
    code = (
        "from tests.test_forking import Forked; forked = Forked('http.server', '0', '--bind', '127.0.0.1');"
        "forked.wait_for_line('Serving HTTP'); print(forked.pid, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tests:
        assert tests.stdout is not None
        pid = int(tests.stdout.readline())
        os.kill(pid, 0)
        tests.kill()

    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(is_gone, what="the child has ended")
