"""Moderation: sanctions, reports, appeals, filters, states of channels, mutes, ignores and the audit trail

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# The database itself keeps the audit trail append-only. A database user who may alter tables can drop the triggers, but
# the hashes show what was changed afterwards (`flask moderation verify-log`).
_REFUSAL = "the audit trail is append-only"

_SQLITE_TRIGGERS = (
    f"""
    CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END
    """,
    f"""
    CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END
    """,
    # INSERT OR REPLACE deletes rows without firing the trigger for deletes.
    f"""
    CREATE TRIGGER audit_entries_no_replace BEFORE INSERT ON audit_entries
    WHEN EXISTS (SELECT 1 FROM audit_entries WHERE number = NEW.number)
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END
    """,
    f"""
    CREATE TRIGGER moderation_heads_no_delete BEFORE DELETE ON moderation_heads
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END
    """,
    f"""
    CREATE TRIGGER moderation_heads_forward BEFORE UPDATE ON moderation_heads
    WHEN NEW.number < OLD.number OR (NEW.number = OLD.number AND NEW.hash <> OLD.hash)
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END
    """,
)

_POSTGRES_TRIGGERS = (
    f"""
    CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$
    """,
    """
    CREATE TRIGGER audit_entries_no_change BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()
    """,
    """
    CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
    """,
    """
    CREATE TRIGGER moderation_heads_no_delete BEFORE DELETE ON moderation_heads
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()
    """,
    """
    CREATE TRIGGER moderation_heads_no_truncate BEFORE TRUNCATE ON moderation_heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
    """,
    """
    CREATE TRIGGER moderation_heads_forward BEFORE UPDATE ON moderation_heads
    FOR EACH ROW WHEN (NEW.number < OLD.number OR (NEW.number = OLD.number AND NEW.hash <> OLD.hash))
    EXECUTE FUNCTION refuse_audit_change()
    """,
)


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor_kind", sa.String(length=12), nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=True),
        sa.Column("actor_name", sa.String(length=80), nullable=False),
        sa.Column("actor_role", sa.String(length=12), nullable=False),
        sa.Column("act", sa.String(length=30), nullable=False),
        sa.Column("target_kind", sa.String(length=12), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.CheckConstraint("actor_kind IN ('user', 'application', 'system')", name=op.f("ck_audit_entries_actor_kind")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_actor_kind_actor_id", "audit_entries", ["actor_kind", "actor_id"], unique=False)
    op.create_index("ix_audit_entries_target_id_number", "audit_entries", ["target_id", "number"], unique=False)

    op.create_table(
        "filters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("text", sa.String(length=200), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=10), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=80), nullable=False),
        sa.CheckConstraint("action IN ('flag', 'mask', 'refuse')", name=op.f("ck_filters_action")),
        sa.CheckConstraint("kind IN ('word', 'pattern', 'link', 'flood', 'repeat')", name=op.f("ck_filters_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_filters")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "moderation_heads",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moderation_heads")),
    )
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("peer", sa.String(length=30), nullable=False),
        sa.Column("player_key", sa.Text(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("game", sa.String(length=15), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("channel", sa.String(length=15), nullable=True),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(), nullable=True),
        sa.Column("resolved_by", sa.String(length=80), nullable=True),
        sa.CheckConstraint("kind IN ('message', 'player')", name=op.f("ck_reports_kind")),
        sa.CheckConstraint("state IN ('open', 'upheld', 'dismissed')", name=op.f("ck_reports_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_reports_message_id", "reports", ["message_id"], unique=False)
    op.create_index("ix_reports_state_id", "reports", ["state", "id"], unique=False)
    op.create_index(
        "uq_reports_open",
        "reports",
        ["key"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )

    op.create_table(
        "sanctions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("target_kind", sa.String(length=10), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("peer", sa.String(length=30), nullable=True),
        sa.Column("player_key", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(length=50), nullable=True),
        sa.Column("channel_id", sa.Integer(), nullable=True),
        sa.Column("channel", sa.String(length=15), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("actor_kind", sa.String(length=12), nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=True),
        sa.Column("actor_name", sa.String(length=80), nullable=False),
        sa.Column("actor_role", sa.String(length=12), nullable=False),
        sa.Column("report_id", sa.Integer(), nullable=True),
        sa.Column("lifted_at", sa.DateTime(), nullable=True),
        sa.Column("lifted_by", sa.String(length=80), nullable=True),
        sa.Column("lift_reason", sa.String(length=500), nullable=True),
        sa.Column("is_undone", sa.Boolean(), nullable=False),
        sa.CheckConstraint("kind IN ('warn', 'mute', 'ban')", name=op.f("ck_sanctions_kind")),
        sa.CheckConstraint(
            "target_kind IN ('player', 'game', 'user', 'address')", name=op.f("ck_sanctions_target_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sanctions")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sanctions_peer_player_key", "sanctions", ["peer", "player_key"], unique=False)
    op.create_index("ix_sanctions_user_id", "sanctions", ["user_id"], unique=False)

    op.create_table(
        "appeals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sanction_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("username", sa.String(length=50), nullable=False),
        sa.Column("text", sa.String(length=2000), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=True),
        sa.Column("decided_by", sa.String(length=80), nullable=True),
        sa.CheckConstraint("state IN ('open', 'granted', 'refused')", name=op.f("ck_appeals_state")),
        sa.ForeignKeyConstraint(
            ["sanction_id"], ["sanctions.id"], name=op.f("fk_appeals_sanction_id_sanctions"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_appeals_user_id_users"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appeals")),
        sa.UniqueConstraint("sanction_id", "user_id", name=op.f("uq_appeals_sanction_id_user_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_appeals_state_id", "appeals", ["state", "id"], unique=False)
    op.create_index("ix_appeals_user_id", "appeals", ["user_id"], unique=False)

    op.create_table(
        "ignores",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("pattern", sa.String(length=100), nullable=True),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("(pattern IS NULL) <> (person_id IS NULL)", name=op.f("ck_ignores_one_target")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["users.id"], name=op.f("fk_ignores_person_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_ignores_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ignores")),
        sa.UniqueConstraint("user_id", "pattern", name=op.f("uq_ignores_user_id_pattern")),
        sa.UniqueConstraint("user_id", "person_id", name=op.f("uq_ignores_user_id_person_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "reporters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("text", sa.String(length=1000), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("kind IN ('user', 'game', 'filter')", name=op.f("ck_reporters_kind")),
        sa.ForeignKeyConstraint(
            ["report_id"], ["reports.id"], name=op.f("fk_reporters_report_id_reports"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reporters")),
        sa.UniqueConstraint("report_id", "key", name=op.f("uq_reporters_report_id_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_reporters_key_id", "reporters", ["key", "id"], unique=False)
    op.create_index("ix_reporters_report_id", "reporters", ["report_id"], unique=False)

    op.create_table(
        "channel_states",
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("is_paused", sa.Boolean(), nullable=False),
        sa.Column("paused_until", sa.DateTime(), nullable=True),
        sa.Column("pause_reason", sa.String(length=500), nullable=False),
        sa.Column("slow_seconds", sa.Integer(), nullable=False),
        sa.Column("is_closed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_channel_states_channel_id_channels"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_channel_states")),
    )
    op.create_table(
        "game_mutes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("game_id", sa.Integer(), nullable=False),
        sa.Column("pattern", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["users.id"], name=op.f("fk_game_mutes_created_by_id_users"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["game_id"], ["games.id"], name=op.f("fk_game_mutes_game_id_games"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_game_mutes")),
        sa.UniqueConstraint("game_id", "pattern", name=op.f("uq_game_mutes_game_id_pattern")),
        sqlite_autoincrement=True,
    )

    op.add_column("applications", sa.Column("scopes", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("messages", sa.Column("redacted_at", sa.DateTime(), nullable=True))
    op.add_column("messages", sa.Column("redacted_by", sa.String(length=80), nullable=True))

    op.execute(f"INSERT INTO moderation_heads (id, number, hash, revision) VALUES (1, 0, '{'0' * 64}', 0)")
    is_sqlite = op.get_context().dialect.name == "sqlite"
    for trigger in _SQLITE_TRIGGERS if is_sqlite else _POSTGRES_TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    for table in (
        "game_mutes",
        "channel_states",
        "ignores",
        "reporters",
        "reports",
        "appeals",
        "sanctions",
        "filters",
        "moderation_heads",
        "audit_entries",
    ):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_audit_change()")
    for table, column in (("messages", "redacted_by"), ("messages", "redacted_at"), ("applications", "scopes")):
        op.drop_column(table, column)
