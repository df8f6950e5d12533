"""Playing games in the browser

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "game_play",
        sa.Column("game_id", sa.Integer(), nullable=False),
        sa.Column("is_allowed", sa.Boolean(), nullable=False),
        sa.Column("allows_guests", sa.Boolean(), nullable=False),
        sa.Column("sends_address", sa.Boolean(), nullable=False),
        sa.Column("proof_token", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["game_id"], ["games.id"], name=op.f("fk_game_play_game_id_games"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("game_id", name=op.f("pk_game_play")),
    )
    op.create_table(
        "play_ways",
        sa.Column("connection_id", sa.String(length=36), nullable=False),
        sa.Column("encoding", sa.String(length=20), nullable=False),
        sa.Column("proof", sa.String(length=20), nullable=True),
        sa.Column("proved_endpoint", sa.String(length=300), nullable=True),
        sa.Column("asked_at", sa.DateTime(), nullable=True),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.Column("checked_at", sa.DateTime(), nullable=True),
        sa.Column("failure", sa.String(length=20), nullable=True),
        sa.ForeignKeyConstraint(
            ["connection_id"],
            ["game_connections.id"],
            name=op.f("fk_play_ways_connection_id_game_connections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("connection_id", name=op.f("pk_play_ways")),
    )
    op.create_index(op.f("ix_play_ways_asked_at"), "play_ways", ["asked_at"])


def downgrade() -> None:
    op.drop_table("play_ways")
    op.drop_table("game_play")
