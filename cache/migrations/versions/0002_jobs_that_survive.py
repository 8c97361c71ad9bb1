"""submitters and attempts of jobs, shards by pack, pins, quarantine, rates, the store's id"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rates",
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("compute", sa.Text(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("images_per_second", sa.Float(), nullable=False),
        sa.Column("measured", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("machine", "network", "compute", "height", "width"),
    )
    op.create_table(
        "stores",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("store_id"),
    )
    # Shards of unfinished jobs are forgotten: those jobs begin again.
    op.drop_table("shards")
    op.create_table(
        "shards",
        sa.Column("pack_id", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("copied", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pack_id", "shard"),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("submitters", sa.JSON(none_as_null=True), server_default="{}", nullable=False)
        )
        batch_op.add_column(sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(
            sa.Column("attempts", sa.JSON(none_as_null=True), server_default="[]", nullable=False)
        )
    with op.batch_alter_table("packs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        batch_op.add_column(sa.Column("problem", sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("machine", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.drop_column("machine")
    with op.batch_alter_table("packs", schema=None) as batch_op:
        batch_op.drop_column("problem")
        batch_op.drop_column("pinned")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("attempts")
        batch_op.drop_column("failures")
        batch_op.drop_column("submitters")
    op.drop_table("shards")
    op.create_table(
        "shards",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "shard"),
    )
    op.drop_table("stores")
    op.drop_table("rates")
