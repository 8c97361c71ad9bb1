"""Kinds of jobs → what is done for them, and which of the worker's three lanes they run in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from cache.job import Job
from cache.origin import Origin, doing
from worker.context import Context
from worker.extract import extract
from worker.lease import Lease
from worker.quick import (
    classify,
    describe_pack,
    export_onnx,
    import_pack,
    ingest_dataset,
    map_pack,
    predict,
    take_checkpoint,
    train_head,
    verify_pack,
)

Task = Callable[[Context, list[Job], Lease], None]
"""Does jobs that were claimed together, and ends each of them well."""


def origin_of(job: Job) -> Origin:
    """What a worker's log lines say while it does the job."""
    return Origin(job.request_id, job.traceparent, job.id, job.attempt, job.worker or "")


def _one_by_one(do: Callable[[Context, Job, Lease], None]) -> Task:
    def task(context: Context, jobs: list[Job], lease: Lease) -> None:
        for job in jobs:
            with doing(origin_of(job)):
                do(context, job, lease)

    return task


EXTRACTION: Final[Mapping[str, Task]] = MappingProxyType({"extract": extract})
"""Long jobs, one at a time on a device."""

FILES: Final[Mapping[str, Task]] = MappingProxyType(
    {
        "ingest": _one_by_one(ingest_dataset),
        "weights": _one_by_one(take_checkpoint),
        "import": _one_by_one(import_pack),
        "onnx": _one_by_one(export_onnx),
        "verify": _one_by_one(verify_pack),
        "statistics": _one_by_one(describe_pack),
        "map": _one_by_one(map_pack),
    }
)
"""Jobs as long as the files that they read or write, which must not wait for an extraction."""

QUICK: Final[Mapping[str, Task]] = MappingProxyType(
    {
        "head": _one_by_one(train_head),
        "predict": _one_by_one(predict),
        "classify": _one_by_one(classify),
    }
)
"""Jobs that somebody waits for."""

LANES: Final = {"extraction": EXTRACTION, "files": FILES, "quick": QUICK}

LANE_OF: Final = {kind: lane for lane, tasks in LANES.items() for kind in tasks}
