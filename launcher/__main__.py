"""Entry point of `python -m launcher`."""

import signal
import sys


def _leave(signum: int, frame: object) -> None:
    """Exit at once: before the first process is started there is nothing to stop."""
    sys.exit(0)


if __name__ == "__main__":
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _leave)

    from launcher.start import main

    sys.exit(main())
