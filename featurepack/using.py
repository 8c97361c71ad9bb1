"""What networks and heads say of images, and heads as files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Unpack

from featurepack.answers import Job, Prediction
from featurepack.errors import InvalidRequest
from featurepack.files import written_beside
from featurepack.jobs import JobCalls
from featurepack.selection import Selection, Which
from featurepack.transport import BROKEN, json_of, segment
from featurepack.uploads import opened
from featurepack.waiting import OnProgress

EXPORTS: Final = {
    ".npz": "weights?format=npz",
    ".safetensors": "weights?format=safetensors",
    ".onnx": "onnx",
}
"""What a head can be saved as, by the file's ending, and where the service has it."""

PENDING: Final = 202
PIECE_BYTES: Final = 1 << 20


class UseCalls(JobCalls):
    """``/v1/networks/{name}/classify``, and what ``/v1/heads/{id}`` offers beside training."""

    def classify(
        self,
        network: str,
        paths: str | Path | Sequence[str | Path],
        *,
        weights: str = "default",
        top: int = 5,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """The ``top`` most probable of ImageNet's classes, by the frozen network itself.

        ``weights`` as in :meth:`submit`; images go through their official transform.

        Raises:
            NotFound: no such network or weights.
            InvalidRequest: the weights have no classifier of ImageNet's 1,000 classes.
            CorruptData: an image cannot be decoded.
            TooLarge: more than 20,000 classes in one answer.
            OSError: a file cannot be read.
        """
        params = {"top": top, "weights": weights}
        return self._of_images(
            f"/v1/networks/{segment(network)}/classify", params, paths, on_progress
        )

    def predict(
        self,
        head_id: str,
        paths: str | Path | Sequence[str | Path],
        *,
        top: int = 5,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """The ``top`` most probable classes of each image, in the order of ``paths``.

        Raises:
            NotFound: no such head.
            InvalidRequest: its pack was imported, so nobody knows how rows are made.
            CorruptData: an image cannot be decoded.
            TooLarge: more than 20,000 classes in one answer.
            OSError: a file cannot be read.
        """
        return self._of_images(f"{head_path(head_id)}/predict", {"top": top}, paths, on_progress)

    def predict_rows(
        self,
        head_id: str,
        split: str | None = None,
        *,
        top: int = 5,
        on_progress: OnProgress | None = None,
        **which: Unpack[Which],
    ) -> list[Prediction]:
        """The same of rows of the head's pack, without the network; :class:`Which` chooses them.

        A row whose image could not be decoded has no classes.

        Raises:
            NotFound: no such head, split, class or row id; or the head's pack was evicted.
            InvalidRequest: rows that are not there.
            Conflict: the pack is damaged.
            TooLarge: more than 20,000 classes in one answer.
        """
        selection = Selection(split, **which)
        body = selection.parameters()
        if selection.listed is not None:
            body["rows" if selection.rows is not None else "row_id"] = selection.listed
        answer = self._transport.json(
            "POST",
            f"{head_path(head_id)}/predict",
            again=True,
            params={"top": top},
            json=body,
            headers=self._patient(on_progress),
        )
        return self._predictions(answer, on_progress)

    def export_head(
        self, head_id: str, path: str | Path, *, on_progress: OnProgress | None = None
    ) -> Path:
        """A head as a file: ``.npz``, ``.safetensors``, or ``.onnx`` with its network.

        The ONNX file is made by a worker if nobody asked for it lately.

        Raises:
            InvalidRequest: another ending; or, for ONNX, the head's pack was imported.
            NotFound: no such head.
            CorruptData: the head's file is damaged.
            TooLarge: network and head do not fit into one ONNX file.
            OSError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix not in EXPORTS:
            raise InvalidRequest(
                f"{path.name} ends in none of {', '.join(EXPORTS)}",
                value=path.suffix,
                remedy=f"give the file a name that ends in one of {', '.join(EXPORTS)}",
            )
        url = f"{head_path(head_id)}/{EXPORTS[path.suffix]}"
        while (job := self._saved(url, path, on_progress)) is not None:
            self.wait(job, on_progress=on_progress)
        return path

    def _saved(self, url: str, path: Path, on_progress: OnProgress | None) -> Job | None:
        """None when the file is there, or the job that makes it."""
        with self._transport.stream("GET", url, headers=self._patient(on_progress)) as response:
            try:
                if response.status_code == PENDING:
                    response.read()
                    return Job.of(json_of(response))
                with written_beside(path) as beside, beside.open("wb") as file:
                    for piece in response.iter_bytes(PIECE_BYTES):
                        file.write(piece)
            except BROKEN as error:
                raise self._transport.broken(error) from error
        return None

    def _of_images(
        self,
        url: str,
        params: dict[str, Any],
        paths: str | Path | Sequence[str | Path],
        on_progress: OnProgress | None,
    ) -> list[Prediction]:
        if isinstance(paths, str | Path):
            paths = [paths]
        with ExitStack() as stack:
            files = [("file", opened(stack, Path(path))) for path in paths]
            headers = self._patient(on_progress)
            answer = self._transport.json(
                "POST", url, again=False, params=params, files=files, headers=headers
            )
        return self._predictions(answer, on_progress)

    def _predictions(
        self, answer: dict[str, Any], on_progress: OnProgress | None
    ) -> list[Prediction]:
        return [Prediction.of(one) for one in self._result(answer, on_progress)["predictions"]]


def head_path(head_id: str) -> str:
    return f"/v1/heads/{segment(head_id)}"
