"""heads know their pack's recipe"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("heads", sa.Column("recipe", sa.JSON(none_as_null=True), nullable=True))
    # Where the pack is still there; heads of evicted packs keep none.
    op.execute(
        "UPDATE heads SET recipe = "
        "(SELECT packs.recipe FROM packs WHERE packs.pack_id = heads.pack_id)"
    )


def downgrade() -> None:
    with op.batch_alter_table("heads", schema=None) as batch_op:
        batch_op.drop_column("recipe")
