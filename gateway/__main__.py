"""Entry point of `python -m gateway`."""

from __future__ import annotations

import asyncio
import signal
import sys

from gateway.server import run
from shared import service_manager
from shared.logs import configure_logs
from shared.settings import Settings, SettingsError
from shared.traces import start_traces


def main() -> int:
    """Run the gateway until SIGTERM or SIGINT. Returns the exit status."""
    try:
        settings = Settings.from_environment()
        configure_logs(settings.log_format)
        start_traces(settings, "gossip-gateway")
        asyncio.run(_run(settings))
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


async def _run(settings: Settings) -> None:
    end_requested = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end_requested.set)
    await run(settings, service_manager.notify_ready, end_requested.wait)


if __name__ == "__main__":
    sys.exit(main())
