"""A study's request → its cells, every combination checked before anything is queued.

A cell is one head: a pack, a method with its parameters, the splits. It is kept as plain values,
with the words by which people know it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cache.dataset import Manifest
from cache.errors import FeaturepackError, InvalidRequest, NotFound, TooLarge
from cache.head_ids import ASKED
from cache.identity import blake2b_hex, canonical_json
from cache.job import NewJob
from cache.recipe import Recipe
from cache.rows import StudyRow
from cache.sight import SHARED
from service.caller import Caller
from service.head_requests import MethodRequest
from service.resolve import Wanted, resolve
from service.schemas import JobRequest
from service.state import State
from service.study_requests import NetworkEntry, StudyRequest
from service.submitting import extraction

MOST_CELLS = 500
"""So many heads are compared at most; each answer about a study looks at all of them."""

Cell = dict[str, Any]


@dataclass
class Planned:
    """The cells, and how each of their packs is built."""

    train: str
    validation: str
    cells: list[Cell] = field(default_factory=list)
    packs: dict[str, tuple[Wanted, Recipe, NewJob]] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)

    def add(
        self,
        state: State,
        caller: Caller,
        request: JobRequest,
        label: str,
        methods: Iterable[MethodRequest],
        subsets: Iterable[dict[str, Any] | None] = (None,),
    ) -> None:
        """The cells of a network on a dataset.

        Raises:
            FeaturepackError: as ``resolve``, with the names of the two; or the dataset's splits
                do not fit.
        """
        try:
            wanted = resolve(state, caller, request)
            classes = self._checked_classes(state, wanted)
        except FeaturepackError as error:
            raise type(error)(
                f"{request.network} on {request.dataset}: {error.message}",
                value=error.value,
                remedy=error.remedy,
            ) from error
        for recipe in wanted.recipes:
            pack_id = wanted.pack_id(recipe)
            self.packs[pack_id] = wanted, recipe, extraction(state, wanted, recipe, request, caller)
            about = {
                "network": label,
                "tap": _tap_label(recipe),
                "dataset": _dataset_label(wanted),
                "classes": classes,
            }
            self._add_heads(about | {"pack_id": pack_id}, methods, subsets)

    def _add_heads(
        self, about: Cell, methods: Iterable[MethodRequest], subsets: Iterable[Any]
    ) -> None:
        splits = {"train": self.train, "validation": self.validation}
        for method in methods:
            for subset in subsets:
                part = {} if subset is None else {"subset": subset}
                cell = about | method.model_dump(exclude_none=True) | splits | part
                if cell not in self.cells:
                    self.cells.append(cell)
        if len(self.cells) > MOST_CELLS:
            raise TooLarge(
                f"the study has more than {MOST_CELLS} cells",
                value=len(self.cells),
                remedy="compare fewer networks, taps, datasets or methods at once",
            )

    def _checked_classes(self, state: State, wanted: Wanted) -> int:
        """How many classes train has. Raises FeaturepackError: the splits are not fit for heads."""
        manifest = self._manifest(state, wanted)
        for split in (self.train, self.validation):
            if split not in manifest.splits:
                raise NotFound(
                    f"there is no split {split!r}",
                    value=split,
                    remedy=f"use one of: {', '.join(manifest.splits)}; or view.validation, which "
                    "splits one off train",
                )
        learned = manifest.class_counts(self.train)
        classes = sum(count > 0 for count in learned)
        if classes < 2:
            raise InvalidRequest(
                f"split {self.train!r} has labelled images of fewer than two classes",
                value=self.train,
                remedy="train on a split with at least two classes",
            )
        scored = manifest.class_counts(self.validation)
        if not any(scored):
            raise InvalidRequest(
                f"split {self.validation!r} has no labelled images",
                value=self.validation,
                remedy="score on a split with labelled images",
            )
        unknown = [
            name
            for name, have, asked in zip(manifest.classes, learned, scored, strict=True)
            if asked and not have
        ]
        if unknown:
            raise InvalidRequest(
                f"split {self.validation!r} has classes that {self.train!r} lacks: "
                f"{', '.join(unknown[:5])}",
                value=unknown,
                remedy="train on a split with every class",
            )
        return classes

    def _manifest(self, state: State, wanted: Wanted) -> Manifest:
        dataset_id = wanted.images.dataset_id
        if dataset_id not in self.manifests:
            self.manifests[dataset_id] = wanted.manifest(state.store)
        return self.manifests[dataset_id]

    def row(self, kind: str, caller: Caller) -> StudyRow:
        """The study; its id follows from its heads, whatever their order.

        One that is about a private pack is private.

        Raises:
            InvalidRequest: it is about private packs of several teams.
        """
        spaces = {wanted.space for wanted, _, _ in self.packs.values()} - {SHARED}
        if len(spaces) > 1:
            raise InvalidRequest(
                "the study is about private data of several teams",
                value=sorted(spaces),
                remedy="compare what one team may see",
            )
        asked = sorted(canonical_json(head_spec(cell)).decode() for cell in self.cells)
        study_id = blake2b_hex(canonical_json([kind, asked]))[:24]
        space = next(iter(spaces), SHARED)
        return StudyRow(study_id, kind, self.cells, {}, space=space, team=caller.team)


def head_spec(cell: Cell) -> dict[str, Any]:
    """What the cell's head is asked for by."""
    return {name: cell[name] for name in ASKED if name in cell}


def planned(state: State, caller: Caller, request: StudyRequest) -> Planned:
    """Raises FeaturepackError: as :meth:`Planned.add`; nothing was queued."""
    plan = Planned(request.train, request.validation)
    labels = _labels(request.networks)
    for entry, label in zip(request.networks, labels, strict=True):
        for dataset in request.datasets:
            asked = entry.on(dataset, request)
            plan.add(state, caller, asked, label, request.methods)
    return plan


def _labels(entries: list[NetworkEntry]) -> list[str]:
    """The networks' names, with what tells apart those that occur several times."""
    named = [entry.network for entry in entries]
    labels = []
    for entry in entries:
        extra = []
        if named.count(entry.network) > 1:
            given = entry.model_dump(exclude_unset=True, exclude_none=True)
            extra = [
                f"{name}={canonical_json(given[name]).decode()}".replace('"', "")
                for name in ("weights", "transform", "numerics")
                if name in given
            ]
        labels.append(" ".join([entry.network, *extra]))
    return labels


def _tap_label(recipe: Recipe) -> str:
    pool = recipe.tap.pool
    return recipe.tap.layer if pool == "none" else f"{recipe.tap.layer}:{pool}"


def _dataset_label(wanted: Wanted) -> str:
    """``digits@1``, with what is given of a view."""
    view = wanted.view.as_dict() if not wanted.view.is_whole else {}
    given = [f"{name}={value}" for name, value in view.items() if value]
    return " ".join([f"{wanted.row.name}@{wanted.row.version}", *given])
