"""What a pack's rows are like: statistics, and points to draw."""

from __future__ import annotations

import io
from typing import Any, Literal

import httpx
import numpy as np
import numpy.typing as npt

from featurepack.answers import Job
from featurepack.rows import pack_path
from featurepack.transport import json_of
from featurepack.waiting import OnProgress, WaitCalls

PENDING = 202


class PackViewCalls(WaitCalls):
    """What a worker computes of a pack's rows when it is first asked for."""

    def statistics(self, pack_id: str, *, on_progress: OnProgress | None = None) -> dict[str, Any]:
        """Rows of each class and split; zeros, range and mean of the values; the rows' norms.

        Raises:
            NotFound: no such pack.
            Conflict: it is damaged.
        """
        found: dict[str, Any] = json_of(self._made(f"{pack_path(pack_id)}/statistics", on_progress))
        return found

    def pack_map(
        self,
        pack_id: str,
        method: Literal["pca", "tsne"] = "pca",
        *,
        on_progress: OnProgress | None = None,
    ) -> npt.NDArray[Any]:
        """Valid rows as points of the plane: a structured array [N] of x, y, row and label.

        At most 100,000 rows by ``pca`` and 5,000 by ``tsne``; ``label`` is -1 without one.

        Raises:
            NotFound: no such pack.
            Conflict: it is damaged.
            InvalidRequest: another method, or a value is NaN or infinite.
        """
        path = f"{pack_path(pack_id)}/map?method={method}"
        points_N: npt.NDArray[Any] = np.load(io.BytesIO(self._made(path, on_progress).content))
        return points_N

    def _made(self, path: str, on_progress: OnProgress | None) -> httpx.Response:
        """The answer that has it, once a worker has made it."""
        headers = self._patient(on_progress)
        while True:
            response = self._transport.call("GET", path, again=True, headers=headers)
            if response.status_code != PENDING:
                return response
            self.wait(Job.of(json_of(response)), on_progress=on_progress)
