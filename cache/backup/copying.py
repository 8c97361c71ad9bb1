"""Bringing files into a backup: by a link to the backup before, or copied and checked.

A file in the store never changes under its name, it is only replaced: so one of the same length
and time as that of the backup before is the same, and need not be read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cache.atomic import replacing
from cache.backup.record import Backup, KeptFile
from cache.errors import CorruptData, FeaturepackError
from cache.identity import hash_file, sha256_file
from cache.manifest_file import load_manifest

PIECE_BYTES = 4 << 20
MODE = 0o400
"""A backup is whole or it is none, and what is private stays so."""


@dataclass
class Copier:
    """Fills ``files/`` of the backup in ``folder``.

    ``copied_bytes`` counts what was read; ``tell`` hears of every file.
    """

    root: Path
    folder: Path
    before: Backup | None
    tell: Callable[[str], None]
    kept: dict[str, KeptFile] = field(default_factory=dict)
    copied_bytes: int = 0

    def __post_init__(self) -> None:
        self._earlier = {one.path: one for one in self.before.files} if self.before else {}

    def bring(self, path: str, expected: str | None) -> bool:
        """Have the store's file ``path`` in the backup, with the hash ``expected`` if one is known.

        False where it is gone, or is not what it should be.
        """
        target = self.folder / "files" / path
        try:
            found = (self.root / path).stat()
            size, mtime_ns = found.st_size, found.st_mtime_ns
            if (kept := self.kept.get(path)) is None or not _is_same(kept, size, mtime_ns):
                kept = self._linked(path, size, mtime_ns, target)
            if kept is None:
                kept = self._taken_up(path, size, mtime_ns, target)
            if kept is None or expected not in (None, kept.hash):
                self.tell(path)
                kept = copy_file(self.root / path, target, path, MODE)
                self.copied_bytes += kept.bytes
                _check(target, path)
        except (FileNotFoundError, CorruptData):
            kept = None
        if kept is None or expected not in (None, kept.hash):
            self.kept.pop(path, None)
            return False
        self.kept[path] = kept
        return True

    def _linked(self, path: str, size: int, mtime_ns: int, target: Path) -> KeptFile | None:
        earlier = self._earlier.get(path)
        if self.before is None or earlier is None or not _is_same(earlier, size, mtime_ns):
            return None
        with suppress(OSError):  # a file system without links, or somebody deleted the file
            target.unlink(missing_ok=True)
            target.hardlink_to(self.before.file(path))
            return earlier
        return None

    def _taken_up(self, path: str, size: int, mtime_ns: int, target: Path) -> KeptFile | None:
        """A copy that a run made which was interrupted; it is checked by being read again."""
        with suppress(FileNotFoundError, CorruptData):
            found = target.stat()
            if (found.st_size, found.st_mtime_ns) == (size, mtime_ns):
                _check(target, path)
                return KeptFile(path, size, mtime_ns, hash_file(target))
        return None

    def drop_others(self) -> None:
        """Delete what an interrupted run copied and this one does not need."""
        for path in (self.folder / "files").glob("*/*"):
            if f"{path.parent.name}/{path.name}" not in self.kept:
                path.unlink()


def _is_same(kept: KeptFile, size: int, mtime_ns: int) -> bool:
    return (kept.bytes, kept.mtime_ns) == (size, mtime_ns)


def copy_file(source: Path, target: Path, path: str, mode: int) -> KeptFile:
    """Copy a file with its time; the target's name means that it is whole.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with source.open("rb") as file, replacing(target) as beside:
        time_ns = os.fstat(file.fileno()).st_mtime_ns
        with beside.open("xb") as copy:
            while piece := file.read(PIECE_BYTES):
                copy.write(piece)
        os.utime(beside, ns=(time_ns, time_ns))
        beside.chmod(mode)
        # Read back: what is hashed is what can be read, and not what was meant to be written.
        return KeptFile(path, beside.stat().st_size, time_ns, hash_file(beside))


def _check(copy: Path, path: str) -> None:
    """Files that are named after what is in them prove it. Raises CorruptData."""
    folder, _, name = path.partition("/")
    stem = Path(name).stem
    if folder == "weights" and sha256_file(copy) != stem:
        raise CorruptData(f"{path} does not give its hash", value=path)
    if folder == "datasets" and name.endswith(".h5"):
        try:
            wrong = load_manifest(copy).dataset_id != stem
        except FeaturepackError as error:
            raise CorruptData(error.message, value=path) from error
        if wrong:
            raise CorruptData(f"{path} does not give its id", value=path)
