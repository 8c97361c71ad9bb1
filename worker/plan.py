"""What one forward pass over a dataset is to produce, as plain values.

A plan is made from the specs of jobs that share everything but the tap. It can be pickled, and
"compute these spans of this plan" is all that anyone needs to know to help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cache.job import Job
from cache.recipe import Recipe

OnError = Literal["mask", "fail"]


@dataclass(frozen=True)
class PlannedPack:
    """One pack of the pass, and the job that asked for it."""

    pack_id: str
    recipe: Recipe
    job: Job


@dataclass(frozen=True)
class Plan:
    """A forward pass. All recipes agree in everything but the tap and the stored dtype."""

    dataset_id: str
    dataset: dict[str, Any]
    on_error: OnError
    packs: tuple[PlannedPack, ...]

    @property
    def recipe(self) -> Recipe:
        """Any of the recipes: for what they share."""
        return self.packs[0].recipe

    @property
    def layers(self) -> list[str]:
        """Each tapped layer once."""
        return list(dict.fromkeys(pack.recipe.tap.layer for pack in self.packs))


def plan_of(jobs: Sequence[Job]) -> Plan:
    """The plan of jobs that were claimed together."""
    packs = [PlannedPack(j.spec["pack_id"], Recipe.from_dict(j.spec["recipe"]), j) for j in jobs]
    assert len({pack.recipe.forward_id for pack in packs}) == 1
    first = jobs[0].spec
    return Plan(first["dataset_id"], first["dataset"], first["on_error"], tuple(packs))
