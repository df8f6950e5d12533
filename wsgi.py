"""The site, for gunicorn and for the `flask` command. Settings are read here, once."""

from __future__ import annotations

import sys

from app import create_app
from shared.logs import configure_logs
from shared.settings import Settings, SettingsError

try:
    settings = Settings.from_environment()
except SettingsError as error:
    # gunicorn boots again whatever dies with another status than 3 or 4; 4 says that this application cannot start.
    print(f"error: {error}", file=sys.stderr)
    sys.exit(4)

configure_logs(settings.log_format)
app = create_app(settings)
