"""Creates the site from its parts."""

from __future__ import annotations

from flask import Flask

from app import (
    accounts,
    admin,
    applications,
    arguments,
    channels,
    characters,
    chat,
    compression,
    docs,
    errors,
    form_bodies,
    games,
    health,
    limits,
    moderation,
    modules,
    oauth,
    origins,
    pages,
    pictures,
    players,
    raid_notice,
    request_ids,
    resources,
    safety,
    security,
    templating,
    times,
    traces,
)
from app.cli import register_commands
from shared.settings import Settings

MAX_REQUEST_BYTES = 256 * 1024


def create_app(settings: Settings) -> Flask:
    """Create the site. Opens no connections: `/_health` shows whether the database and Redis can be reached."""
    app = Flask("app", instance_path=str(settings.instance_path), static_folder="static")
    app.extensions["settings"] = settings
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    traces.init_app(app)
    compression.init_app(app)  # first, so that it runs last and sees the finished response
    arguments.init_app(app)
    resources.init_app(app)
    templating.init_app(app)
    times.init_app(app)
    raid_notice.init_app(app)
    modules.init_app(app)
    form_bodies.init_app(app)
    security.init_app(app, settings)
    request_ids.init_app(app, settings)
    origins.init_app(app)
    accounts.init_app(app)
    pictures.init_app(app)
    subjects = (pages, docs, games, applications, channels, characters, players, chat, admin, moderation, safety, oauth)
    for module in subjects:
        module.init_app(app)
    limits.init_app(app, settings)
    errors.init_app(app)
    health.init_app(app)
    register_commands(app)
    return app
