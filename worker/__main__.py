"""``python -m worker``: work until SIGTERM or SIGINT, then hand back what is unfinished."""

from __future__ import annotations

import logging
import signal
import sys

from worker.allocator import keep_freed_memory
from worker.openmp import spin_briefly

keep_freed_memory()  # before torch allocates anything
spin_briefly()  # before it loads OpenMP

import torch  # noqa: E402

from cache.errors import FeaturepackError  # noqa: E402
from cache.logs import log_to_stderr  # noqa: E402
from worker.context import open_context  # noqa: E402
from worker.loop import run  # noqa: E402
from worker.settings import WorkerSettings  # noqa: E402


def main() -> int:
    try:
        settings = WorkerSettings.from_env()
        log_to_stderr(settings.log_format)
        context = open_context(settings)
    except FeaturepackError as error:
        print(f"worker: {error.message}. {error.remedy}", file=sys.stderr)
        return 2
    torch.set_num_threads(settings.threads)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.stop.set())
    logging.getLogger("featurepack.worker").info(
        "worker %s on %s, store %s", settings.name, context.device, settings.store.root
    )
    try:
        run(context)
    finally:
        context.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
