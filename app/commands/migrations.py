"""`flask db`: Flask-Migrate's commands. Only they need Alembic."""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from flask_migrate import Migrate
from flask_migrate.cli import db as group

from shared.db import db

__all__ = ["group", "prepare"]

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def prepare(app: Flask) -> None:
    """Tell Flask-Migrate where the migrations are."""
    Migrate(app, db, directory=str(MIGRATIONS))
