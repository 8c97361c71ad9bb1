"""``verify``: does a pack still hold what was written?"""

from __future__ import annotations

from cache.errors import CorruptData
from cache.identity import hash_file
from cache.jobs import Job
from cache.pack import open_pack
from worker.context import Context
from worker.lease import Lease


def verify_pack(context: Context, job: Job, lease: Lease) -> None:
    """Hash every shard, and the whole file, again.

    Raises:
        NotFound: no such pack.
        CorruptData: a shard or the file does not give its hash.
    """
    row = context.catalogue.find_pack(job.spec["pack_id"])
    remedy = f"DELETE /v1/packs/{row.pack_id}, then submit the pair again"
    path = context.store.pack(row.pack_id)
    try:
        pack = open_pack(path)
    except FileNotFoundError as error:
        message = f"the file of pack {row.pack_id} is gone"
        raise CorruptData(message, value=row.pack_id, remedy=remedy) from error
    failed = pack.failed_shards()
    if failed:
        message = f"pack {row.pack_id} has {len(failed)} damaged shards, the first is {failed[0]}"
        raise CorruptData(message, value=failed[:100], remedy=remedy)
    if hash_file(path) != row.etag:
        message = f"pack {row.pack_id} has damage outside its features"
        raise CorruptData(message, value=row.pack_id, remedy=remedy)
    found = {"pack_id": row.pack_id, "shards": len(pack.shard_hash_SH)}
    context.leases.finish(job, lambda _: found)
