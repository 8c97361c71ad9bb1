"""Is a file that came what the catalogue says, and if not, which of its bytes are wrong?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from featurepack.errors import CorruptData
from featurepack.local.fetch import OnBytes, Remote, fetch
from featurepack.local.journal import Journal
from featurepack.local.layout import Layout, Span
from featurepack.transport import Transport


def fetch_sound(
    transport: Transport,
    remote: Remote,
    layout: Callable[[], Layout],
    part: Path,
    journal: Journal,
    on_bytes: OnBytes | None = None,
) -> None:
    """Bring a file that is sound: what is damaged is fetched again, once.

    ``layout`` is asked for where the parts of the file that have a hash lie, if one is damaged.

    Raises:
        CorruptData: it is damaged still, or was replaced.
        NotFound, ConnectionFailed, DiskFull: as :func:`featurepack.local.fetch.fetch`.
    """
    if fetch(transport, remote, part, journal, on_bytes) == remote.etag:
        return
    journal.forget(damaged(part, layout()))
    if fetch(transport, remote, part, journal, on_bytes) == remote.etag:
        return
    journal.remove()
    part.unlink()
    raise CorruptData(
        f"{remote.path} came twice with bytes that do not give its hash",
        value=remote.etag,
        remedy="have the pack verified (featurepack verify); if it is sound, look at the network",
    )


def damaged(path: Path, layout: Layout) -> list[Span]:
    """Bytes that are wrong, or may be: shards that do not give their hash, and what has none."""
    file = np.memmap(path, np.uint8, "r")
    hashes_SH = layout.view(file, "shard_hash")
    start, stop = layout.arrays["features"].span
    rest = [(0, start), (stop, layout.bytes)]
    return _bad_shards(file, layout, hashes_SH) + [span for span in rest if span[0] < span[1]]


def _bad_shards(
    file: npt.NDArray[np.uint8], layout: Layout, hashes_SH: npt.NDArray[np.uint8]
) -> list[Span]:
    return [
        span
        for span, wanted in zip(layout.shards, hashes_SH, strict=True)
        if xxhash.xxh3_128_digest(file[span[0] : span[1]].data) != wanted.tobytes()
    ]
