"""Entry point of `python -m launcher`."""

import signal
import sys


def _leave(signum: int, frame: object) -> None:
    """Exit at once: before the first process is started there is nothing to stop."""
    sys.exit(0)


def _ignore(signum: int, frame: object) -> None:
    """Do nothing: before the worker runs there is nothing to upgrade."""


if __name__ == "__main__":
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _leave)
    signal.signal(signal.SIGUSR2, _ignore)

    from launcher.start import main

    sys.exit(main())
