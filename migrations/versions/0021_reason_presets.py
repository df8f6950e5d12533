"""Preset reasons for moderators

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

PRESETS = [
    ("kindness", "Unkind to others on the channel"),
    ("harassment", "Attacked somebody, or followed them from channel to channel"),
    ("harassment", "Hatred of people for who they are"),
    ("suitable", "Sexual or gory content"),
    ("flood", "Repeated lines, or walls of text"),
    ("flood", "Repeated advertising"),
    ("private", "Published something private about a person"),
    ("impersonation", "Posed as somebody else"),
]


def upgrade() -> None:
    presets = op.create_table(
        "reason_presets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(length=20), nullable=False),
        sa.Column("text", sa.String(length=200), nullable=False),
        sa.Column("changed_by", sa.String(length=80), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reason_presets")),
        sqlite_autoincrement=True,
    )
    op.bulk_insert(presets, [{"rule": rule, "text": text, "changed_by": None} for rule, text in PRESETS])


def downgrade() -> None:
    op.drop_table("reason_presets")
