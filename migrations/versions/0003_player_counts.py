"""Player counts, whether a game's page lists its players, and case-folded descriptions for the search

Revision ID: 0003
Revises: 0002
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BATCH = 500


def upgrade() -> None:
    # Not a batch operation: on SQLite that copies the table, which would delete the rows that refer to it.
    op.add_column("games", sa.Column("show_players", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("games", sa.Column("description_key", sa.Text(), server_default="", nullable=False))
    if not op.get_context().as_sql:
        _fold_descriptions()

    op.create_table(
        "player_counts",
        sa.Column("game_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("players", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["game_id"], ["games.id"], name=op.f("fk_player_counts_game_id_games"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("game_id", "at", name=op.f("pk_player_counts")),
    )
    op.create_index(op.f("ix_player_counts_at"), "player_counts", ["at"], unique=False)
    op.create_table(
        "daily_player_counts",
        sa.Column("game_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["game_id"], ["games.id"], name=op.f("fk_daily_player_counts_game_id_games"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("game_id", "day", name=op.f("pk_daily_player_counts")),
    )
    op.create_index(op.f("ix_daily_player_counts_day"), "daily_player_counts", ["day"], unique=False)


def downgrade() -> None:
    op.drop_table("daily_player_counts")
    op.drop_table("player_counts")
    op.drop_column("games", "description_key")
    op.drop_column("games", "show_players")


def _fold_descriptions() -> None:
    """Fill description_key, in batches."""
    games = sa.table(
        "games", sa.column("id", sa.Integer), sa.column("description", sa.Text), sa.column("description_key", sa.Text)
    )
    connection = op.get_bind()
    fold = sa.update(games).where(games.c.id == sa.bindparam("game_id")).values(description_key=sa.bindparam("key"))
    last = 0
    while True:
        rows = connection.execute(
            sa.select(games.c.id, games.c.description)
            .where(games.c.id > last, games.c.description.is_not(None))
            .order_by(games.c.id)
            .limit(BATCH)
        ).all()
        if not rows:
            return
        last = rows[-1].id
        connection.execute(fold, [{"game_id": row.id, "key": _key(row.description)} for row in rows])


def _key(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
