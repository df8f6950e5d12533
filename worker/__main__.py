"""`python -m worker`: one socket worker, until SIGTERM or Ctrl-C."""

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
    """Run one worker; returns the exit status."""
    # SQLite's threads wait for the event loop and it for them: by default up to 5 ms each time they change places.
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
    asked_to_stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, asked_to_stop.set)
    asked_to_stop.wait()
    worker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
