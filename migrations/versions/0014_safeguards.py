"""Raid protection and probation

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    settings = op.create_table(
        "safeguard_settings",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("raid_until", sa.DateTime(), nullable=True),
        sa.Column("raid_reason", sa.String(length=500), nullable=False),
        sa.Column("probation_hours", sa.Integer(), nullable=False),
        sa.Column("probation_slow_seconds", sa.Integer(), nullable=False),
        sa.Column("probation_refuses_links", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_safeguard_settings")),
    )
    op.bulk_insert(
        settings,
        [
            {
                "id": 1,
                "raid_until": None,
                "raid_reason": "",
                "probation_hours": 0,
                "probation_slow_seconds": 0,
                "probation_refuses_links": False,
            }
        ],
    )


def downgrade() -> None:
    op.drop_table("safeguard_settings")
