"""Jobs that compute something of a pack's rows, to be kept with the pack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cache.errors import Conflict
from cache.job import Job
from cache.pack import Pack
from cache.publish import open_sound_pack
from cache.sight import EVERYTHING
from worker.context import Context


@contextmanager
def opened(context: Context, job: Job) -> Iterator[Pack]:
    """The pack that the job is about, its file held so that it is not evicted.

    Raises:
        NotFound: the pack is gone.
        Conflict: it is quarantined, or was built anew since the job was submitted.
    """
    row = context.catalogue.find_sound_pack(job.spec["pack_id"], EVERYTHING)
    row, pack = open_sound_pack(context.catalogue, context.store, row)
    if row.etag != job.spec["etag"]:
        raise Conflict(
            f"pack {row.pack_id} was built anew meanwhile", value=row.etag, remedy="ask again"
        )
    with context.store.reading(row.pack_id):
        yield pack
