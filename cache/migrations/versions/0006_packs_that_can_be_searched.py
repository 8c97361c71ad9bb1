"""packs that can be searched, sorted and counted"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
_packs = sa.table(
    "packs",
    sa.column("pack_id", sa.Text),
    sa.column("recipe_id", sa.Text),
    sa.column("network", sa.Text),
    sa.column("dataset", sa.Text),
    sa.column("recipe", _JSON),
    sa.column("provenance", _JSON),
    sa.column("created", sa.Float),
    sa.column("tap", sa.Text),
    sa.column("words", sa.Text),
    sa.column("rows_copied", sa.BigInteger),
    sa.column("row_seconds", sa.Float),
)
_heads = sa.table(
    "heads",
    sa.column("head_id", sa.Text),
    sa.column("metrics", _JSON),
    sa.column("accuracy", sa.Float),
)


def upgrade() -> None:
    op.add_column("packs", sa.Column("tap", sa.Text(), nullable=True))
    op.add_column("packs", sa.Column("words", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "packs", sa.Column("rows_copied", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("packs", sa.Column("row_seconds", sa.Float(), nullable=True))
    op.add_column("heads", sa.Column("accuracy", sa.Float(), nullable=True))
    op.add_column("workers", sa.Column("byte_limit", sa.BigInteger(), nullable=True))
    _fill_packs(op.get_bind())
    _fill_heads(op.get_bind())
    op.drop_index("ix_heads_pack_id", table_name="heads")
    op.create_index("heads_of_pack", "heads", ["pack_id", "accuracy"])


def _fill_packs(connection: sa.Connection) -> None:
    """Oldest first: what a row took is known of an older pack of the recipe, if of none itself."""
    known = ("pack_id", "recipe_id", "network", "dataset", "recipe", "provenance")
    query = sa.select(*(_packs.c[name] for name in known)).order_by(_packs.c.created)
    seconds: dict[str, float] = {}
    for row in connection.execute(query).all():
        tap, rate = row.recipe.get("tap"), row.provenance.get("images_per_second")
        name = f"{tap['layer']}:{tap['pool']}" if tap else None
        if rate:
            seconds[row.recipe_id] = 1 / rate
        words = "\n".join((row.network, row.dataset, name or "", row.pack_id)).casefold()
        values = {
            "tap": name,
            "words": words,
            "rows_copied": row.provenance.get("rows_copied", 0),
            "row_seconds": seconds.get(row.recipe_id),
        }
        connection.execute(sa.update(_packs).where(_packs.c.pack_id == row.pack_id).values(values))


def _fill_heads(connection: sa.Connection) -> None:
    """One at a time: the metrics of all heads at once may be more than there is memory for."""
    for head_id in connection.execute(sa.select(_heads.c.head_id)).scalars().all():
        mine = _heads.c.head_id == head_id
        metrics = connection.execute(sa.select(_heads.c.metrics).where(mine)).scalar_one()
        accuracy = metrics.get("validation_accuracy")
        connection.execute(sa.update(_heads).where(mine).values(accuracy=accuracy))


def downgrade() -> None:
    op.drop_index("heads_of_pack", table_name="heads")
    op.create_index("ix_heads_pack_id", "heads", ["pack_id"])
    op.drop_column("workers", "byte_limit")
    op.drop_column("heads", "accuracy")
    for name in ("row_seconds", "rows_copied", "words", "tap"):
        op.drop_column("packs", name)
