"""`python -m worker` runs one socket worker until SIGTERM or Ctrl-C."""

from gevent import monkey

monkey.patch_all()

import signal
import sys

import gevent
from gevent.event import Event

from shared.logs import configure_logs
from shared.settings import Settings, SettingsError
from worker.worker import Worker

SWITCH_SECONDS = 0.0005


def main() -> int:
    """Run one worker. Returns the exit status."""
    # The event loop and SQLite's threads wait for each other, by default up to 5 ms for each switch between them.
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        settings = Settings.from_environment()
        configure_logs(settings.log_format)
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


if __name__ == "__main__":
    sys.exit(main())
