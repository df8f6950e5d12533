"""The app that the `flask` command runs on: the commands, without the site's pages, which take a second to import."""

from __future__ import annotations

import sys

import click
from flask import Flask

from app.cli import register_commands
from shared.logs import configure_logs
from shared.settings import Settings, SettingsError

SITE_COMMANDS = ("routes", "run", "shell")
"""Flask's own commands, which need the whole site."""


def create_command_app() -> Flask:
    """Create the app for the command that was called. Ends the process if a setting is wrong."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(4)
    configure_logs(settings.log_format)
    context = click.get_current_context(silent=True)
    if context is not None and context.info_name in SITE_COMMANDS:
        from app.site import create_app

        return create_app(settings)
    app = Flask("app", instance_path=str(settings.instance_path))
    app.extensions["settings"] = settings
    register_commands(app)
    return app
