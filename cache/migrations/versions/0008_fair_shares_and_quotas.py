"""fair shares, quotas, and a ledger of what devices did for whom"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TURN = ["state", "kind", "due", "waits_for", "payer", "joiner", "priority", "deaths", "created"]
TURN.append("id")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("payer", sa.Text(), server_default="", nullable=False))
    op.add_column("jobs", sa.Column("joiner", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("claimed", sa.Float(), nullable=True))
    op.add_column("jobs", sa.Column("share", sa.Float(), server_default="1", nullable=False))
    jobs = sa.table("jobs", sa.column("payer", sa.Text), sa.column("team", sa.Text))
    op.execute(sa.update(jobs).values(payer=sa.func.coalesce(jobs.c.team, "")))
    op.drop_index("jobs_claim", table_name="jobs")
    op.create_index("jobs_turn", "jobs", TURN)
    op.create_index("jobs_together", "jobs", ["together", "state"])
    op.create_index("jobs_of_team", "jobs", ["team", "state"])
    op.create_table(
        "teams",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=True),
        sa.Column("queued_jobs", sa.BigInteger(), nullable=True),
        sa.Column("upload_bytes", sa.BigInteger(), nullable=True),
        sa.Column("requests_per_second", sa.Float(), nullable=True),
        sa.Column("heads_per_minute", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("team"),
    )
    op.create_table(
        "ledger",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("began", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("rows_computed", sa.BigInteger(), nullable=False),
        sa.Column("rows_copied", sa.BigInteger(), nullable=False),
        sa.Column("seconds_saved", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt"),
    )
    recent = ["ended", "kind", "team", "began", "seconds"]
    op.create_index("ledger_recent", "ledger", recent)
    op.create_index("ledger_of_team", "ledger", ["team", "ended"])
    op.create_table(
        "hits",
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("seconds_saved", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("team", "day"),
    )


def downgrade() -> None:
    for table in ("hits", "ledger", "teams"):
        op.drop_table(table)
    for index in ("jobs_of_team", "jobs_together", "jobs_turn"):
        op.drop_index(index, table_name="jobs")
    op.create_index("jobs_claim", "jobs", ["state", "kind", "due"])
    for name in ("share", "claimed", "joiner", "payer"):
        op.drop_column("jobs", name)
