"""Text for a terminal, and the same text for files and pipes: no markup, no control codes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import IO

from rich.console import Console
from rich.table import Table

Row = Sequence[object]


def console_for(stream: IO[str]) -> Console:
    """A console that prints text as it is, and colours and bars to a terminal alone."""
    plain = not stream.isatty()
    return Console(
        file=stream,
        force_terminal=False if plain else None,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=plain,
    )


def print_table(console: Console, columns: Sequence[str] | None, rows: Iterable[Row]) -> None:
    """Rows under headings, or pairs of name and value; aligned text where there is no terminal."""
    cells = [[cell(value) for value in row] for row in rows]
    if not console.is_terminal:
        lines = cells if columns is None else [list(columns), *cells]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
            console.print("  ".join(padded).rstrip())
        return
    table = Table.grid(padding=(0, 2)) if columns is None else Table()
    for name in columns or ("name", "value"):
        table.add_column(name, overflow="fold")
    for row in cells:
        table.add_row(*row)
    console.print(table)


def cell(value: object) -> str:
    """A value as text of one line that no terminal takes for a command."""
    if value is None:
        text = "-"
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, datetime):
        text = value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    elif isinstance(value, dict | list | tuple):
        text = json.dumps(value, default=str, ensure_ascii=False)
    else:
        text = str(value)
    return "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text)
