"""The contender's end of the pipe: load, say so, then one turn for each line that comes in.

Runs on Python 3.10 too, which one contender needs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict  # noqa: UP035 - these work in Python 3.10's values as well

Turn = Callable[[], Dict[str, Any]]  # noqa: UP006


def take_turns(load: Callable[[Any], Turn]) -> None:
    """Run a contender until stdin ends.

    ``load`` gets the JSON value of the command line and returns what makes one measurement, a
    dictionary for JSON. What libraries print goes to stderr.
    """
    answers, sys.stdout = sys.stdout, sys.stderr
    turn = load(json.loads(sys.argv[1]))
    print(json.dumps({"ready": time.time()}), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(turn()), file=answers, flush=True)


def keep_file(path: Path) -> None:
    """Return when the file's bytes are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
