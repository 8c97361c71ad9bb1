"""A database belongs to one store. With another one, or with none because its volume is not
mounted, every row would seem to lack its file, and a sweep would clear the catalogue."""

from __future__ import annotations

import sqlalchemy as sa

from cache.database import Database
from cache.errors import Conflict
from cache.store import Store
from cache.tables import stores

_BINDING_LOCK = 7_316_002  # any constant of ours: a PostgreSQL advisory lock's number


def bind_store(database: Database, store: Store) -> None:
    """Remember the store's id in a new database; in a known one, check it.

    Where the store has an id already, its database was lost, and nothing in it counts as older
    than the new one: there is time to restore the old.

    Raises:
        Conflict: the database belongs to another store, or a backup is being restored.
    """
    if store.restoring_file.exists():
        raise Conflict(
            f"the restore of a backup into {store.root} is not complete",
            value=str(store.root),
            remedy="run the same featurepack restore again: it goes on where it was",
        )
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_BINDING_LOCK)))
        known = connection.execute(sa.select(stores.c.store_id)).scalar()
        if known is None:
            if store.identity() is not None:
                store.note_new_database()
            connection.execute(sa.insert(stores).values(store_id=store.make_identity()))
            return
    if store.identity() != known:
        raise Conflict(
            f"this database belongs to another store than {store.root}; is the volume mounted?",
            value=str(store.root),
            remedy="mount the store, or name the right FEATUREPACK_STORE and FEATUREPACK_DATABASE; "
            f"if this is the store after all, write {known} into {store.identity_file}",
        )
