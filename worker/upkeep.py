"""The worker's housekeeping, beside its work: the store is swept, and kept within its limit."""

from __future__ import annotations

import logging
from typing import Final

from cache.audit import Audit
from cache.errors import FeaturepackError
from cache.eviction import evict_beyond
from cache.upkeep import sweep
from worker.context import Context

log = logging.getLogger("featurepack.worker")

UPKEEP_SECONDS: Final = 60.0
AUDIT_SECONDS: Final = 400 * 86400.0
"""How long it is known who wrote what: a year, and time to look."""


def keep_up(context: Context) -> None:
    """Tidy at once and then every minute, until ``context.stop`` is set."""
    while not context.stop.is_set():
        try:
            tidy(context)
        except FeaturepackError as error:
            log.warning("upkeep: %s", error.message)
        except Exception:
            log.exception("upkeep")  # it must never end the worker; the next round may do better
        context.stop.wait(UPKEEP_SECONDS)


def tidy(context: Context) -> None:
    """Forget old writes, sweep the store once, then evict what is beyond the limit.

    Raises:
        Conflict: the database belongs to another store.
        Unavailable: the database or the store is away.
    """
    settings, catalogue, store = context.settings, context.catalogue, context.store
    Audit(context.database).forget(AUDIT_SECONDS)
    sweep(catalogue, store, settings.keep_seconds, context.stop.is_set)
    evict_beyond(catalogue, store, settings.max_pack_bytes)
