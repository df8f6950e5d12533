"""Run the migrations with the site's engine, in one transaction, one process at a time."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import text

import shared.models  # noqa: F401  adds all tables to the metadata
from shared.db import Base
from shared.models.message import is_declared

MIGRATION_LOCK = 4_110_001  # any number that nothing else in the database uses


def run_offline() -> None:
    """Print the SQL (`flask db upgrade --sql`)."""
    url = current_app.extensions["migrate"].db.engine.url
    context.configure(url=url, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Migrate the site's database."""
    engine = current_app.extensions["migrate"].db.engine
    with engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            for timeout in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"):
                connection.execute(text(f"SET LOCAL {timeout} = 0"))  # a migration may take long
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        # SQLite cannot alter a table in place; batch operations copy it.
        is_sqlite = connection.dialect.name == "sqlite"
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=is_sqlite,
            include_name=is_declared,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
