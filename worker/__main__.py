"""`python -m worker` runs one socket worker until SIGTERM or Ctrl-C.

With `--takeover` it takes over from a running worker, whose sockets stay open. SIGUSR2 makes a worker start such a
process itself.
"""

from gevent import monkey

monkey.patch_all()

import signal

signal.signal(signal.SIGUSR2, lambda *_: None)  # asks for an upgrade, which a process that is starting does not need

import argparse
import resource
import sys

import gevent
from gevent.event import Event
from sqlalchemy.exc import SQLAlchemyError

from shared import service_manager
from shared.db import describe_error
from shared.logs import configure_logs
from shared.settings import Settings, SettingsError
from shared.takeover import UPGRADE_SIGNAL
from shared.traces import start_traces
from worker.takeover.link import TakeoverFailed
from worker.takeover.starter import SuccessorStarter
from worker.takeover.successor import Successor
from worker.worker import Worker

SWITCH_SECONDS = 0.0005
MAX_DESCRIPTORS = 65_536


def main() -> int:
    """Run one worker. Returns the exit status."""
    options = _parse(sys.argv[1:])
    _raise_descriptor_limit()
    # The event loop and SQLite's threads wait for each other, by default up to 5 ms for each switch between them.
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        settings = Settings.from_environment()
        configure_logs(settings.log_format)
        start_traces(settings, "gossip-worker")
        worker = _take_over(settings, options.takeover) if options.takeover is not None else _start(settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.strerror}", file=sys.stderr)
        return 2
    except TakeoverFailed as failed:
        print(f"error: {failed}", file=sys.stderr)
        return 1
    service_manager.notify_ready()
    end_requested = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, end_requested.set)
    gevent.signal_handler(UPGRADE_SIGNAL, SuccessorStarter(settings.instance_path, worker.predecessor).start)
    worker.predecessor.on_end = end_requested.set
    end_requested.wait()
    worker.stop()
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Run one socket worker.")
    parser.add_argument(
        "--takeover",
        nargs="?",
        type=int,
        const=0,
        metavar="PID",
        help="take over the sockets of this running worker; without PID, of the only one with this instance folder",
    )
    return parser.parse_args(arguments)


def _start(settings: Settings) -> Worker:
    worker = Worker(settings)
    worker.start()
    return worker


def _take_over(settings: Settings, pid: int) -> Worker:
    """Take over from a process; 0 for the only one. Raises TakeoverFailed: it goes on."""
    successor = Successor(settings.instance_path, pid or None)
    try:
        worker = Worker(settings, successor.worker_id)
        worker.take_over(successor)
    except (SettingsError, SQLAlchemyError) as error:
        successor.fail(describe_error(error) if isinstance(error, SQLAlchemyError) else str(error))
        raise TakeoverFailed(str(error)) from None
    return worker


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as the system lets this process have: each socket needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


if __name__ == "__main__":
    sys.exit(main())
