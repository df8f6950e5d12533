"""The WSGI application for gunicorn. The settings are read here, once."""

from __future__ import annotations

import sys

from app import create_app
from shared.logs import configure_logs
from shared.settings import Settings, SettingsError
from shared.traces import start_traces

try:
    settings = Settings.from_environment()
    start_traces(settings, "gossip-site")
except SettingsError as error:
    # Status 4 tells gunicorn that the application cannot start; after any other status but 3 it would try again.
    print(f"error: {error}", file=sys.stderr)
    sys.exit(4)

configure_logs(settings.log_format)
app = create_app(settings)
