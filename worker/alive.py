"""``python -m worker.alive``: whether this machine's worker is heard of; 0 if so, else 1.

A container's health check. It asks the database, so it sees what the service sees, and imports no
torch. A worker's name begins with its host's unless ``FEATUREPACK_WORKER`` says it.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing

from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import FeaturepackError
from worker.settings import WorkerSettings

SILENCE_SECONDS = 30.0


def main() -> int:
    try:
        settings = WorkerSettings.from_env()
        with closing(Database(settings.database_url)) as database:
            workers = Catalogue(database).live_workers(SILENCE_SECONDS)
    except FeaturepackError as error:
        print(f"worker: {error.message}. {error.remedy}", file=sys.stderr)
        return 1
    if any(_is_named(one.worker, settings.name) for one in workers):
        return 0
    print(f"worker: none here that was heard of in {SILENCE_SECONDS:.0f} s", file=sys.stderr)
    return 1


def _is_named(worker: str, name: str) -> bool:
    """Whether a worker has this name, but for the process id at the end of one nobody gave."""
    own_id = f"-{os.getpid()}"
    if not name.endswith(own_id):
        return worker == name
    return worker.rpartition("-")[0] == name.removesuffix(own_id)


if __name__ == "__main__":
    sys.exit(main())
