"""Transfers of games to another owner, and the time when a user first returned

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "game_transfers",
        sa.Column("game_id", sa.Integer(), nullable=False),
        sa.Column("from_user_id", sa.Integer(), nullable=False),
        sa.Column("to_user_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["game_id"], ["games.id"], name=op.f("fk_game_transfers_game_id_games"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["from_user_id"], ["users.id"], name=op.f("fk_game_transfers_from_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["to_user_id"], ["users.id"], name=op.f("fk_game_transfers_to_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("game_id", name=op.f("pk_game_transfers")),
    )
    for column in ("from_user_id", "to_user_id"):
        op.create_index(op.f(f"ix_game_transfers_{column}"), "game_transfers", [column], unique=False)

    op.add_column("users", sa.Column("returned_at", sa.DateTime(), nullable=True))
    # The older code did not record returns: treat every existing user as returned.
    op.execute("UPDATE users SET returned_at = created_at")


def downgrade() -> None:
    op.drop_column("users", "returned_at")
    op.drop_table("game_transfers")
