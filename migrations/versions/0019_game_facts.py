"""What games say about themselves

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "game_facts",
        sa.Column("connection_id", sa.String(length=36), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.Column("asked_at", sa.DateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("answered_at", sa.DateTime(), nullable=True),
        sa.Column("source", sa.String(length=20), nullable=True),
        sa.Column("players", sa.Integer(), nullable=True),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["game_connections.id"],
            name=op.f("fk_game_facts_connection_id_game_connections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("connection_id", name=op.f("pk_game_facts")),
    )
    op.create_index(op.f("ix_game_facts_due_at"), "game_facts", ["due_at"])
    with op.batch_alter_table("game_play") as table:
        table.add_column(sa.Column("is_asked", sa.Boolean(), nullable=False, server_default=sa.true()))


def downgrade() -> None:
    with op.batch_alter_table("game_play") as table:
        table.drop_column("is_asked")
    op.drop_table("game_facts")
