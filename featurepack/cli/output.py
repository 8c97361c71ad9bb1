"""What the command prints: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from featurepack.answers import Job
from featurepack.progress import Tell, tell_job, watching
from featurepack.terminal import Row, console_for, print_table


class JobWatch:
    """Shows a job, and the upload before it, if there is one."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.last: Job | None = None

    def __call__(self, job: Job) -> None:
        self.last = job
        tell_job(self._tell, job)

    def on_bytes(self, done: int, total: int) -> None:
        self._tell(done, total, "uploading", f"{size(done)} of {size(total)}")


class Output:
    """Results go to stdout, progress and hints to stderr. With ``as_json`` stdout is JSON only."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = console_for(sys.stdout)
        self._err = console_for(sys.stderr)

    def listing(
        self, items: Iterable[Any], columns: Sequence[str], row: Callable[..., Row]
    ) -> None:
        """Items as a table, or as a JSON array."""
        items = list(items)
        if self.as_json:
            self.json(items)
        else:
            print_table(self._out, columns, map(row, items))

    def record(self, item: Any, rows: Iterable[tuple[str, object]] | None = None) -> None:
        """One thing as names and values, or as a JSON object. ``rows`` replaces its fields."""
        if self.as_json:
            self.json(item)
        else:
            print_table(self._out, None, dataclasses.asdict(item).items() if rows is None else rows)

    def line(self, item: Any, text: str) -> None:
        """A sentence, or the JSON of what it tells of."""
        if self.as_json:
            self.json(item)
        else:
            self._out.print(text)

    def text(self, text: str) -> None:
        """Something for another program, as it is."""
        self._out.file.write(text)

    def hint(self, text: str) -> None:
        """What the reader may want to know beside the result."""
        self._err.print(text)

    @contextmanager
    def watching(self, what: str) -> Iterator[Tell]:
        with watching(what, self._err) as tell:
            yield tell

    @contextmanager
    def watching_job(self, what: str) -> Iterator[JobWatch]:
        """For ``on_progress``; if the user ends the waiting, says that the job goes on."""
        watch: JobWatch | None = None
        try:
            with self.watching(what) as tell:
                watch = JobWatch(tell)
                yield watch
        except KeyboardInterrupt:
            if watch and watch.last and not watch.last.is_final:
                self.hint(f"the job goes on; to end it: featurepack jobs cancel {watch.last.id}")
            raise

    def json(self, value: Any) -> None:
        json.dump(value, self._out.file, default=_plain, indent=2, ensure_ascii=False)
        self._out.file.write("\n")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def size(count: int) -> str:
    """Bytes for people: ``9.3 MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}" if unit != "B" else f"{count} B"
        value /= 1000
    return f"{value:.3g} TB"


def shape(sides: Sequence[int]) -> str:
    return " × ".join(map(str, sides))


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def counts(splits: dict[str, Any]) -> str:
    """Splits as ``train 1438, validation 359``, from counts or from [start, stop)."""
    rows = {k: v[1] - v[0] if isinstance(v, list) else v for k, v in splits.items()}
    return ", ".join(f"{name} {count}" for name, count in rows.items())
