"""The network: users, games, channels, applications, versions, history

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "applications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("short_name", sa.String(length=15), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("client_id", sa.String(length=36), nullable=False),
        sa.Column("client_secret_digest", sa.String(length=64), nullable=False),
        sa.Column("credentials_serial", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_applications")),
        sa.UniqueConstraint("client_id", name=op.f("uq_applications_client_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "jobs",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_jobs")),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("peer", sa.String(length=30), nullable=False),
        sa.Column("game", sa.String(length=15), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("worker", sa.String(length=36), nullable=False),
        sa.Column("sent_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_channel_id_id", "messages", ["channel_id", "id"], unique=False)

    op.create_table(
        "reserved_short_names",
        sa.Column("key", sa.String(length=15), nullable=False),
        sa.Column("game_id", sa.Integer(), nullable=True),
        sa.Column("application_id", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_reserved_short_names")),
    )
    op.create_table(
        "user_agents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("repository_url", sa.String(length=500), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_agents")),
        sa.UniqueConstraint("name", name=op.f("uq_user_agents_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("username", sa.String(length=50), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("email_key", sa.String(length=254), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("is_verified", sa.Boolean(), nullable=False),
        sa.Column("registration_key", sa.String(length=36), nullable=False),
        sa.Column("session_token", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("role IN ('player', 'moderator', 'admin')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
        sa.UniqueConstraint("registration_key", name=op.f("uq_users_registration_key")),
        sa.UniqueConstraint("uid", name=op.f("uq_users_uid")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=10), nullable=False),
        sa.Column("record", sa.Text(), nullable=True),
        sa.Column("superseded_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("action IN ('created', 'updated', 'deleted')", name=op.f("ck_versions_action")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
    )
    op.create_index("ix_versions_kind_record_id_id", "versions", ["kind", "record_id", "id"], unique=False)
    op.create_index(
        "uq_versions_newest",
        "versions",
        ["kind", "record_id"],
        unique=True,
        sqlite_where=sa.text("superseded_by IS NULL"),
        postgresql_where=sa.text("superseded_by IS NULL"),
    )

    op.create_table(
        "channels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=15), nullable=False),
        sa.Column("description", sa.String(length=500), nullable=True),
        sa.Column("is_hidden", sa.Boolean(), nullable=False),
        sa.Column("proposed_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["proposed_by_id"], ["users.id"], name=op.f("fk_channels_proposed_by_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channels")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_channels_proposed_by_id"), "channels", ["proposed_by_id"], unique=False)

    op.create_table(
        "games",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("short_name", sa.String(length=15), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("homepage_url", sa.String(length=500), nullable=True),
        sa.Column("is_displayed", sa.Boolean(), nullable=False),
        sa.Column("allows_character_registration", sa.Boolean(), nullable=False),
        sa.Column("redirect_uris", sa.JSON(), nullable=False),
        sa.Column("protocol_version", sa.String(length=20), nullable=True),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("user_agent_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("client_id", sa.String(length=36), nullable=False),
        sa.Column("client_secret_digest", sa.String(length=64), nullable=False),
        sa.Column("credentials_serial", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_games_owner_id_users")),
        sa.ForeignKeyConstraint(["user_agent_id"], ["user_agents.id"], name=op.f("fk_games_user_agent_id_user_agents")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_games")),
        sa.UniqueConstraint("client_id", name=op.f("uq_games_client_id")),
        sa.UniqueConstraint("name_key", name=op.f("uq_games_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_games_owner_id"), "games", ["owner_id"], unique=False)
    op.create_index(op.f("ix_games_user_agent_id"), "games", ["user_agent_id"], unique=False)

    op.create_table(
        "game_connections",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("game_id", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("url", sa.String(length=500), nullable=True),
        sa.Column("host", sa.String(length=253), nullable=True),
        sa.Column("port", sa.Integer(), nullable=True),
        sa.CheckConstraint("(type = 'web') = (host IS NULL)", name=op.f("ck_game_connections_telnet_has_host")),
        sa.CheckConstraint("(type = 'web') = (port IS NULL)", name=op.f("ck_game_connections_telnet_has_port")),
        sa.CheckConstraint("(type = 'web') = (url IS NOT NULL)", name=op.f("ck_game_connections_web_has_url")),
        sa.CheckConstraint("type IN ('web', 'telnet', 'secure telnet')", name=op.f("ck_game_connections_type")),
        sa.CheckConstraint("port BETWEEN 1 AND 65535", name=op.f("ck_game_connections_port")),
        sa.ForeignKeyConstraint(
            ["game_id"], ["games.id"], name=op.f("fk_game_connections_game_id_games"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_game_connections")),
    )
    op.create_index(op.f("ix_game_connections_game_id"), "game_connections", ["game_id"], unique=False)
    for table, column in (
        ("users", "username"),
        ("games", "short_name"),
        ("applications", "short_name"),
        ("channels", "name"),
    ):
        op.create_index(f"uq_{table}_{column}_lower", table, [sa.text(f"lower({column})")], unique=True)
    for counter in ("versions", "messages"):
        op.execute(f"INSERT INTO counters (name, value, floor) VALUES ('{counter}', 0, 0)")


def downgrade() -> None:
    for table in (
        "game_connections",
        "games",
        "channels",
        "versions",
        "users",
        "user_agents",
        "reserved_short_names",
        "messages",
        "jobs",
        "counters",
        "applications",
    ):
        op.drop_table(table)
