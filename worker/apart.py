"""Taking an upload in in a process of its own, which may die of it.

HDF5 is written in C and was made for files that one trusts: damaged ones can crash it, or keep it
busy for ever with the interpreter's lock held (2.0.0 does not get past a global heap that has an
empty free space). So what strangers send is read by a process that can be ended, with a bound on
its memory and its time. It is forked from a server that has the readers loaded and no torch, so
that this takes milliseconds. It is no sandbox: it has the worker's rights.
"""

from __future__ import annotations

import logging
import multiprocessing
import resource
import secrets
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from cache.dataset import Manifest
from cache.errors import CorruptData, FeaturepackError, TooLarge, Unavailable
from cache.sight import SHARED
from cache.store import Store
from worker.child import end_with_parent
from worker.ingest import Fit, IngestLimits, ingest

MEMORY_BYTES: Final = 8 << 30
"""Of what is made of the files; mapped files do not count (RLIMIT_DATA)."""
CPU_SECONDS: Final = 120
"""And one more for each BYTES_PER_SECOND of the files."""
BYTES_PER_SECOND: Final = 5_000_000
CHECK_SECONDS: Final = 0.2
"""So often the job is asked whether to go on."""

log = logging.getLogger("featurepack.worker")

Kept = tuple[str, int]
"""A dataset's id and how many bytes of images are to be kept: the process waits until it may."""
Told = int | Kept | Manifest | FeaturepackError


def ingest_apart(
    spec: Mapping[str, Any],
    store: Store,
    limits: IngestLimits,
    tell: Callable[[int], None],
    fit: Fit | None = None,
    *,
    space: str = SHARED,
) -> Manifest:
    """As :func:`worker.ingest.ingest`; ``tell`` is called at least five times a second.

    Raises:
        CorruptData: as the source is, or the files made their reader crash.
        TooLarge: as the source is, or reading them takes too much memory or time.
        Unavailable: the system ended the process.
        Whatever ``fit`` raises.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe()
    beside = store.root / "datasets" / f".ingest.{secrets.token_hex(8)}.part"
    sizes = [Path(file["path"]).stat().st_size for file in spec["files"]]
    seconds = CPU_SECONDS + sum(sizes) // BYTES_PER_SECOND
    what = (spec, store, limits, space, beside, seconds)
    process = context.Process(target=_ingest, args=(*what, theirs))
    process.start()
    theirs.close()  # so that its end is heard when the process ends
    images, told = 0, None
    try:
        while not isinstance(told, (Manifest, FeaturepackError)):
            told = ours.recv() if ours.poll(CHECK_SECONDS) else None
            if isinstance(told, tuple):
                if fit is not None:
                    fit(*told)
                ours.send(None)
            images = told if isinstance(told, int) else images
            tell(images)
    except EOFError as error:
        process.join()
        raise _death(process.exitcode, seconds) from error
    finally:
        process.kill()
        process.join()
        ours.close()
        beside.unlink(missing_ok=True)
    if isinstance(told, FeaturepackError):
        raise told
    return told


def _death(exitcode: int | None, seconds: int) -> FeaturepackError:
    name = signal.Signals(-exitcode).name if exitcode and exitcode < 0 else f"status {exitcode}"
    if name == "SIGKILL":
        return Unavailable(
            "the process that reads uploads was killed",
            value=name,
            remedy="look whether the machine ran out of memory; the job is tried again by itself",
        )
    if name == "SIGXCPU":
        return TooLarge(
            f"reading the upload takes more than {seconds} seconds of a processor's time",
            value=seconds,
            remedy="write the file again, or split the dataset",
        )
    return CorruptData(
        f"the upload is damaged: its reader crashed ({name})",
        value=name,
        remedy="write the file again, or upload the images as an archive",
    )


# --- in the process --------------------------------------------------------------------------


def _ingest(
    spec: Mapping[str, Any],
    store: Store,
    limits: IngestLimits,
    space: str,
    beside: Path,
    seconds: int,
    parent: Connection,
) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which will end this
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))

    def fit(dataset_id: str, size: int) -> None:
        parent.send((dataset_id, size))
        parent.recv()

    answer: Manifest | FeaturepackError
    try:
        answer = ingest(spec, store, limits, parent.send, fit, space=space, beside=beside)
    except FeaturepackError as error:
        answer = error
    except MemoryError:
        answer = TooLarge(
            f"reading the upload takes more than {MEMORY_BYTES} bytes of memory",
            value=MEMORY_BYTES,
            remedy="split the dataset, or write the arrays in C order and smaller chunks",
        )
    except Exception as error:
        log.exception("an upload met a mistake of ours")
        answer = FeaturepackError(
            f"{type(error).__name__}: {error}", remedy="report this; the worker's log has more"
        )
    parent.send(answer)
