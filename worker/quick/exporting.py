"""``onnx``: network and head become one ONNX file, which is kept for who asks next."""

from __future__ import annotations

from cache.atomic import replacing
from cache.job import Job
from cache.sight import EVERYTHING
from worker.context import Context
from worker.export.process import export_in_process
from worker.heads.kept import load_head, recipe_of
from worker.lease import Lease


def export_onnx(context: Context, job: Job, lease: Lease) -> None:
    """Write, check and keep the file under the name that the job was given for it.

    Raises:
        InvalidRequest: the head's pack was imported, or ONNX has not what the network needs.
        CorruptData: the head's file is damaged.
        TooLarge: it does not fit into one file.
    """
    spec = job.spec
    row = context.catalogue.find_head(spec["head_id"], EVERYTHING)
    load_head(context, row.head_id)  # here, too: what cannot be is said before a process starts
    recipe_of(context, row)
    lease.progress({"phase": "exporting"}, now=True)
    final = context.store.export(spec["head_id"], spec["head_hash"])
    with replacing(final) as beside:
        apart = export_in_process(context.settings, row.head_id, beside, lease.check)
    result = {
        "head_id": row.head_id,
        "bytes": final.stat().st_size,
        "largest_difference": apart,
    }
    context.leases.finish(job, lambda _: result)
