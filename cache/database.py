"""The database: tables, transactions and migrations, on SQLite or PostgreSQL.

Times are seconds since 1970 by the database's clock, so that leases compare one clock only.
On SQLite a write transaction begins with ``BEGIN IMMEDIATE``: one that reads first and writes
later would fail at once when another writer came between, whatever ``busy_timeout`` says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from cache.counts import Counts
from cache.errors import InvalidRequest, Unavailable
from cache.patience import PatientConnection

log = logging.getLogger("featurepack.cache")

START_SECONDS = 60.0
"""How long a process that starts waits for the database."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
MIGRATION_SECONDS = 3600.0
CONNECT_SECONDS = 5
IDLE_SECONDS = 10
SNAPSHOT_SECONDS = 600
"""How long a snapshot, which holds nobody up, may stand idle."""
POOL: Final = {"pool_size": 5, "max_overflow": 45}
"""A connection for each thread that may want one: they share the server, not a queue for it."""
_MIGRATION_LOCK = 7_316_001  # any constant of ours: a PostgreSQL advisory lock's number


class Database:
    """One engine, and the two kinds of transaction.

    ``url`` is an SQLAlchemy URL: ``sqlite:////path/file.db`` or ``postgresql+psycopg://…``.
    ``counts`` is what this process counted of what it did with it.
    """

    def __init__(self, url: str, *, busy_seconds: float = 30.0) -> None:
        self.counts = Counts()
        parsed = sa.make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise InvalidRequest(
                f"the database {parsed.get_backend_name()!r} is not known",
                value=parsed.get_backend_name(),
                remedy="use sqlite:///… or postgresql+psycopg://…",
            )
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            options: dict[str, Any] = {"timeout": busy_seconds}
            self.engine = sa.create_engine(parsed, connect_args=options, **POOL)
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            # A server that does not greet us in time is as good as one that is not there; and a
            # process of ours that freezes in a transaction must not keep its locks.
            options = {
                "connect_timeout": CONNECT_SECONDS,
                "options": f"-c idle_in_transaction_session_timeout={1000 * IDLE_SECONDS}",
            }
            self.engine = sa.create_engine(parsed, pool_pre_ping=True, connect_args=options, **POOL)
            sa.event.listen(self.engine, "do_connect", _connect_patiently)

    @property
    def now(self) -> sa.ColumnElement[float]:
        """Seconds since 1970 by the database's clock, read when the statement runs."""
        if self.is_sqlite:
            return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Float)
        return sa.literal_column("extract(epoch from clock_timestamp())::float8", sa.Float)

    def time(self, connection: sa.Connection) -> float:
        """What :attr:`now` is at this moment."""
        return float(connection.execute(sa.select(self.now)).scalar_one())

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with _as_unavailable(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """A transaction that sees one moment, however much it reads and others write.

        On SQLite in WAL mode every one does, from its first read on.
        """
        with _as_unavailable(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                if not self.is_sqlite:  # the disk to which rows are copied may be slow
                    idle = f"SET LOCAL idle_in_transaction_session_timeout = '{SNAPSHOT_SECONDS}s'"
                    connection.execute(sa.text(idle))
                yield connection

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """A transaction that writes; committed if the block ends well.

        One that is not ``durable`` survives the process but, on SQLite, perhaps not a power cut:
        for signs of life, which would otherwise hold the database's one lock while the disk is
        synchronised.
        """
        with _as_unavailable(), self.engine.connect() as connection:
            connection = connection.execution_options(
                begins_with="BEGIN IMMEDIATE", durable=durable
            )
            with connection.begin():
                yield connection

    def wait(self, seconds: float) -> None:
        """Wait until a server answers that is still starting, or is started again.

        Raises:
            Unavailable: it does not answer within ``seconds``; a file that cannot be opened is
                not waited for.
        """
        deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
        while True:
            try:
                with self.read() as connection:
                    connection.execute(sa.select(1))
                return
            except Unavailable as error:
                if self.is_sqlite or time.monotonic() + pause > deadline:
                    raise
                log.warning("%s; trying again in %.1f s", error.message, pause)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def migrate(self) -> None:
        """Bring the tables to the newest form; safe when several processes start together.

        Raises:
            Conflict: they have a newer form than this version knows.
        """
        from cache import schema  # Alembic takes long to be imported

        newest = schema.newest()
        with self.read() as connection:  # the usual case needs no lock
            revision = schema.revision_of(connection)
            if revision == newest:
                return
            schema.refuse_unknown(revision)
        with self.write() as connection:
            self.hold_schema(connection)
            schema.upgrade(connection, newest)

    def hold_schema(self, connection: sa.Connection) -> None:
        """Nobody else migrates until the transaction ends, however long that takes."""
        if not self.is_sqlite:
            # Another process may migrate just now, and changing large tables takes long.
            driver = connection.connection.driver_connection
            assert isinstance(driver, PatientConnection)
            driver.patience = MIGRATION_SECONDS
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))

    def time_statements(self, tell: Callable[[float], object]) -> None:
        """From now on, ``tell`` the seconds of each statement until the database answered."""

        def before(*arguments: Any) -> None:
            arguments[4]._began = time.perf_counter()

        def after(*arguments: Any) -> None:
            tell(time.perf_counter() - arguments[4]._began)

        sa.event.listen(self.engine, "before_cursor_execute", before)
        sa.event.listen(self.engine, "after_cursor_execute", after)

    def close(self) -> None:
        self.engine.dispose()


def _connect_patiently(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
    return PatientConnection.connect(*arguments, **options)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Python's sqlite3 must not begin transactions by itself; _begin_sqlite does.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    durable = options.get("durable", True)
    connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    connection.exec_driver_sql(options.get("begins_with", "BEGIN"))


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """A database that does not answer is not the caller's mistake."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise Unavailable(
            "the database has no connection left", remedy="try again in some seconds"
        ) from error
    except DBAPIError as error:
        if "disk is full" in str(error.orig):
            raise Unavailable(
                "the database's disk is full", remedy="make space; nothing else is needed"
            ) from error
        if isinstance(error, sa.exc.OperationalError) or error.connection_invalidated:
            raise Unavailable(
                f"the database does not answer: {str(error.orig).strip()}",
                remedy="try again in some seconds",
            ) from error
        raise
