"""How Alembic runs the migrations: on the site's engine, all in one transaction, one migrator at a time."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import text

import shared.models  # noqa: F401  all tables are known to the metadata
from shared.db import Base

MIGRATION_LOCK = 4_110_001  # any number, as long as nothing else in the database uses it


def run_offline() -> None:
    """Print the SQL (`flask db upgrade --sql`)."""
    url = current_app.extensions["migrate"].db.engine.url
    context.configure(url=url, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Migrate the database of the settings."""
    engine = current_app.extensions["migrate"].db.engine
    with engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        # SQLite changes a table by copying it, which takes "batch" operations.
        is_sqlite = connection.dialect.name == "sqlite"
        context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=is_sqlite)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
