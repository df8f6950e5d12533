"""`flask settings`."""

from __future__ import annotations

import json
import os

import click
from dotenv import dotenv_values, find_dotenv
from flask import current_app
from flask.cli import with_appcontext

from shared.settings import Settings


@click.command("settings")
@with_appcontext
def show_settings() -> None:
    """Print each setting, its value with secrets masked, and where it came from."""
    settings: Settings = current_app.extensions["settings"]
    rows = settings.describe()
    for file in (".env", ".flaskenv"):  # `flask` reads these into the environment, and prefers the first
        for name, text in dotenv_values(find_dotenv(file, usecwd=True)).items():
            if name in rows and rows[name]["source"] == "environment" and os.environ.get(name) == text:
                rows[name]["source"] = file
    print(json.dumps(rows, ensure_ascii=False), flush=True)
