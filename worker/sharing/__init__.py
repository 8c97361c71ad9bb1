"""One job on several devices of a machine, a process for each.

The job's worker keeps the lease, records shards and publishes. The processes take portions of
the rows that are missing, one after the other, compute them and write them straight into the
pack's file, on which they hold its lock together with the worker.
"""

from worker.sharing.processes import DeviceProcesses
from worker.sharing.work import Loaded, Target, Work, compute

__all__ = ["DeviceProcesses", "Loaded", "Target", "Work", "compute"]
