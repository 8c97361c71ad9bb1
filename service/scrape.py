"""What a scrape reads of the database: the queue, the workers, what is kept, what was counted.

Every label is of a small set that is ours: kinds, networks of torchvision, workers, devices; never
a dataset or a team.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from cache.counts import Sums
from cache.database import Database
from cache.errors import FeaturepackError, Unavailable
from cache.health import Health, look
from cache.overview import Overview, PackTotals
from cache.sight import EVERYTHING
from cache.store import Store
from service.settings import ServiceSettings

log = logging.getLogger("featurepack.service")

Metric = GaugeMetricFamily | CounterMetricFamily
Labels = tuple[str, ...]


class Scrape(Collector):
    """Collected anew for each answer."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings, self._database = settings, database

    def collect(self) -> Iterator[Metric]:
        """Without the database, only what is known without it."""
        settings, database = self._settings, self._database
        yield from _free_bytes(settings.store)
        own = database.counts.sums()
        yield from _own_counts(own)
        try:
            health = look(database, settings.worker_silence_seconds)
            overview = Overview(database, EVERYTHING)
            totals, heads = overview.packs(), overview.heads()
        except Unavailable as error:
            log.warning("scraped without the database: %s", error.message)
            yield _gauge("ready", "What /readyz says", 0)
            yield _gauge("database_up", "Whether the scrape could read the database", 0)
            yield _saved(own, {})
            return
        yield _gauge("ready", "What /readyz says", is_ready(settings, health))
        yield _gauge("database_up", "Whether the scrape could read the database", 1)
        yield from _queue(health)
        yield from _workers(health)
        yield from _kept(totals, heads, health)
        yield from _kept_counts(health.counts)
        yield _saved(own, health.counts)


def check_ready(settings: ServiceSettings, health: Health) -> None:
    """Return if store and workers are as they should be.

    Raises:
        Unavailable: what is not, and what to do.
    """
    settings.store.check()
    health.check(settings.work_silence_seconds)


def is_ready(settings: ServiceSettings, health: Health) -> bool:
    try:
        check_ready(settings, health)
    except FeaturepackError:
        return False
    return True


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"featurepack_{name}", about, value)


def _gauges(
    name: str, about: str, labels: Labels, values: Iterable[tuple[Labels, float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"featurepack_{name}", about, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _counter(name: str, about: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"featurepack_{name}", about, value)


def _counters(
    name: str, about: str, labels: Labels, values: Iterable[tuple[Labels, float]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"featurepack_{name}", about, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _free_bytes(store: Store) -> Iterator[Metric]:
    try:
        disk = os.statvfs(store.root)
    except OSError:
        return  # the store is gone, which is told as not ready
    yield _gauge(
        "store_free_bytes", "Room that is left on the store's disk", disk.f_bavail * disk.f_frsize
    )


def _queue(health: Health) -> Iterator[Metric]:
    states = ("due", "paused", "waiting", "running")
    yield _gauges(
        "jobs",
        "Jobs that have not ended: due now, paused after a fault, waiting for another, running",
        ("kind", "state"),
        (((one.kind, state), getattr(one, state)) for one in health.queue for state in states),
    )
    yield _gauges(
        "queue_oldest_seconds",
        "For how long the oldest due job could have been claimed",
        ("kind",),
        (((one.kind,), one.oldest_seconds) for one in health.queue),
    )


def _workers(health: Health) -> Iterator[Metric]:
    yield _gauge("workers", "Workers that were heard of lately", len(health.live))
    yield _gauges(
        "worker_seen_timestamp_seconds",
        "When a worker was last heard of",
        ("worker",),
        (((one.worker,), one.seen) for one in health.live),
    )
    yield _gauges(
        "worker_last_work_timestamp_seconds",
        "When a lane of a worker last did real work",
        ("worker", "lane"),
        (
            ((one.worker, name), lane["worked"])
            for one in health.live
            for name, lane in one.lanes.items()
            if lane["worked"] is not None
        ),
    )
    for which, about in (("used", "is used, by whomever"), ("total", "there is")):
        yield _gauges(
            f"gpu_memory_{which}_bytes",
            f"Memory of a worker's GPU that {about}",
            ("worker", "device"),
            (
                ((one.worker, memory["device"]), memory[which])
                for one in health.live
                for memory in one.memory
            ),
        )


def _kept(totals: PackTotals, heads: int, health: Health) -> Iterator[Metric]:
    sound = totals.packs - totals.damaged
    yield _gauges(
        "packs",
        "Packs that are there",
        ("state",),
        ((("sound",), sound), (("damaged",), totals.damaged)),
    )
    yield _gauge("pack_rows", "Rows of all packs", totals.rows)
    yield _gauge("pack_bytes", "Bytes of all packs", totals.bytes)
    if health.byte_limit is not None:
        yield _gauge("pack_bytes_limit", "The lowest limit of a live worker", health.byte_limit)
    yield _gauge("heads", "Heads that are there", heads)


def _own_counts(sums: Sums) -> Iterator[Metric]:
    """Of this process since it started."""
    hits, extractions = sums.get(("hits", ""), 0), sums.get(("extractions", ""), 0)
    yield _counter("pack_hits", "Submissions that a pack answered", hits)
    yield _counter("extractions", "Submissions that queued a new extraction", extractions)


def _kept_counts(sums: Sums) -> Iterator[Metric]:
    """Of all workers, ever."""

    def of(name: str) -> Iterator[tuple[Labels, float]]:
        return (
            (tuple(label.split("/")), value)
            for (which, label), value in sorted(sums.items())
            if which == name
        )

    yield _counters(
        "rows_computed", "Rows of packs that were computed", ("network",), of("rows_computed")
    )
    yield _counters("rows_copied", "Rows taken from other packs", ("network",), of("rows_copied"))
    yield _counters(
        "job_attempts", "Attempts at jobs that ended", ("kind", "outcome"), of("attempts")
    )
    yield _counters("job_errors", "Errors that attempts ended with", ("type",), of("errors"))


def _saved(own: Sums, kept: Sums) -> Metric:
    """Hits are this process's, copied rows are of all workers."""
    both = {("hit",): own, ("reuse",): kept}
    return _counters(
        "seconds_saved",
        "Seconds of extraction that were not done",
        ("by",),
        (
            (by, sums[("seconds_saved", *by)])
            for by, sums in both.items()
            if ("seconds_saved", *by) in sums
        ),
    )
