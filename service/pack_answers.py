"""What goes out of many packs at once: lists, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from cache.pack_listing import BestHead, PackPage
from service.answers import Listing, PackBrief, pack_fields


class BestHeadAnswer(BaseModel):
    """The head of a pack that is right most often on its validation split."""

    head_id: str
    method: str
    accuracy: float


class ListedPack(PackBrief):
    """A pack in a list. ``GET /v1/packs/{id}`` has recipe, classes and provenance besides."""

    best_head: BestHeadAnswer | None


class PackListing(Listing[ListedPack]):
    """A page of packs; ``total`` is how many pass the filters."""

    total: int

    @classmethod
    def of(cls, page: PackPage, best: Mapping[str, BestHead]) -> PackListing:
        items = []
        for row in page.items:
            head = best.get(row.pack_id)
            told = BestHeadAnswer(**vars(head)) if head else None
            items.append(ListedPack(**pack_fields(row), best_head=told))
        return cls(items=items, next_cursor=page.next_cursor, total=page.total)
