"""Signing in to games with an account

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

NO_URIS = sa.text("'[]'")


def upgrade() -> None:
    op.add_column("applications", sa.Column("redirect_uris", sa.JSON(), nullable=False, server_default=NO_URIS))
    for table in ("games", "applications"):
        op.add_column(table, sa.Column("logout_uris", sa.JSON(), nullable=False, server_default=NO_URIS))
        op.add_column(table, sa.Column("requires_secret", sa.Boolean(), nullable=False, server_default=sa.false()))
        op.add_column(table, sa.Column("has_private_ids", sa.Boolean(), nullable=False, server_default=sa.false()))
        op.add_column(table, sa.Column("subject_key", sa.String(length=64), nullable=True))
        op.add_column(
            table, sa.Column("id_token_algorithm", sa.String(length=10), nullable=False, server_default="RS256")
        )
    op.create_table(
        "oauth_keys",
        sa.Column("kid", sa.String(length=43), nullable=False),
        sa.Column("algorithm", sa.String(length=10), nullable=False),
        sa.Column("private_pem", sa.Text(), nullable=False),
        sa.Column("public_jwk", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("retired_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_oauth_keys")),
    )
    op.create_table(
        "oauth_grants",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("game_id", sa.Integer(), nullable=True),
        sa.Column("application_id", sa.Integer(), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint("(game_id IS NULL) <> (application_id IS NULL)", name=op.f("ck_oauth_grants_one_client")),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["applications.id"],
            name=op.f("fk_oauth_grants_application_id_applications"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["game_id"], ["games.id"], name=op.f("fk_oauth_grants_game_id_games"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_oauth_grants_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_grants")),
        sa.UniqueConstraint("user_id", "game_id", name=op.f("uq_oauth_grants_user_id_game_id")),
        sa.UniqueConstraint("user_id", "application_id", name=op.f("uq_oauth_grants_user_id_application_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_oauth_grants_application_id"), "oauth_grants", ["application_id"])
    op.create_index(op.f("ix_oauth_grants_game_id"), "oauth_grants", ["game_id"])
    op.create_table(
        "oauth_codes",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("grant_id", sa.Integer(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("code_challenge", sa.String(length=128), nullable=True),
        sa.Column("authenticated_at", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["oauth_grants.id"], name=op.f("fk_oauth_codes_grant_id_oauth_grants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_oauth_codes")),
    )
    op.create_index(op.f("ix_oauth_codes_created_at"), "oauth_codes", ["created_at"])
    op.create_index(op.f("ix_oauth_codes_grant_id"), "oauth_codes", ["grant_id"])
    op.create_table(
        "oauth_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("grant_id", sa.Integer(), nullable=False),
        sa.Column("family", sa.String(length=64), nullable=False),
        sa.Column("access_digest", sa.String(length=64), nullable=False),
        sa.Column("refresh_digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("access_scopes", sa.JSON(), nullable=False),
        sa.Column("authenticated_at", sa.DateTime(), nullable=True),
        sa.Column("issued_at", sa.DateTime(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["oauth_grants.id"], name=op.f("fk_oauth_tokens_grant_id_oauth_grants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_tokens")),
        sa.UniqueConstraint("access_digest", name=op.f("uq_oauth_tokens_access_digest")),
        sa.UniqueConstraint("refresh_digest", name=op.f("uq_oauth_tokens_refresh_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_oauth_tokens_family"), "oauth_tokens", ["family"])
    op.create_index(op.f("ix_oauth_tokens_grant_id"), "oauth_tokens", ["grant_id"])
    op.create_index(op.f("ix_oauth_tokens_issued_at"), "oauth_tokens", ["issued_at"])


def downgrade() -> None:
    op.drop_table("oauth_tokens")
    op.drop_table("oauth_codes")
    op.drop_table("oauth_grants")
    op.drop_table("oauth_keys")
    for table in ("games", "applications"):
        for column in ("logout_uris", "requires_secret", "has_private_ids", "subject_key", "id_token_algorithm"):
            op.drop_column(table, column)
    op.drop_column("applications", "redirect_uris")
