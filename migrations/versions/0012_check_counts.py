"""How many connection checks each owner had

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "check_counts",
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("port_class", sa.String(length=10), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_check_counts_owner_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("owner_id", "port_class", name=op.f("pk_check_counts")),
    )


def downgrade() -> None:
    op.drop_table("check_counts")
