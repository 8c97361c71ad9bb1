"""A study as CSV, one line for each cell, and as Markdown, for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from cache.identity import canonical_json
from service.study_answers import CellAnswer, RankAnswer, StudyAnswer, TableEntry

COLUMNS = (
    "network",
    "tap",
    "dataset",
    "method",
    "params",
    "subset",
    "state",
    "accuracy",
    "interval_low",
    "interval_high",
    "train_rows",
    "validation_rows",
    "train_seconds",
    "extraction_seconds",
    "pack_bytes",
    "pack_id",
    "head_id",
    "error",
)


def as_csv(study: StudyAnswer) -> str:
    """UTF-8, RFC 4180; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for cell in study.cells:
        low, high = cell.interval or (None, None)
        values = cell.model_dump() | {
            "params": canonical_json(cell.params).decode(),
            "subset": canonical_json(cell.subset).decode() if cell.subset else None,
            "interval_low": low,
            "interval_high": high,
            "error": cell.error["detail"] if cell.error else None,
        }
        writer.writerow([values[name] for name in COLUMNS])
    return text.getvalue()


def as_markdown(study: StudyAnswer) -> str:
    return "\n".join(_markdown(study)) + "\n"


def _markdown(study: StudyAnswer) -> Iterator[str]:
    done, total = (study.progress[f"cells_{name}"] for name in ("done", "total"))
    yield f"# Study {study.study_id}: {study.state}, {done} of {total} cells"
    for table in study.tables:
        yield from ("", f"## {table.method}", "")
        yield from markdown_table(
            ["network", *table.datasets],
            ([row.network, *map(_entry, row.entries)] for row in table.rows),
        )
    for ranking in study.ranking:
        if ranking.places:
            by_head = {cell.head_id: cell for cell in study.cells if cell.head_id}
            yield from ("", f"## Ranking on {ranking.dataset}", "")
            yield from markdown_table(
                [
                    "rank",
                    "network",
                    "layer",
                    "method",
                    "accuracy",
                    "95 % interval",
                    "p",
                    "training s",
                    "extraction s",
                    "MB",
                ],
                (_place(place, by_head[place.head_id]) for place in ranking.places),
            )
            yield from ("", RANKING_NOTE)
    others = [cell for cell in study.cells if cell.state != "succeeded"]
    if others:
        yield from ("", "## Not there", "")
        yield from markdown_table(
            ["network", "layer", "dataset", "method", "state", "why"], map(_other, others)
        )


RANKING_NOTE = (
    "`=` marks ties: their intervals overlap with that of the best. p is McNemar's, against the "
    "best, on the same images; it is sharper, but several comparisons make a small one likelier "
    "than it says."
)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for line in (columns, ["---"] * len(columns), *rows):
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def between(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _entry(entry: TableEntry | None) -> str:
    if entry is None:
        return "–"
    return f"{percent(entry.accuracy)} ({between(entry.interval)}) `{entry.tap}`"


def _place(place: RankAnswer, cell: CellAnswer) -> list[object]:
    return [
        f"{place.rank} =" if place.tie else place.rank,
        place.network,
        f"`{place.tap}`",
        place.method,
        percent(place.accuracy),
        between(place.interval),
        "" if place.p_value is None else f"{place.p_value:.2g}",
        _number(cell.train_seconds),
        _number(cell.extraction_seconds),
        _number(None if cell.pack_bytes is None else cell.pack_bytes / 1e6),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _other(cell: CellAnswer) -> list[object]:
    why = cell.error["detail"] if cell.error else ""
    return [cell.network, f"`{cell.tap}`", cell.dataset, cell.method, cell.state, why]
