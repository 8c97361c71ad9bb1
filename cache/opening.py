"""How a process opens store and database when it starts: what is missing is made first."""

from __future__ import annotations

from cache.binding import bind_store
from cache.database import START_SECONDS, Database
from cache.store import Store


def open_database(url: str, store: Store) -> Database:
    """Create the store's folders, and bring the database to its newest form.

    Any number of processes may do so at once: one migrates, the others wait for it. It is waited
    for a server that is still starting.

    Raises:
        Conflict: the database belongs to another store.
        Unavailable: the database does not answer.
    """
    database = Database(url)
    store.create()
    database.wait(START_SECONDS)
    database.migrate()
    bind_store(database, store)
    return database
