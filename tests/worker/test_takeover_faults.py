"""A takeover that fails at any step changes nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from shared import takeover
from tests.support.processes import ROOT, clean_environment
from tests.worker.lineage import (
    Lineage,
    join,
    lineage,
    lines,
    masked,
    pytestmark,
    say,
)
from worker.takeover.link import Link, LinkClosed, TakeoverFailed
from worker.takeover.messages import Commit, Hello, Prepared, Ready, Refused, Welcome, WorkerState

__all__ = ["pytestmark", "lineage", "join"]


def connect(one: Lineage) -> Link:
    """Connect as a new process does."""
    [worker] = takeover.list_workers(one.instance_path)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(worker.path))
    return Link(sock)


def receive_state(link: Link) -> list[int]:
    """Say that this process is ready, and receive everything. Return the descriptors."""
    link.send(Hello([1], "test"))
    link.expect(Welcome, 10)
    link.send(Ready())
    received: list[int] = []
    while True:
        message, descriptors = link.receive(20)
        received += descriptors
        if isinstance(message, WorkerState):
            return received
        assert not isinstance(message, Refused), message


def close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_takeover_that_fails_at_any_step_leaves_the_old_process_serving(lineage, join, stored):
    """The new process ends after each message, is silent, or has another format. No client notices."""
    stored.channel("gossip")
    one = lineage(
        {
            "worker.takeover.predecessor.READY_SECONDS": 0.3,
            "worker.takeover.predecessor.PREPARED_SECONDS": 0.3,
            "worker.takeover.predecessor.HELLO_SECONDS": 0.3,
        },
        OFFLINE_SECONDS="0.5",
    )
    alice, bob = join(one.url), join(one.url)
    old = one.running.pid

    def close_at_once(link: Link) -> None:
        pass

    def say_nothing(link: Link) -> None:
        link.receive(10)

    def have_another_format(link: Link) -> None:
        link.send(Hello([2, 3], "test"))
        with pytest.raises(TakeoverFailed, match="the formats do not match: 1 here, \\[2, 3\\] there"):
            link.expect(Welcome, 10)

    def leave_after_welcome(link: Link) -> None:
        link.send(Hello([1], "test"))
        link.expect(Welcome, 10)

    def never_be_ready(link: Link) -> None:
        leave_after_welcome(link)
        with pytest.raises(TakeoverFailed, match="did not answer"):
            link.expect(Ready, 10)

    def leave_with_the_state(link: Link) -> None:
        close_all(receive_state(link))

    def never_be_prepared(link: Link) -> None:
        close_all(receive_state(link))
        with pytest.raises(TakeoverFailed, match="did not answer"):
            link.expect(Commit, 10)

    def refuse_the_state(link: Link) -> None:
        close_all(receive_state(link))
        link.send(Refused("a field cannot be read"))

    def send_nonsense(link: Link) -> None:
        link.send_encoded(b"\xff\xff nonsense")
        with pytest.raises(TakeoverFailed):
            link.expect(Welcome, 10)

    def leave_after_the_commit(link: Link) -> None:
        descriptors = receive_state(link)
        link.send(Prepared())
        link.expect(Commit, 10)
        close_all(descriptors)

    attempts = [
        close_at_once,
        say_nothing,
        send_nonsense,
        have_another_format,
        leave_after_welcome,
        never_be_ready,
        leave_with_the_state,
        never_be_prepared,
        refuse_the_state,
        leave_after_the_commit,
    ]
    for attempt in attempts:
        request = json.dumps(
            {"event": "channels/subscribe", "ref": attempt.__name__, "payload": {"channel": "gossip"}},
            separators=(",", ":"),
        ).encode()
        bob.raw.sendall(masked(1, request)[:20])
        link = connect(one)
        try:
            attempt(link)
        except (LinkClosed, TakeoverFailed):
            assert attempt is say_nothing
        finally:
            link.close()
        bob.raw.sendall(masked(1, request)[20:])
        say(alice, attempt.__name__)
        bob.wait_for("channels/broadcast", payload={"message": attempt.__name__})
        assert bob.wait_for("channels/subscribe", ref=attempt.__name__)["status"] == "success"
        bob.settle()
    assert lines(bob) == [attempt.__name__ for attempt in attempts]
    assert one.running.pid == old and one.running.process.poll() is None
    newcomer = join(one.url)
    newcomer.settle()
    assert bob.events("games/disconnect") == []


HANGS = """
import os, signal, socket, sys
from tests.worker.test_takeover_faults import receive_state
from worker.takeover.link import Link
from worker.takeover.messages import Commit, Prepared
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
link = Link(sock)
receive_state(link)
link.send(Prepared())
link.expect(Commit, 10)
print("hangs", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_new_process_that_hangs_with_the_sockets_is_killed(lineage, join, stored):
    """It could begin to serve at any time, so the old process ends it before it goes on."""
    stored.channel("gossip")
    one = lineage({"worker.takeover.predecessor.SERVING_SECONDS": 0.5})
    alice, bob = join(one.url), join(one.url)
    [worker] = takeover.list_workers(one.instance_path)
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS, str(worker.path)], cwd=ROOT, env=clean_environment(**one.environment)
    )
    try:
        assert process.wait(20) == -signal.SIGKILL
    finally:
        process.kill()
    say(alice, "still here")
    bob.wait_for("channels/broadcast", payload={"message": "still here"})
    one.running.wait_for_line("did not begin to serve")


def test_only_one_process_takes_over_at_a_time(lineage):
    one = lineage()
    first, second = connect(one), connect(one)
    first.send(Hello([1], "test"))
    first.expect(Welcome, 10)
    second.send(Hello([1], "test"))
    with pytest.raises(TakeoverFailed, match="already"):
        second.expect(Welcome, 10)
    first.close()
    second.close()
    one.take_over()


def test_sigterm_during_a_takeover_stops_the_worker_as_usual(lineage, join, stored):
    """The clients are told, and their sockets close with 1012."""
    stored.channel("gossip")
    one = lineage()
    alice = join(one.url)
    link = connect(one)
    descriptors = receive_state(link)
    one.running.send_signal(signal.SIGTERM)
    assert alice.wait_closed() == 1012
    assert len(alice.events("restart")) == 1
    assert one.running.wait() == 0
    link.close()
    close_all(descriptors)
