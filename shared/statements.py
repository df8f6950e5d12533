"""What happens to every statement: comments with ids (DATABASE_COMMENTS) and spans (TRACES_URL)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from shared.request_ids import current_ids
from shared.settings import Settings
from shared.traces import trace_statements


def observe(engine: Engine, settings: Settings) -> None:
    """Comment and trace the statements of this engine, if the settings say so. Only PostgreSQL shows comments."""
    if settings.database_comments and not settings.is_sqlite:
        _comment_statements(engine)
    if settings.traces_url:
        trace_statements(engine)


def _comment_statements(engine: Engine) -> None:
    """Add the ids to every statement, as a comment that PostgreSQL shows in its log and in pg_stat_activity."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def add_comment(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _executemany: bool
    ) -> tuple[str, Any]:
        ids = current_ids()
        if ids:
            statement += " /* " + " ".join(f"{name}={value}" for name, value in ids.items()) + " */"
        return statement, parameters
