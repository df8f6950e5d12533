"""The database and Redis, as the site and the commands use them."""

from __future__ import annotations

from flask import Flask

from shared.bus import Bus, publish_after_commit
from shared.db import bind, db
from shared.settings import Settings
from shared.statements import observe


def init_app(app: Flask) -> None:
    """Set up the database and the bus, unless the app has them. Opens no connections."""
    if "bus" in app.extensions:
        return
    settings: Settings = app.extensions["settings"]
    app.extensions["bus"] = bus = Bus(settings.redis_url)
    publish_after_commit(bus)
    app.config.from_mapping(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.secret_key_fallbacks),
        SQLALCHEMY_DATABASE_URI=settings.database_url,
    )
    db.init_app(app)
    with app.app_context():
        observe(db.engine, settings)
        bind(db.engine)
