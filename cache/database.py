"""The database: tables, transactions and migrations, on SQLite or PostgreSQL.

Times are seconds since 1970 by the database's clock, so that leases compare one clock only.
On SQLite a write transaction begins with ``BEGIN IMMEDIATE``: one that reads first and writes
later would fail at once when another writer came between, whatever ``busy_timeout`` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from cache.errors import InvalidRequest, Unavailable

ACTIVE_STATES = ("queued", "running")
_MIGRATION_LOCK = 7_316_001  # any constant of ours: a PostgreSQL advisory lock's number

metadata = sa.MetaData()
Json = sa.JSON(none_as_null=True)

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("dataset_id", sa.Text, nullable=False, index=True),
    sa.Column("source", Json, nullable=False),
    sa.Column("classes", Json, nullable=False),
    sa.Column("splits", Json, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)

weights = sa.Table(
    "weights",
    metadata,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("network", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("unavailable", Json, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("together", sa.Text, nullable=False),
    sa.Column("spec", Json, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),
    sa.Column("due", sa.Float, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("progress", Json, nullable=False),
    sa.Column("result", Json),
    sa.Column("error", Json),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("finished", sa.Float),
    sa.Index("jobs_claim", "state", "kind", "due"),
    sa.Index("jobs_recent", "created", "id"),
    sa.Index(
        "jobs_one_active",
        "key",
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    ),
)

shards = sa.Table(
    "shards",
    metadata,
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("shard", sa.Integer, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)

packs = sa.Table(
    "packs",
    metadata,
    sa.Column("pack_id", sa.Text, primary_key=True),
    sa.Column("recipe_id", sa.Text, nullable=False, index=True),
    sa.Column("dataset_id", sa.Text, nullable=False, index=True),
    sa.Column("network", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("imported", sa.Boolean, nullable=False),
    sa.Column("recipe", Json, nullable=False),
    sa.Column("dataset_info", Json, nullable=False),
    sa.Column("classes", Json, nullable=False),
    sa.Column("splits", Json, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("row_shape", Json, nullable=False),
    sa.Column("dtype", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("invalid_rows", Json, nullable=False),
    sa.Column("provenance", Json, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("last_used", sa.Float, nullable=False),
    sa.Column("hits", sa.BigInteger, nullable=False),
    sa.Index("packs_recent", "created", "pack_id"),
)

heads = sa.Table(
    "heads",
    metadata,
    sa.Column("head_id", sa.Text, primary_key=True),
    sa.Column("pack_id", sa.Text, nullable=False, index=True),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("params", Json, nullable=False),
    sa.Column("metrics", Json, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Index("heads_recent", "created", "head_id"),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker", sa.Text, primary_key=True),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)


class Database:
    """One engine, and the two kinds of transaction.

    ``url`` is an SQLAlchemy URL: ``sqlite:////path/file.db`` or ``postgresql+psycopg://…``.
    """

    def __init__(self, url: str, *, busy_seconds: float = 30.0) -> None:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise InvalidRequest(
                f"the database {parsed.get_backend_name()!r} is not known",
                value=parsed.get_backend_name(),
                remedy="use sqlite:///… or postgresql+psycopg://…",
            )
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine = sa.create_engine(parsed, connect_args={"timeout": busy_seconds})
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = sa.create_engine(parsed, pool_pre_ping=True)

    @property
    def now(self) -> sa.ColumnElement[float]:
        """Seconds since 1970 by the database's clock, read when the statement runs."""
        if self.is_sqlite:
            return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Float)
        return sa.literal_column("extract(epoch from clock_timestamp())::float8", sa.Float)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with _as_unavailable(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that writes; committed if the block ends well."""
        with _as_unavailable(), self.engine.connect() as connection:
            connection = connection.execution_options(begins_with="BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    def migrate(self) -> None:
        """Bring the tables to the newest form; safe when several processes start together."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Python's sqlite3 must not begin transactions by itself; _begin_sqlite does.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begins_with", "BEGIN"))


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """A database that does not answer is not the caller's mistake."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, sa.exc.OperationalError) or error.connection_invalidated:
            raise Unavailable(
                f"the database does not answer: {str(error.orig).strip()}",
                remedy="try again in some seconds",
            ) from error
        raise
