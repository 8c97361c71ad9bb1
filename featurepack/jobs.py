"""Asking for packs, and waiting for what was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, Unpack, overload

from featurepack.answers import Estimate, Job, Pack, pack_or_job
from featurepack.errors import (
    FeaturepackError,
    JobCancelled,
    TimedOut,
    Unavailable,
    from_problem,
)
from featurepack.transport import Transport, segment

OnProgress = Callable[[Job], None]
"""Told the job whenever it may have changed; may raise to stop waiting."""

TapLike = str | Mapping[str, Any]
"""``"features"``, ``"features:avg"`` or ``{"layer": "features", "pool": "avg"}``."""

SHORTEST_POLL = 0.2
OUTAGE_SECONDS = 60.0
"""How long the service may be away, for a restart, while a job is waited for."""


class Options(TypedDict, total=False):
    """How features are made; what is left out is the service's default.

    ``weights``: torchvision's name, ``sha256:<digits>`` of an upload, a file's name,
    ``random:<seed>``. ``tap``: the layer, default is the bottleneck. ``transform``: ``"official"``
    or ``"stretch"``, or values. ``numerics``: ``{"compute": "fast", "stored": "float16"}``.
    ``view``: a subset, ``{"per_class": 100, "limit": 500, "validation": 0.2, "seed": 0}``.
    ``on_error``: ``"mask"`` (zero rows for broken images) or ``"fail"``. ``priority``: -100 to 100.
    """

    weights: str
    tap: TapLike
    transform: str | Mapping[str, Any]
    numerics: Mapping[str, str]
    view: Mapping[str, Any]
    on_error: str
    priority: int


class Calls:
    """What all parts of the client share."""

    _transport: Transport


class JobCalls(Calls):
    """``/v1/jobs``."""

    @overload
    def submit(
        self, network: str, dataset: str, *, taps: None = None, **options: Unpack[Options]
    ) -> Pack | Job: ...

    @overload
    def submit(
        self, network: str, dataset: str, *, taps: Sequence[TapLike], **options: Unpack[Options]
    ) -> list[Pack | Job]: ...

    def submit(
        self,
        network: str,
        dataset: str,
        *,
        taps: Sequence[TapLike] | None = None,
        **options: Unpack[Options],
    ) -> Pack | Job | list[Pack | Job]:
        """The pack of a pair if it is cached, else the job that builds it.

        With ``taps`` a pack or job for each, all built by one forward pass. The same request
        twice is one job, so repeating it is safe.

        Raises:
            NotFound: no such network, dataset, weights or layer.
            InvalidRequest: an option that cannot be.
        """
        body = _body(network, dataset, taps, options)
        answer = self._transport.json("POST", "/v1/jobs", again=True, json=body)
        if taps is None:
            return pack_or_job(answer)
        return [pack_or_job(item) for item in answer["items"]]

    @overload
    def estimate(
        self, network: str, dataset: str, *, taps: None = None, **options: Unpack[Options]
    ) -> Estimate: ...

    @overload
    def estimate(
        self, network: str, dataset: str, *, taps: Sequence[TapLike], **options: Unpack[Options]
    ) -> list[Estimate]: ...

    def estimate(
        self,
        network: str,
        dataset: str,
        *,
        taps: Sequence[TapLike] | None = None,
        **options: Unpack[Options],
    ) -> Estimate | list[Estimate]:
        """What :meth:`submit` would cost; computes nothing. Raises as :meth:`submit`."""
        body = _body(network, dataset, taps, options)
        answer = self._transport.json("POST", "/v1/jobs/estimate", again=True, json=body)
        found = [Estimate.of(item) for item in answer["items"]]
        return found[0] if taps is None else found

    def extract(
        self,
        network: str,
        dataset: str,
        *,
        on_progress: OnProgress | None = None,
        **options: Unpack[Options],
    ) -> Pack:
        """The pack of a pair, built now if it is not cached.

        Raises:
            NotFound, InvalidRequest: as :meth:`submit`.
            FeaturepackError: as :meth:`wait`.
        """
        found = self.submit(network, dataset, **options)
        if isinstance(found, Pack):
            return found
        return self._pack_of(self.wait(found, on_progress=on_progress))

    def _pack_of(self, job: Job) -> Pack:
        return Pack.of(self._transport.json("GET", f"/v1/packs/{job.pack_id}", again=True))

    def jobs(
        self, *, state: str | None = None, kind: str | None = None, limit: int | None = None
    ) -> list[Job]:
        """Jobs, newest first; ``kind`` is such as extract, ingest, head."""
        items = self._transport.items("/v1/jobs", limit, state=state, kind=kind)
        return [Job.of(item) for item in items]

    def job(self, job_id: str) -> Job:
        """A job as it is now. Raises NotFound."""
        return self._job(job_id, 0)

    def _job(self, job_id: str, seconds: int) -> Job:
        path = f"/v1/jobs/{segment(job_id)}"
        headers = {"Prefer": f"wait={seconds}"} if seconds else {}
        return Job.of(self._transport.json("GET", path, again=True, headers=headers))

    def wait(
        self,
        job: Job | str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Wait until a job has succeeded; ``on_progress`` hears of it about once a second.

        Raises:
            FeaturepackError: the job failed; its own error, of the class that fits.
            JobCancelled: it was cancelled.
            TimedOut: it did not end within ``timeout`` seconds.
            NotFound: no such job.
            Unavailable: the service was away for a minute.
        """
        began = answered = time.monotonic()
        longest = 1 if on_progress else self._transport.longest_wait
        current = self.job(job) if isinstance(job, str) else job
        while True:
            if on_progress is not None:
                on_progress(current)
            if current.is_final:
                return _succeeded(current)
            asked = time.monotonic()
            left = longest if timeout is None else began + timeout - asked
            if left <= 0:
                raise TimedOut(
                    f"job {current.id} is still {current.state} after {timeout:g} s",
                    value=current.id,
                    remedy="wait longer, or cancel it",
                )
            try:
                current = self._job(current.id, max(1, min(longest, round(left))))
                answered = time.monotonic()
            except Unavailable:
                if time.monotonic() - answered > OUTAGE_SECONDS:
                    raise
            if not current.is_final and time.monotonic() - asked < SHORTEST_POLL:
                self._transport.retry.sleep(SHORTEST_POLL)

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued job, or ask the worker of a running one to stop.

        Raises:
            NotFound: no such job.
            Conflict: it has ended.
        """
        path = f"/v1/jobs/{segment(job_id)}/cancel"
        return Job.of(self._transport.json("POST", path, again=True))

    def _patient(self, on_progress: OnProgress | None) -> dict[str, str]:
        """A header that has the service wait for a short job, but not while somebody watches."""
        return {"Prefer": f"wait={1 if on_progress else self._transport.longest_wait}"}

    def _result(self, answer: Mapping[str, Any], on_progress: OnProgress | None) -> dict[str, Any]:
        """The result of a job that was answered in place of what was asked for."""
        result = self.wait(Job.of(answer), on_progress=on_progress).result
        assert result is not None
        return result


def _succeeded(job: Job) -> Job:
    if job.state == "cancelled":
        raise JobCancelled(f"job {job.id} was cancelled", value=job.id, remedy="submit it again")
    if job.error is not None:
        raise from_problem(job.error)
    if job.state == "failed":
        raise FeaturepackError(f"job {job.id} failed", value=job.id)
    return job


def _body(
    network: str, dataset: str, taps: Sequence[TapLike] | None, options: Options
) -> dict[str, Any]:
    body: dict[str, Any] = {"network": network, "dataset": dataset, **options}
    return body if taps is None else body | {"taps": list(taps)}
