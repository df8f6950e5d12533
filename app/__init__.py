"""The Flask site. Views turn requests into calls to `shared.services`, where the rules are."""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from flask_migrate import Migrate

from app import (
    accounts,
    admin,
    arguments,
    channels,
    characters,
    chat,
    docs,
    errors,
    form_bodies,
    games,
    health,
    limits,
    moderation,
    origins,
    pages,
    players,
    safety,
    security,
    templating,
)
from app.cli import register_commands
from shared.bus import Bus, publish_after_commit
from shared.db import bind, db
from shared.settings import Settings

MIGRATIONS = Path(__file__).parent.parent / "migrations"
MAX_REQUEST_BYTES = 256 * 1024


def create_app(settings: Settings) -> Flask:
    """Create the site. Opens no connections: `/_health` shows whether the database and Redis can be reached."""
    app = Flask(__name__, instance_path=str(settings.instance_path), static_folder="static")
    app.extensions["settings"] = settings
    app.extensions["bus"] = bus = Bus(settings.redis_url)
    publish_after_commit(bus)
    arguments.init_app(app)
    app.config.from_mapping(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        MAX_CONTENT_LENGTH=MAX_REQUEST_BYTES,
    )
    db.init_app(app)
    Migrate(app, db, directory=str(MIGRATIONS))
    with app.app_context():
        bind(db.engine)
    templating.init_app(app)
    form_bodies.init_app(app)
    security.init_app(app, settings)
    origins.init_app(app)
    accounts.init_app(app)
    for module in (pages, docs, games, channels, characters, players, chat, admin, moderation, safety):
        module.init_app(app)
    limits.init_app(app, settings)
    errors.init_app(app)
    health.init_app(app)
    register_commands(app)
    return app
