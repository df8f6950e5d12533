"""What people say about themselves

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("users", sa.Column("about", sa.Text(), nullable=False, server_default=""))
    op.add_column("users", sa.Column("pronouns", sa.String(length=40), nullable=False, server_default=""))
    op.create_table(
        "profile_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(length=500), nullable=False),
        sa.Column("verified_at", sa.DateTime(), nullable=True),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_profile_links_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_links")),
        sa.UniqueConstraint("user_id", "url", name=op.f("uq_profile_links_user_id_url")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_profile_links_due_at", "profile_links", ["due_at"])
    op.create_table(
        "favourite_games",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("game_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_favourite_games_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["game_id"], ["games.id"], name=op.f("fk_favourite_games_game_id_games"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "game_id", name=op.f("pk_favourite_games")),
    )
    op.create_index(op.f("ix_favourite_games_game_id"), "favourite_games", ["game_id"])


def downgrade() -> None:
    op.drop_table("favourite_games")
    op.drop_table("profile_links")
    op.drop_column("users", "pronouns")
    op.drop_column("users", "about")
