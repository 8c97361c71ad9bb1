"""Comparing networks, layers and methods; and asking what to do with a dataset."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar, Unpack

from featurepack.comparison import Advice, Study, StudyBrief
from featurepack.errors import FeaturepackError, JobCancelled, TimedOut, from_problem
from featurepack.heads import HeadCalls
from featurepack.jobs import How
from featurepack.methods import Params, given
from featurepack.transport import segment
from featurepack.waiting import SHORTEST_POLL, Patience

Listed = str | Mapping[str, Any]
"""A name, or an object as ``POST /v1/studies`` describes it."""

MethodLike = str | Params | Mapping[str, Any]
"""``"knn"``, ``Knn(k=5)`` or ``{"method": "knn", "params": {"k": 5}}``."""


class Followed(Protocol):
    @property
    def is_final(self) -> bool: ...

    @property
    def state(self) -> str: ...

    @property
    def progress(self) -> dict[str, Any]: ...


Long = TypeVar("Long", bound=Followed)

WATCHED_SECONDS = 1
"""How long the service holds an answer back where somebody watches."""


class StudyCalls(HeadCalls):
    """``/v1/studies`` and ``/v1/advice``."""

    def study(
        self,
        networks: Listed | Sequence[Listed],
        datasets: Listed | Sequence[Listed],
        methods: MethodLike | Sequence[MethodLike] = "linear",
        *,
        train: str = "train",
        validation: str = "validation",
        priority: int = 0,
        private: bool = False,
        timeout: float | None = None,
        on_progress: Callable[[Study], None] | None = None,
    ) -> Study:
        """Every network on every dataset by every method: queued, waited for, compared.

        A network is a name or ``{"network", "weights", "tap" or "taps", "transform", "numerics"}``,
        a dataset a name, name@version or ``{"dataset", "view"}``, a method a name or ``Knn(k=5)``.
        With ``private`` what is made of shared datasets is one's own team's, too. What is there is
        not made again, and the same study twice is one study. Cells may have
        failed: ``state`` says so, and each cell why.

        Raises:
            NotFound, InvalidRequest, TooLarge: one of the combinations cannot be; nothing was
                queued.
            TimedOut: it did not end within ``timeout`` seconds; it goes on.
            Unavailable: the service was away for a minute.
        """
        body = {
            "networks": _several(networks),
            "datasets": _several(datasets),
            "methods": [_method(one) for one in _several(methods)],
            "train": train,
            "validation": validation,
            "priority": priority,
            "submitter": self.submitter,
            **({"private": True} if private else {}),
        }
        first = Study.of(self._transport.json("POST", "/v1/studies", again=True, json=body))
        path = _study_path(first.study_id)
        done = self._followed(first, path, Study.of, on_progress, timeout)
        return replace(done, text=self._text(path, "markdown"))

    def studies(self, *, limit: int | None = None) -> list[StudyBrief]:
        """Studies, newest first; ``study_of`` has their cells."""
        return [StudyBrief.of(one) for one in self._transport.items("/v1/studies", limit)]

    def study_of(self, study_id: str) -> Study:
        """A study as it is now. Raises NotFound."""
        path = _study_path(study_id)
        found = Study.of(self._transport.json("GET", path, again=True))
        return replace(found, text=self._text(path, "markdown"))

    def study_csv(self, study_id: str) -> str:
        """A study as it is now, a line for each cell. Raises NotFound."""
        return self._text(_study_path(study_id), "csv")

    def cancel_study(self, study_id: str, *, force: bool = False) -> Study:
        """No longer want a study, or advice by its id; with ``force`` cancel it for all.

        When nobody wants it, its jobs end that nobody else wants; heads that are there stay.

        Raises:
            NotFound: no such study.
            Conflict: this submitter did not want it.
        """
        params = {"force": "true"} if force else {"submitter": self.submitter}
        path = f"{_study_path(study_id)}/cancel"
        return Study.of(self._transport.json("POST", path, again=True, params=params))

    def advice(
        self,
        network: str,
        dataset: str,
        *,
        view: Mapping[str, Any] | None = None,
        train: str = "train",
        validation: str = "validation",
        private: bool = False,
        timeout: float | None = None,
        on_progress: Callable[[Advice], None] | None = None,
        **how: Unpack[How],
    ) -> Advice:
        """Which layer of a network serves a dataset, whether more images would help, what to do.

        Raises:
            NotFound, InvalidRequest: it cannot be; nothing was queued.
            FeaturepackError: a head failed; its own error, of the class that fits.
            JobCancelled: it was cancelled.
            TimedOut: it did not end within ``timeout`` seconds; it goes on.
            Unavailable: the service was away for a minute.
        """
        body = {
            "network": network,
            "dataset": dataset,
            "train": train,
            "validation": validation,
            "submitter": self.submitter,
            **({} if view is None else {"view": view}),
            **({"private": True} if private else {}),
            **how,
        }
        first = Advice.of(self._transport.json("POST", "/v1/advice", again=True, json=body))
        path = f"/v1/advice/{segment(first.advice_id)}"
        done = self._followed(first, path, Advice.of, on_progress, timeout)
        if done.error is not None:
            raise from_problem(done.error)
        if done.state != "succeeded":
            raise JobCancelled(
                f"advice {done.advice_id} was cancelled", value=done.advice_id, remedy="ask again"
            )
        return replace(done, text=self._text(path, "markdown"))

    def _text(self, path: str, format: str) -> str:
        return self._transport.call("GET", path, again=True, params={"format": format}).text

    def _followed(
        self,
        current: Long,
        path: str,
        of: Callable[[Any], Long],
        on_progress: Callable[[Long], None] | None,
        timeout: float | None,
    ) -> Long:
        """As it is when all its cells have ended, asked for by long polls."""
        patience = Patience(self._transport.retry, timeout)
        longest = WATCHED_SECONDS if on_progress else self._transport.longest_wait
        while True:
            if on_progress is not None:
                on_progress(current)
            if current.is_final:
                return current
            if patience.left <= 0:
                raise TimedOut(
                    f"{path} is still {current.state} after {timeout:g} s",
                    value=path,
                    remedy="wait longer: the same call again goes on with what is there",
                )
            asked = time.monotonic()
            prefer = {"Prefer": f"wait={max(1, round(min(patience.left, longest)))}"}
            try:
                answer = self._transport.json("GET", path, again=False, headers=prefer)
            except FeaturepackError as failure:
                patience.outlast(failure)
                continue
            patience.answered()
            current = of(answer)
            if not current.is_final and time.monotonic() - asked < SHORTEST_POLL:
                self._transport.retry.sleep(SHORTEST_POLL)


def _several(one: Any) -> list[Any]:
    """One is short for a list of it."""
    is_list = isinstance(one, Sequence) and not isinstance(one, str)
    return list(one) if is_list else [one]


def _method(one: MethodLike) -> Any:
    if isinstance(one, str | Mapping):
        return one
    return {"method": one.method, "params": given(one)}


def _study_path(study_id: str) -> str:
    return f"/v1/studies/{segment(study_id)}"
