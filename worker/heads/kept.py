"""What is needed to use a head: its file, and how rows for it are made."""

from __future__ import annotations

from cache.errors import CorruptData, InvalidRequest
from cache.recipe import Recipe
from cache.rows import HeadRow
from cache.sight import EVERYTHING
from worker.context import Context
from worker.heads.file import Head, load


def load_head(context: Context, head_id: str) -> Head:
    """The trained head. One whose file is damaged is forgotten: train it again.

    Raises:
        CorruptData: its file is damaged or gone.
        Unavailable: the store is gone.
    """
    try:
        return load(context.store.head(head_id))
    except (FileNotFoundError, CorruptData) as error:
        context.store.check()
        context.catalogue.forget_head(head_id)
        raise CorruptData(
            f"the file of head {head_id} is damaged or gone",
            value=head_id,
            remedy="train the head again; nothing else is lost",
        ) from error


def recipe_of(context: Context, head: HeadRow) -> Recipe:
    """How images become rows for this head, whether its pack is still there or not.

    Raises:
        InvalidRequest: the head's pack was imported, so nobody knows how its rows were made.
        NotFound: the pack was evicted, and the head is from before heads kept their recipe.
    """
    recipe = head.recipe or context.catalogue.find_pack(head.pack_id, EVERYTHING).recipe
    if recipe.get("imported"):
        raise InvalidRequest(
            f"the recipe of pack {head.pack_id} is unknown: it was imported",
            value=head.head_id,
            remedy="train a head on a pack that was extracted here",
        )
    return Recipe.from_dict(recipe)
