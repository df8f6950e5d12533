"""`python -m worker` runs one socket worker until SIGTERM or Ctrl-C."""

from gevent import monkey

monkey.patch_all()

import resource
import signal
import sys

import gevent
from gevent.event import Event

from shared.logs import configure_logs
from shared.settings import Settings, SettingsError
from shared.traces import start_traces
from worker.worker import Worker

SWITCH_SECONDS = 0.0005
MAX_DESCRIPTORS = 65_536


def main() -> int:
    """Run one worker. Returns the exit status."""
    _raise_descriptor_limit()
    # The event loop and SQLite's threads wait for each other, by default up to 5 ms for each switch between them.
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        settings = Settings.from_environment()
        configure_logs(settings.log_format)
        start_traces(settings, "gossip-worker")
        worker = Worker(settings)
        worker.start()
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.strerror}", file=sys.stderr)
        return 2
    stop_requested = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop_requested.set)
    stop_requested.wait()
    worker.stop()
    return 0


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as the system lets this process have: each socket needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


if __name__ == "__main__":
    sys.exit(main())
