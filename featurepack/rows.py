"""Rows of packs as arrays: from the pack that is here, or over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from featurepack.answers import Index, Pack
from featurepack.arrays import RAW, Opened, read_rows
from featurepack.jobs import JobCalls
from featurepack.local.cache import LocalCache
from featurepack.local.fetch import OnBytes, Replaced
from featurepack.local.mapped import Mapped
from featurepack.selection import Chosen, Numbers, Selection, Which
from featurepack.transport import segment

LISTED_ROWS = 100_000
"""Most rows that one request may list."""

FEW = 4
"""A selection of less than a quarter of a pack does not bring the whole pack here."""

Labels = npt.NDArray[np.int64]


class RowCalls(JobCalls):
    """Rows of packs.

    Features come from the pack's file in the local cache, as read-only memory maps: views of it
    where rows follow each other (a split, ``start``, ``stop``, ``step``), copies else. What is not
    in the cache yet is brought there, all of it, by the first call for the pack, a split of it, or
    at least a quarter of its rows (of classes, as if all were equally large). Calls for less are
    answered over the wire, and so is everything with ``cache=False``: as arrays of their own.
    """

    _cache: LocalCache | None

    def pack(self, pack_id: str) -> Pack:
        """One pack with its recipe, shape and provenance. Raises NotFound."""
        return Pack.of(self._transport.json("GET", pack_path(pack_id), again=True))

    def pack_features(
        self,
        pack_id: str,
        split: str | None = None,
        *,
        on_bytes: OnBytes | None = None,
        **which: Unpack[Which],
    ) -> npt.NDArray[Any]:
        """Features [N, D] or [N, C, H, W], float32 or float16 as the pack stores them.

        :class:`Which` says how rows are chosen. Rows of images that could not be decoded are
        zero. ``on_bytes`` hears how much of a pack that is fetched is there, of how much.

        Raises:
            NotFound: no such pack, split, class or row id.
            Conflict: the pack is damaged; its ``problem`` says how.
            InvalidRequest: rows that are not there.
            ConnectionFailed, CorruptData: the transfer failed.
            DiskFull, OSError: the local cache cannot take it.
        """
        selection = Selection(split, **which)
        if self._cache is None:
            return self._sent_features(pack_id, selection)
        pack, mapped = self._map(self.pack(pack_id), selection, on_bytes)
        if mapped is None:
            return self._sent_features(pack_id, selection)
        return mapped.features[self._chosen(pack, mapped, selection)]

    def labels(self, pack_id: str, split: str | None = None, **which: Unpack[Which]) -> Labels:
        """Labels [N] int64 of the same rows; -1 is unlabelled. Raises as :meth:`pack_features`."""
        selection = Selection(split, **which)
        pack, mapped = self._found(pack_id)
        if pack is None or mapped is None:
            return self._sent_labels(pack_id, selection)
        return mapped.labels_N[self._chosen(pack, mapped, selection)]

    def rows(self, pack_id: str, rows: Numbers) -> npt.NDArray[Any]:
        """Features of the pack's rows with these numbers, in this order, repeats allowed.

        Raises:
            NotFound: no such pack.
            InvalidRequest: a row that is not there.
        """
        return self.pack_features(pack_id, rows=rows)

    def index(self, pack_id: str, split: str | None = None, **which: Unpack[Which]) -> Index:
        """What the rows are: ids, labels, hashes, validity. Raises as :meth:`pack_features`."""
        selection = Selection(split, **which)
        pack, mapped = self._found(pack_id)
        if pack is not None and mapped is not None:
            return self._whole_index(pack).take(self._chosen(pack, mapped, selection))
        if selection.listed is None:
            params = selection.parameters()
            return Index.of(
                self._transport.json(
                    "GET", f"{pack_path(pack_id)}/index", again=True, params=params
                )
            )
        pack = pack or self.pack(pack_id)
        whole = self.index(pack_id)
        chosen = selection.of(pack, whole.label_N, whole.valid_N, lambda: whole.row_id_N)
        return whole.take(chosen)

    def _features_and_labels(
        self, pack: Pack, selection: Selection, on_bytes: OnBytes | None
    ) -> tuple[npt.NDArray[Any], Labels]:
        pack, mapped = self._map(pack, selection, on_bytes)
        if mapped is None:
            sent = self._sent_features(pack.pack_id, selection)
            return sent, self._sent_labels(pack.pack_id, selection)
        chosen = self._chosen(pack, mapped, selection)
        return mapped.features[chosen], mapped.labels_N[chosen]

    def _chosen(self, pack: Pack, mapped: Mapped, selection: Selection) -> Chosen:
        def row_ids() -> Sequence[str]:
            return self._whole_index(pack).row_id_N

        return selection.of(pack, mapped.labels_N, mapped.valid_N, row_ids)

    def _whole_index(self, pack: Pack) -> Index:
        def ask() -> bytes:
            path = f"{pack_path(pack.pack_id)}/index"
            return self._transport.call("GET", path, again=True).content

        assert self._cache is not None
        return Index.of(self._cache.index(pack, ask))

    def _found(self, pack_id: str) -> tuple[Pack | None, Mapped | None]:
        """A pack and, if it is in the cache, its map; the catalogue tells which file is its."""
        if self._cache is None:
            return None, None
        pack = self.pack(pack_id)
        return pack, self._cache.find(pack)

    def _map(
        self, pack: Pack, selection: Selection, on_bytes: OnBytes | None
    ) -> tuple[Pack, Mapped | None]:
        """The map of a pack that is in the cache, or that so many of its rows make worth fetching.

        The pack is another one where it was replaced meanwhile.
        """
        if self._cache is None:
            return pack, None
        if not (self._is_worth_it(pack, selection) and self._cache.fits(pack)):
            return pack, self._cache.find(pack)
        try:
            return pack, self._cache.get(self._transport, pack, on_bytes)
        except Replaced:
            pack = self.pack(pack.pack_id)
            return pack, self._cache.get(self._transport, pack, on_bytes)

    @staticmethod
    def _is_worth_it(pack: Pack, selection: Selection) -> bool:
        """A damaged pack is not: the service says what is wrong with it."""
        many = selection.is_span or selection.at_most(pack) * FEW >= pack.rows
        return many and pack.problem is None

    def _sent_features(self, pack_id: str, selection: Selection) -> npt.NDArray[Any]:
        """Features over the wire, in several requests where one may not list so many rows."""
        path, params = pack_path(pack_id), selection.parameters()
        listed = selection.listed
        if listed is not None and len(listed) > LISTED_ROWS and selection.sample is not None:
            selection = Selection(rows=self.index(pack_id, **vars(selection)).row_N)
            listed, params = selection.listed, {}
        if listed is not None:
            name = "rows" if selection.rows is not None else "row_id"
            parts = [
                self._listed(path, params, name, listed[first : first + LISTED_ROWS])
                for first in range(0, max(1, len(listed)), LISTED_ROWS)
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        return self._slice(f"{path}/features", selection)

    def _listed(
        self, path: str, params: dict[str, Any], name: str, rows: list[Any]
    ) -> npt.NDArray[Any]:
        """Rows that are listed; where nothing filters them a broken transfer goes on."""

        def open_from(done: int) -> Opened:
            body = params | {name: rows[done:]}
            return self._transport.stream("POST", f"{path}/rows", json=body, headers=RAW)

        return read_rows(self._transport, open_from, resumable=not params)

    def _slice(self, path: str, selection: Selection) -> npt.NDArray[Any]:
        params = selection.parameters()
        step = selection.step or 1

        def open_from(done: int) -> Opened:
            start = (selection.start or 0) + done * step
            resumed = params | {"start": start} if done else params
            return self._transport.stream("GET", path, params=resumed, headers=RAW)

        return read_rows(self._transport, open_from, resumable=selection.is_plain)

    def _sent_labels(self, pack_id: str, selection: Selection) -> Labels:
        path = f"{pack_path(pack_id)}/labels"
        if selection.listed is None:
            return self._slice(path, selection)
        if selection.row_id is None and not selection.parameters():
            everything: Labels = self._slice(path, Selection())
            return everything[selection.numbers(len(everything))]
        return self.index(pack_id, **vars(selection)).label_N


def pack_path(pack_id: str) -> str:
    return f"/v1/packs/{segment(pack_id)}"
