"""The clients of docs/client-authors.md are green on the bench, as their authors start both."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, clean_environment
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "client-authors.md"
NODE = shutil.which("node")


def file_on_page(name: str) -> str:
    """Return the block of code that has this name."""
    block = re.search(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert block, name
    return block[1]


class Trial:
    """A bench and a client of the page, each in a process of its own."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        (folder / name).write_text(file_on_page(name))
        self.output = folder / f"{name}.txt"
        with self.output.open("w") as file:
            self._bench = subprocess.Popen(
                [sys.executable, "-m", "gossip_client", "bench", "--listen", "0", "--turn", "8", "--patience", "20"],
                env=clean_environment(PYTHONPATH=str(ROOT / "libraries" / "gossip-client" / "src")),
                stdout=file,
                stderr=file,
            )
        wait_until(lambda: "Connect your client to" in self.text, seconds=30, what="the bench")
        self._client = subprocess.Popen(
            [*command, name],
            cwd=folder,
            env=clean_environment(GOSSIP_URL=self.text.split("Connect your client to ")[1].split()[0]),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    @property
    def text(self) -> str:
        """What the bench has printed."""
        return self.output.read_text()

    def say_lines(self) -> None:
        """Type two lines when it is the author's turn."""
        wait_until(lambda: "Your turn" in self.text, seconds=30, what="the author's turn")
        assert self._client.stdin is not None
        self._client.stdin.write("Hello\nHello again\n")
        self._client.stdin.flush()

    def wait(self) -> int:
        """Return the bench's exit status."""
        return self._bench.wait(60)

    def kill(self) -> None:
        for process in (self._client, self._bench):
            process.kill()
            process.wait()


@pytest.mark.usefixtures("processes")
def test_the_clients_of_the_page_are_green(tmp_path: Path) -> None:
    """Side by side, because most of the time they wait."""
    commands = {"client.py": [sys.executable]}
    if NODE is not None:
        commands["client.mjs"] = [NODE, "--experimental-websocket", "--no-warnings"]
    trials = [Trial(name, command, tmp_path) for name, command in commands.items()]
    try:
        for trial in trials:
            trial.say_lines()
        for trial in trials:
            assert trial.wait() == 0 and "0 wrong, 0 to mind" in trial.text, trial.text
            for seen in ("ok    sends a line", "ok    survives a failed request", "ok    waits for a slow answer"):
                assert seen in trial.text, trial.text
    finally:
        for trial in trials:
            trial.kill()
