"""Which pieces of an unfinished download were written, so that a killed one goes on.

A file of lines, one number of a piece each, after a first line with the length of the file and of
a piece. A line is written after its piece; one without its end does not count. Nothing waits for
the disk: should a machine fail in the middle of a download, a piece may be told and not be there,
which the file's hash shows in the end; what is wrong is then fetched again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from featurepack.local.layout import Span

PIECE_BYTES = 4 << 20
RUN_BYTES = 16 << 20
"""What one request asks for, at most."""

POLL_SECONDS = 0.1

TELL_SECONDS = 0.5
"""Pieces are told at most so often: so much time can be lost."""


class Journal:
    """The pieces of a file of so many bytes; may be used by several threads."""

    def __init__(self, path: Path, part: Path, length: int) -> None:
        self._path = path
        self._part = part
        self._length = length
        self._head = f"{length} {PIECE_BYTES}"
        self._changed = threading.Condition()
        self._untold: list[int] = []
        self._told_at = time.monotonic()
        self._done = self._read()

    @property
    def count(self) -> int:
        """Pieces of the whole file."""
        return -(-self._length // PIECE_BYTES)

    @property
    def bytes_done(self) -> int:
        with self._changed:
            return sum(stop - start for start, stop in map(self.span, self._done))

    def span(self, piece: int) -> Span:
        return piece * PIECE_BYTES, min(self._length, (piece + 1) * PIECE_BYTES)

    def missing(self) -> list[Span]:
        """What is still to be asked for, in runs of whole pieces."""
        runs: list[Span] = []
        for piece in range(self.count):
            if piece in self._done:
                continue
            start, stop = self.span(piece)
            if runs and runs[-1][1] == start and stop - runs[-1][0] <= RUN_BYTES:
                runs[-1] = (runs[-1][0], stop)
            else:
                runs.append((start, stop))
        return runs

    def add(self, first: int, last: int) -> None:
        """The bytes from first to before last were written: whole pieces in them are done."""
        stop = self.count if last == self._length else last // PIECE_BYTES
        new = [piece for piece in range(-(-first // PIECE_BYTES), stop) if piece not in self._done]
        if not new:
            return
        with self._changed:
            self._done.update(new)
            self._untold += new
            self._changed.notify_all()

    def write(self) -> None:
        """Tell what was written since."""
        with self._changed:
            self._told_at = time.monotonic()
            told, self._untold = self._untold, []
        if not told:
            return
        new = not self._path.exists()
        with self._path.open("a") as file:
            file.write("".join(f"{line}\n" for line in ([self._head] if new else []) + told))

    def follow(self, ended: threading.Event) -> Iterator[Span]:
        """Every piece in its turn, when it is there; the journal is written meanwhile.

        Ends early if the download does.
        """
        for piece in range(self.count):
            while not self._waited_for(piece):
                if ended.is_set():
                    return
            yield self.span(piece)

    def _waited_for(self, piece: int) -> bool:
        """Whether a piece is there, now or in a moment."""
        with self._changed:
            there = piece in self._done or self._changed.wait_for(
                lambda: piece in self._done, POLL_SECONDS
            )
        if time.monotonic() - self._told_at > TELL_SECONDS:
            self.write()
        return there

    def forget(self, spans: Iterable[Span]) -> None:
        """Pieces that hold some of these bytes are to be fetched again."""
        bad = {
            piece
            for start, stop in spans
            for piece in range(start // PIECE_BYTES, -(-stop // PIECE_BYTES))
        }
        self._done -= bad
        self._path.unlink(missing_ok=True)
        self._untold = sorted(self._done)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def _read(self) -> set[int]:
        try:
            *lines, _torn = self._path.read_text().split("\n")
            size = self._part.stat().st_size
        except (FileNotFoundError, UnicodeDecodeError):
            lines, size = [], -1
        if size != self._length or lines[:1] != [self._head]:
            self._path.unlink(missing_ok=True)
            return set()
        return {int(line) for line in lines[1:] if line.isdecimal() and int(line) < self.count}
