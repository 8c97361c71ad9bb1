"""A pack that is here, or is fetched now: by one of all who ask for it, while the others wait."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from featurepack.answers import Pack
from featurepack.errors import CorruptData
from featurepack.files import put_in_place, written_beside
from featurepack.local.disk import told_if_full
from featurepack.local.fetch import OnBytes, Remote, Replaced
from featurepack.local.folder import Entry, Folder
from featurepack.local.journal import Journal
from featurepack.local.layout import Layout
from featurepack.local.locks import alone
from featurepack.local.mapped import Mapped
from featurepack.local.settings import LocalSettings
from featurepack.local.sound import fetch_sound
from featurepack.transport import Transport, segment

log = logging.getLogger("featurepack")


class LocalCache:
    """The packs in one folder. May be used by several threads, and beside other processes.

    Whoever fetches a pack gets it when it is there and checked. Bringing it to the disk, and then
    giving it its final name, is done behind: until then it is here for this process alone.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self.folder = Folder(settings.folder, settings.limit_bytes)
        self._fresh: dict[Entry, Mapped] = {}
        self._keeping: list[threading.Thread] = []

    def settle(self) -> None:
        """Wait until everything that was fetched has its final name."""
        for thread in list(self._keeping):
            thread.join()

    def fits(self, pack: Pack) -> bool:
        """Whether a pack is not larger than all that may be here."""
        return pack.bytes <= self.folder.limit_bytes

    def find(self, pack: Pack) -> Mapped | None:
        """A pack that is here, complete. Raises Conflict where the folder is of a newer version."""
        self.folder.refuse_newer()
        entry = self.folder.entry(pack)
        try:
            layout = Layout.of(json.loads(entry.layout.read_bytes()))
            if entry.file.stat().st_size != layout.bytes:
                return None  # somebody touched it: it is fetched anew
            return Mapped.open(entry.file, layout)
        except (FileNotFoundError, CorruptData, json.JSONDecodeError):
            return self._fresh.get(entry)

    def settled(self, pack: Pack) -> Mapped | None:
        """A pack that is here, complete, for other processes too."""
        self.settle()
        return self.find(pack)

    def get(self, transport: Transport, pack: Pack, on_bytes: OnBytes | None = None) -> Mapped:
        """A pack that is here, or is fetched now.

        Raises:
            Replaced: the service has another file for it by now.
            CorruptData: it came damaged, twice.
            NotFound, ConnectionFailed: it was deleted, or cannot be had.
            DiskFull: there is no room; no file is left behind.
            OSError: the folder cannot be written.
        """
        found = self.find(pack)
        if found is not None:
            return found
        entry = self.folder.entry(pack)
        with ExitStack() as held:
            held.enter_context(alone(entry.lock))
            found = self.find(pack)
            if found is None:
                described = self._fetch(transport, pack, entry, on_bytes)
                found = replace(Mapped.open(entry.part, Layout.of(described)), path=entry.file)
                self._fresh[entry] = found
                self._keep_behind(entry, described, held.pop_all())
        return found

    def _fetch(
        self, transport: Transport, pack: Pack, entry: Entry, on_bytes: OnBytes | None
    ) -> dict[str, Any]:
        """Bring the file; its layout as the service described it."""
        described: dict[str, Any] = transport.json("GET", f"{_path(pack)}/layout", again=True)
        layout = Layout.of(described)
        if (layout.etag, layout.bytes) != (pack.etag, pack.bytes):
            raise Replaced(
                f"pack {pack.pack_id} was replaced",
                value=layout.etag,
                remedy="ask for it again",
            )
        self.folder.make_room(layout.bytes, entry)
        with told_if_full(entry.file):
            self.folder.note_format()
        remote = Remote(f"{_path(pack)}/file", layout.etag, layout.bytes)
        with told_if_full(entry.file):
            journal = Journal(entry.journal, entry.part, layout.bytes)
            fetch_sound(transport, remote, lambda: layout, entry.part, journal, on_bytes)
            journal.write()
        return described

    def _keep_behind(self, entry: Entry, described: dict[str, Any], held: ExitStack) -> None:
        """Keep the file in a thread that outlives all but the end of the process by force.

        Nothing is lost then but the time: what was written is taken up by the next who asks.
        """

        def keep() -> None:
            with held:
                try:
                    _write(entry.layout, json.dumps(described).encode())
                    put_in_place(entry.part, entry.file)
                    entry.journal.unlink(missing_ok=True)
                except OSError as error:  # whoever asked has it; the next one asks again
                    log.warning("%s could not be kept in the cache: %s", entry.name, error)
                finally:
                    del self._fresh[entry]

        self._keeping = [thread for thread in self._keeping if thread.is_alive()]
        self._keeping.append(threading.Thread(target=keep, name=f"keep {entry.name}"))
        self._keeping[-1].start()

    def index(self, pack: Pack, ask: Callable[[], bytes]) -> dict[str, Any]:
        """What the rows of a pack that is here are; ``ask`` brings it the first time."""
        path = self.folder.entry(pack).index
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = ask()
            with told_if_full(path):
                _write(path, data)
        found: dict[str, Any] = json.loads(data)
        return found


def _path(pack: Pack) -> str:
    return f"/v1/packs/{segment(pack.pack_id)}"


def _write(path: Path, data: bytes) -> None:
    with written_beside(path) as beside:
        beside.write_bytes(data)
