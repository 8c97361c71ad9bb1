"""Restoring a backup into an empty store and an empty database, of either kind.

The files come first, under a mark in the store with which no service and no worker starts; then all
rows in one transaction, which also brings them to the newest schema; then the mark goes. Whatever
is interrupted, the same restore goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from cache import schema
from cache.atomic import fsync_path, replacing
from cache.backup.copying import copy_file
from cache.backup.record import Backup, KeptFile
from cache.backup.rows import check_rows, insert_rows
from cache.backup.settling import settle
from cache.database import Database
from cache.errors import Conflict, CorruptData
from cache.identity import hash_file
from cache.store import FOLDERS, Store
from cache.tables import metadata, stores

EMPTY_IT: Final = "give an empty store and an empty database (FEATUREPACK_STORE and _DATABASE)"


def restore(
    backup: Backup,
    database: Database,
    store: Store,
    tell: Callable[[str], None],
    *,
    skip_damaged: bool = False,
) -> list[str]:
    """Make store and database what they were when the backup was taken.

    With ``skip_damaged`` files that no longer give their hash are left out: their paths. Packs
    among them are built anew when they are asked for.

    Raises:
        Conflict: the store or the database is not empty, or the backup's schema is newer.
        CorruptData: the backup is damaged.
        OSError: the store's disk is full or does not answer.
    """
    schema.refuse_unknown(backup.schema, f"the backup {backup.folder}")
    check_rows(backup)
    store.create()
    with database.read() as connection:
        done = _is_restored(connection, store, backup)
    if not done:
        _mark(store, backup)
        damaged = _bring_files(backup, store, tell, skip_damaged)
        with database.write() as connection:
            database.hold_schema(connection)
            _is_restored(connection, store, backup)  # nobody came in between
            _fill(connection, backup, database, store)
    store.restoring_file.unlink(missing_ok=True)
    fsync_path(store.root)
    return [] if done else damaged


def check(backup: Backup, tell: Callable[[str], None]) -> list[str]:
    """Hash everything again, restoring nothing: the paths of files that are damaged or gone.

    Raises:
        CorruptData: the rows are damaged.
    """
    check_rows(backup)
    damaged = []
    for kept in backup.files:
        tell(kept.path)
        if not _gives_hash(backup.file(kept.path), kept):
            damaged.append(kept.path)
    return damaged


def _is_restored(connection: sa.Connection, store: Store, backup: Backup) -> bool:
    """Whether an interrupted restore of this backup has got as far as the rows.

    Raises:
        Conflict: something is in the store or the database that is not this restore's.
    """
    marked = _marked(store)
    if not marked and (found := _first_file(store)):
        raise Conflict(f"the store {store.root} is not empty", value=found, remedy=EMPTY_IT)
    there = set(sa.inspect(connection).get_table_names()) - {"alembic_version"}
    if foreign := sorted(there - metadata.tables.keys()):
        raise Conflict(
            f"the database has the table {foreign[0]!r}, which is not featurepack's",
            value=foreign,
            remedy=EMPTY_IT,
        )
    full = [name for name in sorted(there - {stores.name}) if _has_rows(connection, name)]
    if not full:
        return False
    known = connection.execute(sa.select(stores.c.store_id)).scalar()
    if marked == backup.digest and known == store.identity():
        return True
    raise Conflict(
        f"the database is not empty: its table {full[0]!r} has rows", value=full, remedy=EMPTY_IT
    )


def _has_rows(connection: sa.Connection, table: str) -> bool:
    query = sa.select(sa.literal(1)).select_from(sa.table(table)).limit(1)
    return connection.execute(query).first() is not None


def _first_file(store: Store) -> str | None:
    for name in FOLDERS:
        for path in (store.root / name).rglob("*"):
            if not path.is_dir():
                return str(path)
    return None


def _marked(store: Store) -> str:
    try:
        return store.restoring_file.read_text()
    except FileNotFoundError:
        return ""


def _mark(store: Store, backup: Backup) -> None:
    with replacing(store.restoring_file) as beside:
        beside.write_text(backup.digest)


def _bring_files(
    backup: Backup, store: Store, tell: Callable[[str], None], skip_damaged: bool
) -> list[str]:
    """Copy what is not there yet, delete what is of another restore; what was left out."""
    wanted = {store.root / kept.path for kept in backup.files}
    for name in FOLDERS:
        for path in (store.root / name).iterdir():
            if path not in wanted:
                path.unlink()
    damaged = []
    for kept in backup.files:
        target = store.root / kept.path
        if _gives_hash(target, kept):
            continue
        tell(kept.path)
        if not _copied(backup.file(kept.path), target, kept):
            damaged.append(kept.path)
            target.unlink(missing_ok=True)
    if damaged and not skip_damaged:
        raise CorruptData(
            f"the backup {backup.folder} is damaged: {len(damaged)} files do not give their hash, "
            f"the first is {damaged[0]}",
            value=damaged[:100],
            remedy="restore another backup, or run it again with --skip-damaged: packs among them "
            "are built anew when they are asked for",
        )
    return damaged


def _copied(source: Path, target: Path, kept: KeptFile) -> bool:
    try:
        mode = 0o444 if kept.path.startswith("packs/") else 0o644
        return copy_file(source, target, kept.path, mode).hash == kept.hash
    except FileNotFoundError:
        return False


def _gives_hash(path: Path, kept: KeptFile) -> bool:
    try:
        return path.stat().st_size == kept.bytes and hash_file(path) == kept.hash
    except FileNotFoundError:
        return False


def _fill(connection: sa.Connection, backup: Backup, database: Database, store: Store) -> None:
    """Tables of the backup's schema, its rows, the newest schema, and a new beginning."""
    found = sa.MetaData()
    found.reflect(connection)
    found.drop_all(connection)  # all are empty
    schema.upgrade(connection, backup.schema)
    insert_rows(connection, backup)
    schema.upgrade(connection, schema.newest())
    settle(connection, database, store)
