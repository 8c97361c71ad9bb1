"""What the jobs that are queued or running still need of the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cache.tables import ACTIVE_STATES, heads, jobs


@dataclass
class ActiveWork:
    """Everything that the specs of active jobs name, gathered with one look at the queue.

    ``kinds`` tells of jobs whose spec cannot name what they will make: an import knows its pack's
    id late, an ingest its dataset's, a checkpoint's job its file's.
    """

    kinds: set[str] = field(default_factory=set)
    pack_ids: set[str] = field(default_factory=set)
    dataset_ids: set[str] = field(default_factory=set)
    head_ids: set[str] = field(default_factory=set)
    uploads: set[str] = field(default_factory=set)

    def add(self, kind: str, spec: dict[str, Any]) -> None:
        self.kinds.add(kind)
        for name, ids in (
            ("pack_id", self.pack_ids),
            ("dataset_id", self.dataset_ids),
            ("head_id", self.head_ids),
        ):
            if name in spec:
                ids.add(spec[name])
        # Without its ending: a checkpoint's job gives its upload one.
        self.uploads |= {Path(upload["path"]).stem for upload in spec.get("uploads", ())}


def active_work(connection: sa.Connection) -> ActiveWork:
    """What is needed now, the packs of the heads that predict among it."""
    found = ActiveWork()
    query = sa.select(jobs.c.kind, jobs.c.spec).where(jobs.c.state.in_(ACTIVE_STATES))
    for kind, spec in connection.execute(query):
        found.add(kind, spec)
    if found.head_ids:
        with_head = sa.select(heads.c.head_id, heads.c.pack_id)
        found.pack_ids |= {
            pack_id
            for head_id, pack_id in connection.execute(with_head)
            if head_id in found.head_ids
        }
    return found
