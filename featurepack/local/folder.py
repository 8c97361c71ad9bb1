"""The folder of packs that were fetched: one of its own for each, by pack id and ETag.

    <pack_id>-<etag>/pack.h5      the file, complete and checked: the name means that
                     layout.json  where its arrays lie
                     index.json   what its rows are, if somebody asked for it
                     pack.part, journal   a download that is not complete
                     lock         whoever fetches the pack holds it; the others wait
    format                        the version of all this; a newer one is left alone

The least recently used ones go when there is no room, but none that is fetched or mapped just now:
a map holds a shared lock on its file. Any number of processes and threads may use one folder.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from featurepack.answers import Pack
from featurepack.errors import Conflict
from featurepack.files import written_beside
from featurepack.local.locks import if_free

FORMAT: Final = 1


@dataclass(frozen=True)
class Entry:
    """One pack's folder. ``last_used`` in seconds since 1970."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "pack.h5"

    @property
    def layout(self) -> Path:
        return self.folder / "layout.json"

    @property
    def index(self) -> Path:
        return self.folder / "index.json"

    @property
    def part(self) -> Path:
        return self.folder / "pack.part"

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def is_complete(self) -> bool:
        return self.file.exists()

    @property
    def bytes(self) -> int:
        return sum(one.st_size for one in self._files())

    @property
    def last_used(self) -> float:
        return max((one.st_mtime for one in self._files()), default=0.0)

    def _files(self) -> Iterator[os.stat_result]:
        with suppress(FileNotFoundError):  # it goes just now
            for path in self.folder.iterdir():
                with suppress(FileNotFoundError):
                    yield path.stat()

    def remove(self) -> bool:
        """Delete it with everything in it, unless it is fetched or mapped just now."""
        with if_free(self.lock) as nobody_fetches, if_free(self.file) as nobody_maps:
            if not (nobody_fetches and nobody_maps):
                return False
            gone = self.folder.with_name(f".{secrets.token_hex(8)}.gone")
            with suppress(FileNotFoundError):
                os.replace(self.folder, gone)  # at once, so that nobody meets half of it
            shutil.rmtree(gone, ignore_errors=True)
            return True


@dataclass(frozen=True)
class Folder:
    """All packs that are here, and how many bytes they may take."""

    path: Path
    limit_bytes: int

    def entry(self, pack: Pack) -> Entry:
        """Where a pack is, or would be."""
        return Entry(self.path / f"{_safe(pack.pack_id)}-{_safe(pack.etag)}")

    @property
    def _format(self) -> Path:
        return self.path / "format"

    def refuse_newer(self) -> None:
        """Raises Conflict where a newer version of this package keeps packs here."""
        try:
            version = int(self._format.read_text())
        except (FileNotFoundError, ValueError):
            return
        if version > FORMAT:
            raise Conflict(
                f"the packs in {self.path} have format {version}, this version of featurepack "
                f"knows {FORMAT}",
                value=version,
                remedy="update featurepack, or name another folder (FEATUREPACK_CACHE)",
            )

    def note_format(self) -> None:
        """Say in a new folder which version its packs have."""
        if not self._format.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            with written_beside(self._format) as beside:
                beside.write_text(f"{FORMAT}\n")

    def entries(self) -> list[Entry]:
        """The most recently used first. Raises Conflict where they are of a newer version."""
        self.refuse_newer()
        found = self.path.iterdir() if self.path.is_dir() else ()
        entries = [Entry(one) for one in found if one.is_dir() and not one.name.startswith(".")]
        return sorted(entries, key=lambda entry: entry.last_used, reverse=True)

    def make_room(self, needed: int, entry: Entry) -> None:
        """Delete the least recently used packs until ``needed`` bytes for ``entry`` fit.

        Those in use stay, so that the limit may be passed for a while.
        """
        for leftover in self.path.glob(".*.gone"):
            shutil.rmtree(leftover, ignore_errors=True)
        others = [other for other in self.entries() if other != entry]
        sizes = {other.folder: other.bytes for other in others}
        total = needed + sum(sizes.values())
        while total > self.limit_bytes and others:
            oldest = others.pop()
            if oldest.remove():
                total -= sizes[oldest.folder]

    def clear(self) -> int:
        """Delete all packs that are not in use; how many bytes were freed."""
        return sum(size for entry in self.entries() if (size := entry.bytes) and entry.remove())


def _safe(name: Any) -> str:
    """A name that is no path, whoever chose it."""
    return re.sub(r"[^0-9A-Za-z_-]", "_", str(name))[:100]
