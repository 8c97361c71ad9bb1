"""Networks, datasets and checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from featurepack.answers import Checkpoint, Dataset, Network
from featurepack.errors import InvalidRequest, NotFound
from featurepack.jobs import JobCalls
from featurepack.local.fetch import OnBytes
from featurepack.transport import segment
from featurepack.uploads import opened, opened_images, told_of
from featurepack.waiting import OnProgress

Source = Mapping[str, Any] | str | Path

BUILTIN = ("digits",)


def source_of(source: Source) -> dict[str, Any]:
    """A source's short form as the service wants it.

    A mapping is taken as it is; ``"digits"`` is built in; a ``Path``, or text with a slash, is a
    folder below the operator's data root; other text is the name of a torchvision dataset.
    """
    if isinstance(source, Mapping):
        return dict(source)
    if isinstance(source, Path) or "/" in source or os.sep in source:
        return {"kind": "folder", "path": Path(source).as_posix()}
    return {"kind": "builtin" if source in BUILTIN else "torchvision", "name": source}


class DatasetCalls(JobCalls):
    """``/v1/networks``, ``/v1/datasets`` and ``/v1/weights``."""

    def networks(self) -> list[Network]:
        """Every network that can be extracted, without its layers."""
        return [Network.of(item) for item in self._transport.items("/v1/networks")]

    def network(self, name: str) -> Network:
        """One network with the layers that can be tapped. Raises NotFound."""
        path = f"/v1/networks/{segment(name)}"
        return Network.of(self._transport.json("GET", path, again=True))

    def datasets(self, *, limit: int | None = None) -> list[Dataset]:
        """The newest version of every dataset."""
        return [Dataset.of(item) for item in self._transport.items("/v1/datasets", limit)]

    def dataset(self, name: str) -> Dataset:
        """A dataset by name (its newest version) or by ``name@version``. Raises NotFound."""
        return Dataset.of(self._transport.json("GET", _path(name), again=True))

    def add_dataset(
        self,
        name: str,
        source: Source,
        *,
        private: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Register images that the service can reach by itself; see :func:`source_of`.

        A ``private`` dataset, and all that is made of it, is seen by one's own team alone.

        Raises:
            Forbidden: the name is another team's.
            NotFound, InvalidRequest, CorruptData, TooLarge: the source is not what it should be.
        """
        body = {"name": name, "source": source_of(source)} | ({"private": True} if private else {})
        answer = self._transport.json(
            "POST", "/v1/datasets", again=False, json=body, headers=self._patient(on_progress)
        )
        return self._registered(answer, on_progress)

    def upload_dataset(
        self,
        name: str,
        paths: str | Path | Sequence[str | Path],
        *,
        private: bool = False,
        on_progress: OnProgress | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Dataset:
        """Upload images: an archive (``.zip``, ``.tar``, ``.tar.gz``), a folder, or files of
        arrays (``.npz``, ``.h5``, pickles). ``private`` as for :meth:`add_dataset`. ``on_bytes``
        hears how much is sent, of how much.

        Raises:
            Forbidden: the name is another team's.
            InvalidRequest, CorruptData, TooLarge: the images are not what they should be.
            OSError: a file cannot be read.
        """
        if isinstance(paths, str | Path):
            paths = [paths]
        with ExitStack() as stack:
            files = [("file", opened_images(stack, Path(path))) for path in paths]
            if not files:
                raise InvalidRequest("no file was given", remedy="give at least one")
            answer = self._transport.json(
                "POST",
                "/v1/datasets",
                again=False,
                data={"name": name} | ({"private": "true"} if private else {}),
                files=told_of(files, on_bytes),
                headers=self._patient(on_progress),
            )
        return self._registered(answer, on_progress)

    def _registered(self, answer: dict[str, Any], on_progress: OnProgress | None) -> Dataset:
        if answer.get("object") != "job":
            return Dataset.of(answer)
        result = self._result(answer, on_progress)
        return DatasetCalls.dataset(self, f"{result['dataset']}@{result['version']}")

    def delete_dataset(self, name: str) -> None:
        """Forget all versions of a dataset; its packs stay.

        Raises:
            NotFound: no such dataset.
            Conflict: it is being extracted.
        """
        self._transport.call("DELETE", _path(name), again=True, done=404)

    def weights(self, *, limit: int | None = None) -> list[Checkpoint]:
        """Uploaded checkpoints."""
        return [Checkpoint.of(item) for item in self._transport.items("/v1/weights", limit)]

    def upload_weights(
        self,
        network: str,
        path: str | Path,
        *,
        on_progress: OnProgress | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Checkpoint:
        """Upload a state dict (``.pth``) or ``.safetensors`` for a network.

        ``on_bytes`` hears how much is sent, of how much.

        Raises:
            NotFound: no such network.
            InvalidRequest, CorruptData: it is no checkpoint of that network.
            OSError: the file cannot be read.
        """
        with ExitStack() as stack:
            answer = self._transport.json(
                "POST",
                "/v1/weights",
                again=False,
                data={"network": network},
                files=told_of([("file", opened(stack, Path(path)))], on_bytes),
                headers=self._patient(on_progress),
            )
        if answer.get("object") != "job":
            return Checkpoint.of(answer)
        uploaded = self._result(answer, on_progress)["weights"]
        name = self.network(network).name
        for checkpoint in self.weights():
            if (checkpoint.weights, checkpoint.network) == (uploaded, name):
                return checkpoint
        raise NotFound(f"{uploaded} is gone", value=uploaded, remedy="upload it again")


def _path(name: str) -> str:
    return f"/v1/datasets/{segment(name, safe='@')}"
