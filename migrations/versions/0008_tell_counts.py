"""Counts of tells for each day

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "tell_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("peer", sa.String(length=40), nullable=False),
        sa.Column("tells", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "peer", name=op.f("pk_tell_counts")),
    )


def downgrade() -> None:
    op.drop_table("tell_counts")
