"""Packs: the catalogue, their rows as arrays, their files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featurepack.answers import Index, Job, Pack
from featurepack.arrays import RAW, Opened, read_rows
from featurepack.download import OnBytes, download_hdf5, save_npz
from featurepack.errors import InvalidRequest
from featurepack.jobs import JobCalls
from featurepack.transport import segment
from featurepack.uploads import opened
from featurepack.waiting import OnProgress

LISTED_ROWS = 100_000
"""Most rows that one request may list."""


class PackCalls(JobCalls):
    """``/v1/packs``. A ``label`` is a class's name, or its number where no class has that name."""

    def packs(
        self,
        *,
        network: str | None = None,
        dataset: str | None = None,
        recipe_id: str | None = None,
        limit: int | None = None,
    ) -> list[Pack]:
        """Cached packs, newest first."""
        items = self._transport.items(
            "/v1/packs", limit, network=network, dataset=dataset, recipe_id=recipe_id
        )
        return [Pack.of(item) for item in items]

    def pack(self, pack_id: str) -> Pack:
        """One pack with its recipe, shape and provenance. Raises NotFound."""
        return Pack.of(self._transport.json("GET", _path(pack_id), again=True))

    def delete_pack(self, pack_id: str) -> None:
        """Delete a pack and the heads trained on it. Raises NotFound."""
        self._transport.call("DELETE", _path(pack_id), again=True, done=404)

    def pin(self, pack_id: str) -> Pack:
        """Keep a pack for good: it is never evicted to make room. Raises NotFound."""
        return Pack.of(self._transport.json("PUT", f"{_path(pack_id)}/pin", again=True))

    def unpin(self, pack_id: str) -> Pack:
        """Let a pack go when room is needed and it was not used for long. Raises NotFound."""
        return Pack.of(self._transport.json("DELETE", f"{_path(pack_id)}/pin", again=True))

    def pack_features(
        self,
        pack_id: str,
        split: str | None = None,
        *,
        start: int | None = None,
        stop: int | None = None,
        label: str | int | None = None,
    ) -> npt.NDArray[Any]:
        """Features [N, D] or [N, C, H, W], float32 or float16 as the pack stores them.

        ``start`` and ``stop`` count within ``split`` if one is given, else within the pack. Rows
        of images that could not be decoded are zero.

        Raises:
            NotFound: no such pack, split or class.
            Conflict: the pack is damaged; its ``problem`` says how.
            InvalidRequest: rows that are not there.
            ConnectionFailed, CorruptData: the transfer failed.
        """
        return self._slice(pack_id, "features", split, start, stop, label)

    def labels(
        self,
        pack_id: str,
        split: str | None = None,
        *,
        start: int | None = None,
        stop: int | None = None,
        label: str | int | None = None,
    ) -> npt.NDArray[np.int64]:
        """Labels [N] int64 of the same rows; -1 is unlabelled. Raises as :meth:`pack_features`."""
        return self._slice(pack_id, "labels", split, start, stop, label)

    def _slice(
        self,
        pack_id: str,
        what: str,
        split: str | None,
        start: int | None,
        stop: int | None,
        label: str | int | None,
    ) -> npt.NDArray[Any]:
        params = _selection(split=split, start=start, stop=stop, label=label)

        def open_from(done: int) -> Opened:
            resumed = params | {"start": (start or 0) + done} if done else params
            return self._transport.stream(
                "GET", f"{_path(pack_id)}/{what}", params=resumed, headers=RAW
            )

        return read_rows(self._transport, open_from, resumable=label is None)

    def rows(
        self, pack_id: str, rows: Sequence[int] | npt.NDArray[np.integer[Any]]
    ) -> npt.NDArray[Any]:
        """Features of the pack's rows with these numbers, in this order, repeats allowed.

        Raises:
            NotFound: no such pack.
            InvalidRequest: a row that is not there.
        """
        wanted = [int(row) for row in rows]
        parts = [
            self._listed(pack_id, wanted[first : first + LISTED_ROWS])
            for first in range(0, max(1, len(wanted)), LISTED_ROWS)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _listed(self, pack_id: str, rows: list[int]) -> npt.NDArray[Any]:
        def open_from(done: int) -> Opened:
            body = {"rows": rows[done:]}
            return self._transport.stream("POST", f"{_path(pack_id)}/rows", json=body, headers=RAW)

        return read_rows(self._transport, open_from)

    def index(
        self,
        pack_id: str,
        split: str | None = None,
        *,
        start: int | None = None,
        stop: int | None = None,
        label: str | int | None = None,
    ) -> Index:
        """What the rows are: ids, labels, hashes, validity. Raises as :meth:`pack_features`."""
        params = _selection(split=split, start=start, stop=stop, label=label)
        path = f"{_path(pack_id)}/index"
        return Index.of(self._transport.json("GET", path, again=True, params=params))

    def download(self, pack_id: str, path: str | Path, *, on_bytes: OnBytes | None = None) -> Path:
        """A pack as a file: ``.h5`` as the service keeps it, or ``.npz``.

        An HDF5 download that broke leaves ``*.part`` beside ``path`` and goes on from there the
        next time. ``on_bytes`` hears how many bytes are there, of how many.

        Raises:
            InvalidRequest: another suffix.
            NotFound: no such pack.
            ConnectionFailed, CorruptData: the transfer failed.
        """
        path = Path(path)
        if path.suffix not in (".h5", ".hdf5", ".npz"):
            raise InvalidRequest(
                f"{path.name} is neither .h5 nor .npz",
                value=path.suffix,
                remedy="give the file a name that ends in .h5 or .npz",
            )
        pack = self.pack(pack_id)
        if path.suffix == ".npz":
            save_npz(path, pack, self.pack_features(pack_id), self.index(pack_id))
        else:
            download_hdf5(self._transport, pack, path, on_bytes)
        return path

    def verify(
        self, pack_id: str, rows: int | None = None, *, on_progress: OnProgress | None = None
    ) -> Job:
        """Have a worker hash a pack again, and extract so many of its ``rows`` again.

        The job's ``result`` has ``shards`` and ``rows_checked``. A pack that fails is not served
        any more; its next submission builds it anew.

        Raises:
            NotFound: no such pack, or its images are gone, so no row can be extracted again.
            InvalidRequest: ``rows`` is below 1, or the pack was imported.
            CorruptData: it is damaged; the error says where.
        """
        answer = self._transport.json(
            "POST", f"{_path(pack_id)}/verify", again=True, params=_selection(rows=rows)
        )
        return self.wait(Job.of(answer), on_progress=on_progress)

    def import_pack(
        self,
        network: str,
        dataset: str,
        train: str | Path,
        validation: str | Path | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> Pack:
        """Take in the labs' bottleneck pickles as a pack whose recipe is unknown.

        Raises:
            InvalidRequest: the files hold anything but matching features and labels.
            OSError: a file cannot be read.
        """
        paths = {"train": train} | ({} if validation is None else {"validation": validation})
        with ExitStack() as stack:
            files = [(part, opened(stack, Path(path))) for part, path in paths.items()]
            form = {"network": network, "dataset": dataset}
            answer = self._transport.json(
                "POST",
                "/v1/packs/import",
                again=False,
                data=form,
                files=files,
                headers=self._patient(on_progress),
            )
        if answer["object"] == "pack":
            return Pack.of(answer)
        return self.pack(self._result(answer, on_progress)["pack_id"])


def _path(pack_id: str) -> str:
    return f"/v1/packs/{segment(pack_id)}"


def _selection(**given: str | int | None) -> dict[str, str | int]:
    return {name: value for name, value in given.items() if value is not None}
