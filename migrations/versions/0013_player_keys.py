"""Names of players compared in NFKC and without invisible characters

Revision ID: 0013
Revises: 0012

Only names with characters beyond ASCII change. A character or pattern whose new key is taken in its game keeps its old
one. The keys are made with today's `player_key`.
"""

import sqlalchemy as sa
from alembic import op

from shared.protocol.types import player_key

revision = "0013"
down_revision = "0012"

# Each table with its key, and the columns within which the key is unique.
KEYS = [
    ("characters", "name_key", ["game_id"]),
    ("sanctions", "player_key", []),
    ("reports", "player_key", []),
]
PATTERNS = [("game_mutes", "pattern", ["game_id"]), ("ignores", "pattern", ["user_id"])]


def upgrade() -> None:
    for table, column, scope in KEYS:
        _rewrite(table, column, scope, player_key)
    for table, column, scope in PATTERNS:
        _rewrite(table, column, scope, _pattern)


def downgrade() -> None:
    """Do nothing: the older keys cannot be known, and the new ones are valid."""


def _pattern(text: str) -> str:
    name, at, game = text.rpartition("@")
    return f"{player_key(name)}{at}{game}"


def _rewrite(table: str, column: str, scope: list[str], key_of) -> None:  # type: ignore[no-untyped-def]
    rows = sa.table(table, sa.column("id"), sa.column(column), *map(sa.column, scope))
    connection = op.get_bind()
    selected = sa.select(rows).where(rows.c[column].is_not(None)).order_by(rows.c.id)
    records = connection.execute(selected).mappings().all()
    taken = {(*(record[name] for name in scope), record[column]) for record in records}
    for record in records:
        old = record[column]
        new = old if old.isascii() else key_of(old)
        place = (*(record[name] for name in scope), new)
        if new == old or not new or (scope and place in taken):
            continue
        taken.add(place)
        connection.execute(rows.update().where(rows.c.id == record["id"]).values({column: new}))
