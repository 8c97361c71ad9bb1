"""Asking for packs, and no longer asking for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack, overload

from featurepack.answers import Estimate, Job, Pack, pack_or_job
from featurepack.transport import json_of
from featurepack.waiting import OnProgress, WaitCalls, job_path

TapLike = str | Mapping[str, Any]
"""``"features"``, ``"features:avg"`` or ``{"layer": "features", "pool": "avg"}``."""

EXTRACTION = "extract"
"""The kind of job that :meth:`JobCalls.submit` asks for; others have submitters without names."""


class How(TypedDict, total=False):
    """What makes a row, but the layer; what is left out is the service's default.

    ``weights``: torchvision's name, ``sha256:<digits>`` of an upload, a file's name,
    ``random:<seed>``. ``transform``: ``"official"`` or ``"stretch"``, or values. ``numerics``:
    ``{"compute": "fast", "stored": "float16"}``.
    """

    weights: str
    transform: str | Mapping[str, Any]
    numerics: Mapping[str, str]


class Options(How, total=False):
    """How features are made: :class:`How`, and ``tap``: the layer, default is the bottleneck.

    ``view``: a subset, ``{"per_class": 100, "limit": 500, "validation": 0.2, "seed": 0}``.
    ``on_error``: ``"mask"`` (zero rows for broken images) or ``"fail"``. ``priority``: -100 to 100.
    ``private``: the pack of a shared dataset is seen by one's own team alone.
    """

    tap: TapLike
    view: Mapping[str, Any]
    on_error: str
    priority: int
    private: bool


class JobCalls(WaitCalls):
    """``/v1/jobs``."""

    submitter: str
    """Who asks, as the jobs' ``submitters`` show it."""

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
        twice is one job, and the same submitter twice is one submitter, so repeating it is safe.

        Raises:
            NotFound: no such network, dataset, weights or layer.
            InvalidRequest: an option that cannot be.
        """
        body = _body(network, dataset, taps, options) | {"submitter": self.submitter}
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

    def cancel(self, job_id: str, *, force: bool = False) -> Job:
        """No longer want a job, or with ``force`` cancel it whoever wants it.

        It is cancelled when nobody wants it any more (a running one as soon as its worker hears
        of it); until then ``goes_on_for_others`` is true of the answer. Jobs of other calls than
        :meth:`submit` count each call as one who wants them, without a name.

        Raises:
            NotFound: no such job.
            Conflict: it has ended, or this submitter is none of its ``submitters``.
        """
        params = {"force": "true"}
        if not force:
            named = self.job(job_id).kind == EXTRACTION
            params = {"submitter": self.submitter} if named else {}
        response = self._transport.call(
            "POST",
            f"{job_path(job_id)}/cancel",
            again=bool(params),  # twice without a name would be two of them
            done=409,
            params=params,
        )
        return self.job(job_id) if response.status_code == 409 else Job.of(json_of(response))

    def retry(self, job_id: str) -> Pack | Job:
        """The same request again, after its job failed or was cancelled: a job, or its pack.

        Raises:
            NotFound: no such job.
            Conflict: it did not fail, or what was uploaded for it is gone.
        """
        path, params = f"{job_path(job_id)}/retry", {"submitter": self.submitter}
        return pack_or_job(self._transport.json("POST", path, again=True, params=params))


def _body(
    network: str, dataset: str, taps: Sequence[TapLike] | None, options: Options
) -> dict[str, Any]:
    body: dict[str, Any] = {"network": network, "dataset": dataset, **options}
    return body if taps is None else body | {"taps": list(taps)}
