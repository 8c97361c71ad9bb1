"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
"""The container's quota: microseconds of CPU time in a period of so many, or ``max``
(Linux, Documentation/admin-guide/cgroup-v2.rst)."""


def cores_given(cpu_max: Path = CPU_MAX) -> int:
    """The cores that the process is bound to, or fewer where its container's quota is less."""
    bound = len(os.sched_getaffinity(0))
    try:
        quota, period = cpu_max.read_text().split()
        return min(bound, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no container, another system, or no quota
        return bound
