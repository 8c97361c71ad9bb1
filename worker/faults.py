"""Which faults pass by themselves, and which stay however often a job is tried.

Passing: the database or a disk does not answer, a disk or a memory is full. Lasting: all else, a
download that fails included, because a machine without a way out has none in a minute either.
"""

from __future__ import annotations

import logging

import torch

from cache.disk_faults import FULL, PASSING, errno_of
from cache.errors import FeaturepackError, Unavailable, Unreachable

log = logging.getLogger("featurepack.worker")


def is_passing(error: FeaturepackError) -> bool:
    return isinstance(error, Unavailable) and not isinstance(error, Unreachable)


def as_failure(error: Exception) -> FeaturepackError:
    """Any exception of a task as the error that its job is to show."""
    if isinstance(error, FeaturepackError):
        log.warning("failed: %s", error.message)
        return error
    if isinstance(error, OSError) and errno_of(error) in FULL:
        log.warning("failed: %s", error)
        return Unavailable(
            f"the disk is full: {error}",
            value=str(error.filename or ""),
            remedy="make space; the job goes on by itself",
        )
    if isinstance(error, OSError) and errno_of(error) in PASSING:
        log.warning("failed: %s", error)
        return Unavailable(
            f"the system could not do it: {error}",
            value=str(error.filename or ""),
            remedy="look at the worker's disk; the job is tried again by itself",
        )
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        log.warning("failed: %s", error)
        return Unavailable(
            f"the memory is full: {error}",
            value=type(error).__name__,
            remedy="end what else uses it; the job is tried again by itself",
        )
    log.error("failed", exc_info=error)
    return FeaturepackError(
        f"{type(error).__name__}: {error}", remedy="report this; the worker's log has more"
    )
