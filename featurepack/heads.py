"""Heads: train, compare."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from featurepack.answers import Head
from featurepack.methods import Lab, Params, given
from featurepack.using import UseCalls, head_path
from featurepack.waiting import OnProgress


class HeadCalls(UseCalls):
    """``/v1/heads``."""

    def train(
        self,
        pack_id: str,
        params: Params | None = None,
        *,
        epochs: int | None = None,
        batch: int | None = None,
        rate: float | None = None,
        seed: int | None = None,
        train: str = "train",
        validation: str | None = "validation",
        on_progress: OnProgress | None = None,
    ) -> Head:
        """A head on a pack; one that was trained before is answered at once.

        ``params`` say by which method, with what: ``Lab()``, ``Linear(l2=[1, 10, 100])``,
        ``Ridge()``, ``Knn()``, ``Mlp(hidden=(512,))``, ``Centroid()``. Without them it is the labs'
        recipe, and ``epochs``, ``batch``, ``rate`` and ``seed`` are its settings. What is None is
        the service's default. ``train`` and ``validation`` name splits of the pack;
        ``validation=None`` scores on none.

        Raises:
            NotFound: no such pack or split.
            InvalidRequest: a value that cannot be, features that are NaN, or a split without two
                classes.
            TooLarge: more rows than the method can take.
        """
        lab = Lab(epochs=epochs, batch=batch, rate=rate, seed=seed)
        if params is not None and lab != Lab():
            raise TypeError("epochs, batch, rate and seed belong into params, if there are some")
        chosen = lab if params is None else params
        body = {
            "pack_id": pack_id,
            "method": chosen.method,
            "params": given(chosen),
            "train": train,
            "validation": validation,
        }
        answer = self._transport.json("POST", "/v1/heads", again=True, json=body)
        if answer["object"] == "head":
            return Head.of(answer)
        return self.head(self._result(answer, on_progress)["head_id"])

    def heads(self, *, pack_id: str | None = None, limit: int | None = None) -> list[Head]:
        """Heads, newest first, without what is long in their metrics: ``head`` has all."""
        items = self._transport.items("/v1/heads", limit, pack_id=pack_id)
        return [Head.of(item) for item in items]

    def head(self, head_id: str) -> Head:
        """A head's settings and everything that is known of it. Raises NotFound."""
        return Head.of(self._transport.json("GET", head_path(head_id), again=True))

    def head_weights(self, head_id: str) -> dict[str, npt.NDArray[Any]]:
        """``kind`` and ``classes`` [K] (text), and of a linear head ``weight`` [D, K] and ``bias``
        [K] (float32); docs/heads.md has the other kinds. Raises NotFound.
        """
        response = self._transport.call("GET", f"{head_path(head_id)}/weights", again=True)
        with np.load(io.BytesIO(response.content), allow_pickle=False) as arrays:
            return dict(arrays)
