"""Tables ↔ lines of JSON that mean the same to SQLite and PostgreSQL.

No list says what is taken: every table and every column that the code has (:mod:`cache.tables`,
which a test compares with the migrations). JSON columns are carried as the text that they are,
bytes in base64.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from cache.backup.record import Backup, KeptTable
from cache.errors import CorruptData
from cache.identity import hash_file
from cache.tables import metadata

ROWS_AT_ONCE: Final = 500

_KINDS: Final = (
    (sa.JSON, "json"),
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Float, "float"),
    (sa.String, "text"),
    (sa.LargeBinary, "bytes"),
)


def write_rows(connection: sa.Connection, folder: Path) -> list[KeptTable]:
    """Every row of every table, one file a table."""
    return [_write_table(connection, table, folder) for table in metadata.sorted_tables]


def _write_table(connection: sa.Connection, table: sa.Table, folder: Path) -> KeptTable:
    columns = {column.name: kind_of(column) for column in table.columns}
    path, rows = folder / f"{table.name}.jsonl", 0
    query = sa.select(*(_readable(connection, column) for column in table.columns))
    found = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)
    with path.open("w", encoding="ascii") as file:
        for row in found:
            values = map(_plain, columns.values(), row)
            file.write(json.dumps(list(values), separators=(",", ":")) + "\n")
            rows += 1
    return KeptTable(table.name, columns, rows, hash_file(path))


def kind_of(column: sa.Column[Any]) -> str:
    """Raises TypeError for a type that nobody has taught a backup."""
    for type_, kind in _KINDS:
        if isinstance(column.type, type_):
            return kind
    raise TypeError(f"column {column}: how is {column.type!r} kept in a backup?")


def _readable(connection: sa.Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if not isinstance(column.type, sa.JSON):
        return column
    if connection.dialect.name == "sqlite":  # where JSON is a text, or a bare number
        return sa.type_coerce(column, sa.Text)
    return sa.cast(column, sa.Text)


def _plain(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "bytes":
        return b64encode(value).decode("ascii")
    if kind == "json" and not isinstance(value, str):
        return json.dumps(value)
    return value


def check_rows(backup: Backup) -> None:
    """Raises CorruptData where a table's rows do not give their hash."""
    for kept in backup.tables:
        path = backup.rows(kept.name)
        if not path.exists() or hash_file(path) != kept.hash:
            raise _damaged(backup, f"{path.name} does not give its hash")


def insert_rows(connection: sa.Connection, backup: Backup) -> None:
    """Put a backup's rows, which were checked, into empty tables of the backup's schema.

    Raises:
        CorruptData: the schema has no such table or column.
    """
    inspector = sa.inspect(connection)
    for kept in backup.tables:
        if not inspector.has_table(kept.name):
            raise _damaged(backup, f"schema {backup.schema} has no table {kept.name}")
        there = {column["name"] for column in inspector.get_columns(kept.name)}
        if not kept.columns.keys() <= there:
            raise _damaged(backup, f"schema {backup.schema} has not all columns of {kept.name}")
        # Columns without a type: the database converts what it is given.
        table = sa.table(kept.name, *(sa.column(name) for name in kept.columns))
        rows = _read_table(backup.rows(kept.name), kept)
        while some := list(islice(rows, ROWS_AT_ONCE)):
            connection.execute(sa.insert(table), some)


def _read_table(path: Path, kept: KeptTable) -> Iterator[dict[str, Any]]:
    bytes_ = [name for name, kind in kept.columns.items() if kind == "bytes"]
    with path.open(encoding="ascii") as file:
        for line in file:
            row = dict(zip(kept.columns, json.loads(line), strict=True))
            for name in bytes_:
                row[name] = None if row[name] is None else b64decode(row[name])
            yield row


def _damaged(backup: Backup, what: str) -> CorruptData:
    return CorruptData(
        f"the backup {backup.folder} is damaged: {what}", value=what, remedy="use another backup"
    )
