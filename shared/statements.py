"""What happens to every statement: comments with ids (DATABASE_COMMENTS) and spans (TRACES_URL)."""

from __future__ import annotations

from sqlalchemy import Engine

from shared.request_ids import comment_statements
from shared.settings import Settings
from shared.traces import trace_statements


def observe(engine: Engine, settings: Settings) -> None:
    """Comment and trace the statements of this engine, if the settings say so. Only PostgreSQL shows comments."""
    if settings.database_comments and not settings.is_sqlite:
        comment_statements(engine)
    if settings.traces_url:
        trace_statements(engine)
