"""``weights``: an uploaded checkpoint is checked against its network and kept by its hash."""

from __future__ import annotations

from pathlib import Path

from cache import networks as catalogue_of_networks
from cache.atomic import replacing
from cache.identity import sha256_file
from cache.job import Job
from cache.publish import publish_weights
from cache.rows import WeightsRow
from worker.checkpoints import load_state_dict
from worker.context import Context
from worker.lease import Lease
from worker.networks import check_checkpoint, unavailable_layers


def take_checkpoint(context: Context, job: Job, lease: Lease) -> None:
    """Keep the checkpoint, and which layers of the network it cannot compute.

    Raises:
        InvalidRequest: it belongs to another network, or it is no state dict.
        CorruptData: it cannot be read.
    """
    upload = job.spec["uploads"][0]
    path = Path(upload["path"])
    info = catalogue_of_networks.get(job.spec["network"])
    suffix = ".safetensors" if upload["name"].endswith(".safetensors") else ".pth"
    named = path.with_suffix(suffix)  # the upload itself stays, for another attempt
    named.unlink(missing_ok=True)
    named.hardlink_to(path)
    try:
        state = load_state_dict(named, upload["name"])
        check_checkpoint(info.name, state)
        sha256 = sha256_file(named)
        with replacing(context.store.weights(sha256, suffix)) as beside:
            beside.hardlink_to(named)
        row = WeightsRow(
            sha256=sha256,
            network=info.name,
            name=upload["name"],
            bytes=named.stat().st_size,
            unavailable=unavailable_layers(info.name, state),
        )
        publish_weights(context.leases, context.catalogue, job, row)
    finally:
        named.unlink(missing_ok=True)
