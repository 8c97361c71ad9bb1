"""heads that wait for packs, and studies"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "studies",
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cells", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("submitters", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("study_id"),
    )
    op.create_index("studies_recent", "studies", ["created", "study_id"])
    # Not in a batch: SQLite would copy the table, and with it lose the partial index's condition.
    op.add_column("jobs", sa.Column("waits_for", sa.Text(), nullable=True))
    op.create_index(op.f("ix_jobs_waits_for"), "jobs", ["waits_for"])
    op.create_index("jobs_of_key", "jobs", ["key", "created"])


def downgrade() -> None:
    op.drop_index("jobs_of_key", table_name="jobs")
    op.drop_index(op.f("ix_jobs_waits_for"), table_name="jobs")
    op.drop_column("jobs", "waits_for")
    op.drop_index("studies_recent", table_name="studies")
    op.drop_table("studies")
