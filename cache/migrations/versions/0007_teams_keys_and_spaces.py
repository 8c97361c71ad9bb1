"""teams, their keys, and spaces that others do not see"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OWNED = ("packs", "heads", "jobs", "studies")


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float(), nullable=True),
        sa.Column("revoked", sa.Float(), nullable=True),
        sa.Column("last_used", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("key_id"),
    )
    for table in ("datasets", "rates", *OWNED):
        space = sa.Column("space", sa.Text(), server_default="", nullable=False)
        op.add_column(table, space)
    for table in ("datasets", "weights", *OWNED):
        op.add_column(table, sa.Column("team", sa.Text(), nullable=True))
    _new_primary_key("datasets", ["space", "name", "version"])
    _new_primary_key("rates", ["space", "machine", "network", "compute", "height", "width"])


def downgrade() -> None:
    for table in ("datasets", "rates", *OWNED):  # what was private would be seen by all
        rows = sa.table(table, sa.column("space", sa.Text))
        op.execute(sa.delete(rows).where(rows.c.space != ""))
    _new_primary_key("rates", ["machine", "network", "compute", "height", "width"])
    _new_primary_key("datasets", ["name", "version"])
    for table in ("datasets", "weights", *OWNED):
        op.drop_column(table, "team")
    for table in ("datasets", "rates", *OWNED):
        op.drop_column(table, "space")
    op.drop_table("keys")


def _new_primary_key(table: str, names: list[str]) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(f"{table}_pkey", table, type_="primary")
        op.create_primary_key(f"{table}_pkey", table, names)
        return
    # SQLite can only copy the table, of which these two, being small, do not make much.
    before = sa.Table(table, sa.MetaData(), autoload_with=op.get_bind())
    after = sa.Table(
        table,
        sa.MetaData(),
        *(
            sa.Column(
                column.name,
                column.type,
                nullable=column.nullable,
                server_default=column.server_default,
                primary_key=column.name in names,
            )
            for column in before.columns
        ),
        *(
            sa.Index(index.name, *(column.name for column in index.columns))
            for index in before.indexes
        ),
    )
    with op.batch_alter_table(table, copy_from=after, recreate="always"):
        pass
