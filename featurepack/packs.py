"""Packs: the catalogue and the files."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

from featurepack.answers import Job, Pack
from featurepack.download import download_hdf5, save_npz
from featurepack.errors import InvalidRequest
from featurepack.files import written_beside
from featurepack.local.fetch import OnBytes
from featurepack.pack_views import PackViewCalls
from featurepack.rows import RowCalls, pack_path
from featurepack.uploads import opened, told_of
from featurepack.waiting import OnProgress


class PackCalls(RowCalls, PackViewCalls):
    """``/v1/packs``."""

    def packs(
        self,
        words: str | None = None,
        *,
        network: str | None = None,
        dataset: str | None = None,
        tap: str | None = None,
        recipe_id: str | None = None,
        pinned: bool | None = None,
        sort: str | None = None,
        ascending: bool = False,
        limit: int | None = None,
    ) -> list[Pack]:
        """Cached packs, newest first or by another ``sort``, the largest first.

        Each of ``words`` stands in network, dataset, tap (``layer:pool``) or pack id. ``sort`` is
        created, last_used, hits, bytes, rows, network, dataset, or accuracy (the best head's).
        """
        items = self._transport.items(
            "/v1/packs",
            limit,
            q=words,
            network=network,
            dataset=dataset,
            tap=tap,
            recipe_id=recipe_id,
            pinned=pinned,
            sort=sort,
            order="asc" if ascending else None,
        )
        return [Pack.of(item) for item in items]

    def delete_pack(self, pack_id: str) -> None:
        """Delete a pack and the heads trained on it. Raises NotFound."""
        self._transport.call("DELETE", pack_path(pack_id), again=True, done=404)

    def pin(self, pack_id: str) -> Pack:
        """Keep a pack for good: it is never evicted to make room. Raises NotFound."""
        return Pack.of(self._transport.json("PUT", f"{pack_path(pack_id)}/pin", again=True))

    def unpin(self, pack_id: str) -> Pack:
        """Let a pack go when room is needed and it was not used for long. Raises NotFound."""
        return Pack.of(self._transport.json("DELETE", f"{pack_path(pack_id)}/pin", again=True))

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
            features = self.pack_features(pack_id, on_bytes=on_bytes)
            save_npz(path, pack, features, self.index(pack_id))
            return path
        mapped = None if self._cache is None else self._cache.settled(pack)
        if mapped is None:
            download_hdf5(self._transport, pack, path, on_bytes)
        else:
            with written_beside(path) as beside:
                shutil.copyfile(mapped.path, beside)
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
            "POST",
            f"{pack_path(pack_id)}/verify",
            again=True,
            params={} if rows is None else {"rows": rows},
        )
        return self.wait(Job.of(answer), on_progress=on_progress)

    def import_pack(
        self,
        network: str,
        dataset: str,
        train: str | Path,
        validation: str | Path | None = None,
        *,
        private: bool = False,
        on_progress: OnProgress | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Pack:
        """Take in the labs' bottleneck pickles as a pack whose recipe is unknown.

        ``on_bytes`` hears how much is sent, of how much.

        Raises:
            InvalidRequest: the files hold anything but matching features and labels.
            OSError: a file cannot be read.
        """
        paths = {"train": train} | ({} if validation is None else {"validation": validation})
        with ExitStack() as stack:
            files = [(part, opened(stack, Path(path))) for part, path in paths.items()]
            form = {"network": network, "dataset": dataset}
            form |= {"private": "true"} if private else {}
            answer = self._transport.json(
                "POST",
                "/v1/packs/import",
                again=False,
                data=form,
                files=told_of(files, on_bytes),
                headers=self._patient(on_progress),
            )
        if answer["object"] == "pack":
            return Pack.of(answer)
        return self.pack(self._result(answer, on_progress)["pack_id"])
