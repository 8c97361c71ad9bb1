"""workers tell of lanes and devices, sums that only grow, jobs know their request"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("amount", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label"),
    )
    json = sa.JSON(none_as_null=True)
    op.add_column("workers", sa.Column("lanes", json, server_default="{}", nullable=False))
    op.add_column("workers", sa.Column("memory", json, server_default="[]", nullable=False))
    for name in ("request_id", "traceparent"):
        op.add_column("jobs", sa.Column(name, sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    for name in ("traceparent", "request_id"):
        op.drop_column("jobs", name)
    op.drop_column("workers", "memory")
    op.drop_column("workers", "lanes")
    op.drop_table("counts")
