"""Players: characters, privacy, and the key of an account's email address

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Not a batch operation: on SQLite that copies the table, which would delete the rows that refer to it.
    op.add_column("users", sa.Column("address_key", sa.String(length=254), server_default="", nullable=False))
    for name in ("is_profile_hidden", "is_online_hidden"):
        op.add_column("users", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute("UPDATE users SET address_key = email_key")
    op.create_index("ix_users_address_key", "users", ["address_key"], unique=False)

    op.create_table(
        "reserved_usernames",
        sa.Column("key", sa.String(length=50), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_reserved_usernames")),
    )
    op.create_table(
        "characters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("game_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("approved_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'approved')", name=op.f("ck_characters_state")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_characters_user_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["game_id"], ["games.id"], name=op.f("fk_characters_game_id_games"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_characters")),
        sa.UniqueConstraint("game_id", "name_key", name=op.f("uq_characters_game_id_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_characters_user_id"), "characters", ["user_id"], unique=False)
    op.create_table(
        "character_sightings",
        sa.Column("character_id", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["character_id"],
            ["characters.id"],
            name=op.f("fk_character_sightings_character_id_characters"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("character_id", name=op.f("pk_character_sightings")),
    )


def downgrade() -> None:
    for table in ("character_sightings", "characters", "reserved_usernames"):
        op.drop_table(table)
    # The email_key of an account with an unconfirmed address is a uid, which the older code takes for the address.
    op.drop_index("ix_users_address_key", "users")
    for name in ("is_online_hidden", "is_profile_hidden", "address_key"):
        op.drop_column("users", name)
