"""Heads: train, compare."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from featurepack.answers import Head
from featurepack.using import UseCalls, head_path
from featurepack.waiting import OnProgress


class HeadCalls(UseCalls):
    """``/v1/heads``."""

    def train(
        self,
        pack_id: str,
        *,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float | None = None,
        seed: int | None = None,
        train: str = "train",
        validation: str | None = "validation",
        on_progress: OnProgress | None = None,
    ) -> Head:
        """A softmax head by the labs' recipe; one that was trained before is answered at once.

        ``train`` and ``validation`` name splits of the pack; ``validation=None`` looks at none.
        Other values that are None are the service's defaults: 50 epochs, batch 256, rate 0.001,
        seed 0.

        Raises:
            NotFound: no such pack or split.
            InvalidRequest: a value that cannot be, or a split without two classes.
        """
        given = {"epochs": epochs, "batch": batch, "rate": rate, "seed": seed}
        body = {
            "pack_id": pack_id,
            "params": {name: value for name, value in given.items() if value is not None},
            "train": train,
            "validation": validation,
        }
        answer = self._transport.json("POST", "/v1/heads", again=True, json=body)
        if answer["object"] == "head":
            return Head.of(answer)
        return self.head(self._result(answer, on_progress)["head_id"])

    def heads(self, *, pack_id: str | None = None, limit: int | None = None) -> list[Head]:
        """Heads, newest first."""
        items = self._transport.items("/v1/heads", limit, pack_id=pack_id)
        return [Head.of(item) for item in items]

    def head(self, head_id: str) -> Head:
        """A head's settings, scores and learning curves. Raises NotFound."""
        return Head.of(self._transport.json("GET", head_path(head_id), again=True))

    def head_weights(self, head_id: str) -> dict[str, npt.NDArray[Any]]:
        """``weight`` [D, K] and ``bias`` [K] (float32), ``classes`` [K] (text). Raises NotFound."""
        response = self._transport.call("GET", f"{head_path(head_id)}/weights", again=True)
        with np.load(io.BytesIO(response.content), allow_pickle=False) as arrays:
            return dict(arrays)
