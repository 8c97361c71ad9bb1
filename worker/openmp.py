"""How torch's threads wait for each other.

A thread of OpenMP's that has nothing to do spins first and then sleeps, GNU's by default after
300,000 turns. Where another process needs the core meanwhile, everybody waits for the scheduler:
the same sweep of a head took 0.4 to 3.6 seconds. After 10,000 turns (some 30 µs) it always took
0.4, and networks run as fast as before (GOMP_SPINCOUNT in libgomp's manual).
"""

from __future__ import annotations

import os


def spin_briefly() -> None:
    """For OpenMP's library, which reads it when it is loaded, in this process and its children."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
