"""The schema's revisions: which one a database has, which ones this version knows."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from cache.errors import Conflict

EMPTY = "base"
"""The revision of a database without tables, as Alembic calls it."""


def newest() -> str:
    found = _scripts().get_current_head()
    assert found is not None
    return found


def revision_of(connection: sa.Connection) -> str:
    """The revision of a database; ``EMPTY`` where there are no tables yet."""
    return MigrationContext.configure(connection).get_current_revision() or EMPTY


def refuse_unknown(revision: str, what: str = "the database") -> None:
    """Raises Conflict where a newer version made the revision."""
    known = [script.revision for script in _scripts().walk_revisions()]
    if revision != EMPTY and revision not in known:
        raise Conflict(
            f"{what} has the schema {revision}; this version of featurepack knows them up to "
            f"{newest()}",
            value=revision,
            remedy="it is of a newer version: use that one, or restore a backup from before the "
            "upgrade into an empty store and database",
        )


def upgrade(connection: sa.Connection, revision: str) -> None:
    """Migrate to a revision, within the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
