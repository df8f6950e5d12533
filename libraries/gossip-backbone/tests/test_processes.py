"""The replica inside programs that fork, that have many threads, or that use gevent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

pytestmark = [pytest.mark.usefixtures("processes"), pytest.mark.timeout(90)]

FORK = """
import os, sys
from backbone import Backbone

backbone = Backbone(*sys.argv[1:])
backbone.start()
assert backbone.wait_synced(20)
pid = os.fork()
if pid == 0:
    status = 1
    try:
        assert not backbone.is_running
        assert not backbone.wait_synced(0)
        backbone.stop()
        backbone.start()
        assert backbone.is_running and backbone.wait_synced(20)
        backbone.stop()
        assert not backbone.is_running
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(pid, 0)[1] == 0
assert backbone.is_running and backbone.wait_synced(0)
backbone.stop()
print("done")
"""

GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from backbone import Backbone

ticks = []
def tick():
    while True:
        gevent.sleep(0.001)
        ticks.append(None)

ticking = gevent.spawn(tick)
backbone = Backbone(*sys.argv[1:])
backbone.start()
assert backbone.wait_synced(20)
assert ticks
backbone.stop()
assert not backbone.is_running
print("done")
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            FORK, id="fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
        ),
        pytest.param(GEVENT, id="gevent"),
    ],
)
def test_a_program(program, any_replica, replica_url, worker, application, stored, run_environment):
    """A forked process has no replica until it starts one, and never uses its parent's connections to the database."""
    stored.channel("gossip")
    arguments = (replica_url, worker.url, application.client_id, application.client_secret)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=run_environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "done\n", done.stderr
    assert "Traceback" not in done.stderr, done.stderr


def test_threads_that_start_a_replica_at_once_start_one(make_replica, stored):
    running = make_replica(start=False)
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        running.backbone.start()

    starters = [threading.Thread(target=start) for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert running.backbone.wait_synced(20)
    assert [thread.name for thread in threading.enumerate()].count("backbone") == 1
