"""Start our programs by forking a process that has already imported their code, which is most of what a start costs.

Run as a program, this module is that process: `python -m tests.support.forking MODULE …` imports the modules, and then
forks a child for each request on the socket that is its standard input. The child runs a program as `python -m` does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

# Bound before gevent replaces them. Children that are forked with its functions would share an event loop, and its
# close() leaves a descriptor open until that loop runs.
from os import close, fork, waitpid
from socket import AF_UNIX, MSG_PEEK, SOCK_SEQPACKET, recv_fds, send_fds, socket, socketpair
from tempfile import TemporaryFile
from typing import Any, TextIO

from launcher.processes import die_with_parent

REQUEST_BYTES = 131_072
NUMBER_BYTES = 4


class ForkedProcess:
    """A running child, with the methods of `subprocess.Popen` that tests use."""

    stdout: TextIO | None = None

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self.pid = int.from_bytes(connection.recv(NUMBER_BYTES), "big")

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        self._connection.settimeout(timeout)
        try:
            status = self._connection.recv(NUMBER_BYTES, MSG_PEEK)
        except (BlockingIOError, TimeoutError):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
        # No status: the child's parent was killed, and then the kernel has killed the child.
        return int.from_bytes(status, "big", signed=True) if status else -signal.SIGKILL

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """Forks programs from a process that has imported `modules`. That process starts with the first program."""

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, module: str, *arguments: str, env: dict[str, str], cwd: str) -> ForkedProcess:
        """Run `python -m module` as the leader of a process group. All its output goes to the pipe `stdout`."""
        output, childs_output = os.pipe()
        with open(os.devnull) as empty, os.fdopen(childs_output) as end:
            process = self._fork(module, arguments, env, cwd, [empty.fileno(), end.fileno(), end.fileno()])
        process.stdout = os.fdopen(output, encoding="utf-8", errors="replace")
        return process

    def run(
        self, module: str, *arguments: str, env: dict[str, str], cwd: str, stdin: str = "", seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m module`, and wait until it has ended."""
        with TemporaryFile("w+") as text_in, TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
            text_in.write(stdin)
            text_in.seek(0)
            streams = [file.fileno() for file in (text_in, output, errors)]
            process = self._fork(module, arguments, env, cwd, streams)
            try:
                status = process.wait(seconds)
            finally:
                process.kill()
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess([module, *arguments], status, output.read(), errors.read())

    def _fork(
        self, module: str, arguments: Sequence[str], env: dict[str, str], cwd: str, streams: list[int]
    ) -> ForkedProcess:
        if self._process is None or self._process.poll() is not None:
            self._start_server()
        request = {"module": module, "arguments": arguments, "env": env, "cwd": cwd}
        connection, childs_connection = socketpair(AF_UNIX, SOCK_SEQPACKET)
        with childs_connection:
            send_fds(self._requests, [json.dumps(request).encode()], [childs_connection.fileno(), *streams])
        return ForkedProcess(connection)

    def _start_server(self) -> None:
        self._requests, servers_end = socketpair(AF_UNIX, SOCK_SEQPACKET)
        with servers_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forking", *self._modules],
                stdin=servers_end.fileno(),
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )


def wait_for_requests(requests: socket) -> dict[str, Any]:
    """Fork for each request until the tests end. Returns only in children: the program to run."""
    while True:
        data, descriptors, _, _ = recv_fds(requests, REQUEST_BYTES, 4)
        if not data:
            sys.exit()
        die_with_server = die_with_parent(signal.SIGKILL)
        if fork() == 0:
            die_with_server()
            if _fork_child(*descriptors):
                return json.loads(data)
        for descriptor in descriptors:
            close(descriptor)


def _fork_child(connection: int, *streams: int) -> bool:
    """Fork the child, and return True in it. Its parent reports its number and later its status, and then ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_us = die_with_parent(signal.SIGKILL)
    child = fork()
    if child == 0:
        die_with_us()
        os.setsid()
        close(connection)
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
    for stream in streams:
        close(stream)
    if child == 0:
        return True
    os.write(connection, child.to_bytes(NUMBER_BYTES, "big"))
    status = os.waitstatus_to_exitcode(waitpid(child, 0)[1])
    os.write(connection, status.to_bytes(NUMBER_BYTES, "big", signed=True))
    os._exit(0)


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nothing waits for the parents of the children
    requests = socket(fileno=0)
    program = wait_for_requests(requests)
    requests.detach()
    os.environ.clear()
    os.environ.update(program["env"])
    os.chdir(program["cwd"])
    time.tzset()
    module = program["module"]
    sys.modules.pop(f"{module}.__main__", None)  # imported to prepare for this; it runs again, as the main module
    sys.argv[1:] = program["arguments"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
