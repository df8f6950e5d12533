"""The email address that an account has asked for, and the game whose subscription created a channel

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("users", sa.Column("pending_email", sa.String(length=254), nullable=True))
    op.add_column("channels", sa.Column("made_by", sa.String(length=15), nullable=True))


def downgrade() -> None:
    op.drop_column("channels", "made_by")
    op.drop_column("users", "pending_email")
