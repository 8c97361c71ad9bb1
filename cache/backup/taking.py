"""Taking a backup while service, workers and users go on.

A round takes the rows of one moment, then brings the files that they need. What was deleted or
replaced in between makes another round, which has only what is new to copy. So in the end every
file that the rows name is there: the backup is the store as it was when the last round began.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cache import schema
from cache.atomic import fsync_path
from cache.backup.copying import Copier
from cache.backup.needed import Needed, blobs_of, needed_files
from cache.backup.record import Backup, KeptTable, backups_in, open_backup
from cache.backup.rows import write_rows
from cache.binding import bind_store
from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import Busy, Conflict, CorruptData, FeaturepackError, Unavailable
from cache.publish import quarantine
from cache.store import FOLDERS, Store

ROUNDS: Final = 20
PAUSE_SECONDS: Final = 1.0
"""Longer than a file has its name before the transaction is committed that speaks of it."""

PART: Final = ".part"


@dataclass(frozen=True)
class Taken:
    """A new backup; ``copied_bytes`` is what was read, the rest is shared with the one before."""

    backup: Backup
    copied_bytes: int
    quarantined: list[str]


def take(database: Database, store: Store, folder: Path, tell: Callable[[str], None]) -> Taken:
    """Take a backup into a new folder below ``folder``; an interrupted one is gone on with.

    Packs that prove damaged are quarantined, as they are when a reader finds them.

    Raises:
        Busy: another backup is being taken into this folder.
        Conflict: the database has another schema than this version, or belongs to another store.
        Unavailable: store or database is away, or files go faster than they are copied.
        OSError: the backup's disk is full or does not answer.
    """
    store.check()
    with database.read() as connection:
        _refuse_other_schema(schema.revision_of(connection))
    bind_store(database, store)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        part = folder / PART
        for inner in (part, part / "rows", part / "files"):
            inner.mkdir(mode=0o700, exist_ok=True)
        for name in FOLDERS:
            (part / "files" / name).mkdir(mode=0o700, exist_ok=True)
        copier = Copier(store.root, part, _newest(folder), tell)
        rounds = _Rounds(database, store, copier)
        tables = rounds.run()
        copier.drop_others()
        final = _finish(part, tables, copier, sorted(rounds.missing))
    return Taken(open_backup(final), copier.copied_bytes, sorted(rounds.quarantined))


class _Rounds:
    """``missing`` are paths that lacked twice, none of them a pack's: those are ``quarantined``."""

    def __init__(self, database: Database, store: Store, copier: Copier) -> None:
        self._database, self._store, self._copier = database, store, copier
        self.missing: set[str] = set()
        self.quarantined: set[str] = set()

    def run(self) -> list[KeptTable]:
        """The rows of the last round."""
        lacked: set[str] = set()
        for _ in range(ROUNDS):
            with self._database.snapshot() as connection:
                tables = write_rows(connection, self._copier.folder / "rows")
                needed = needed_files(connection, self._store)
            wanted, lacking = self._bring(needed)
            self.missing &= lacking
            self._give_up(lacking & lacked, needed)
            if lacking <= self.missing:
                kept = self._copier.kept
                self._copier.kept = {path: one for path, one in kept.items() if path in wanted}
                return tables
            lacked = lacking
            time.sleep(PAUSE_SECONDS)
        raise Unavailable(
            f"packs went faster than they were copied, {ROUNDS} times",
            value=sorted(lacked)[:10],
            remedy="run it again: what was copied stays",
        )

    def _bring(self, needed: Needed) -> tuple[set[str], set[str]]:
        """All paths, and those of them that were not there as they should be."""
        hashes, copier = needed.hashes, self._copier
        lacking = {path for path in needed.paths if not copier.bring(path, hashes.get(path))}
        manifests = [path for path in needed.paths if path.startswith("datasets/")]
        blobs = blobs_of(copier.folder / "files" / path for path in manifests)
        lacking |= {path for path in blobs if not copier.bring(path, None)}
        return {*needed.paths, *blobs}, lacking

    def _give_up(self, paths: set[str], needed: Needed) -> None:
        """A pack is quarantined, so that the next round knows; of the rest the row alone is kept.

        A row without a file is what the next sweep forgets, here and where it is restored.
        """
        for path in paths:
            pack_id = Path(path).stem
            if not path.startswith("packs/"):
                self.missing.add(path)
                continue
            error = CorruptData(
                f"the file of pack {pack_id} is gone or does not give its hash",
                value=pack_id,
                remedy="submit the pair again: the pack is built anew",
            )
            etag = needed.packs[pack_id]
            quarantine(Catalogue(self._database), self._store, pack_id, error, etag)
            self.quarantined.add(pack_id)


def _refuse_other_schema(revision: str) -> None:
    schema.refuse_unknown(revision)
    if revision != schema.newest():
        raise Conflict(
            f"the database has the schema {revision}, this version of featurepack has "
            f"{schema.newest()}",
            value=revision,
            remedy="take the backup with the version that runs, or start this version's service "
            "first: it migrates the database",
        )


def _newest(folder: Path) -> Backup | None:
    """The newest backup, to share files with; without one that can be read all is copied."""
    for found in backups_in(folder):
        try:
            return open_backup(found)
        except FeaturepackError:
            continue
    return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                f"another backup is being taken into {folder}",
                value=str(folder),
                remedy="wait until it is complete",
            ) from error
        yield
    finally:
        os.close(handle)


def _finish(part: Path, tables: list[KeptTable], copier: Copier, missing: list[str]) -> Path:
    """Say what it holds, and give it its name."""
    now = datetime.now(UTC)
    Backup(
        folder=part,
        schema=schema.newest(),
        created=now.isoformat(timespec="seconds"),
        featurepack=importlib.metadata.version("featurepack"),
        tables=tables,
        files=[copier.kept[path] for path in sorted(copier.kept)],
        missing=missing,
    ).write()
    for table in tables:
        fsync_path(part / "rows" / f"{table.name}.jsonl")
    for inner in (*(part / "files").iterdir(), part / "files", part / "rows", part):
        fsync_path(inner)
    final = part.with_name(now.strftime("%Y%m%dT%H%M%S.%fZ"))
    os.replace(part, final)
    fsync_path(final.parent)
    return final
