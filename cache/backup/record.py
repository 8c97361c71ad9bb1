"""``backup.json``: what a backup holds, and how it proves itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cache import formats
from cache.atomic import replacing
from cache.errors import CorruptData, NotFound
from cache.identity import canonical_json, hash_shard
from cache.store import FOLDERS

RECORD: Final = "backup.json"


@dataclass(frozen=True)
class KeptTable:
    """A table's rows in ``rows/<name>.jsonl``; ``columns`` maps each to its kind, in order."""

    name: str
    columns: dict[str, str]
    rows: int
    hash: str


@dataclass(frozen=True)
class KeptFile:
    """A file in ``files/``; ``path`` is the one below the store, ``mtime_ns`` the store's file's.

    ``hash`` is XXH3-128 of its bytes.
    """

    path: str
    bytes: int
    mtime_ns: int
    hash: str


@dataclass(frozen=True)
class Backup:
    """A complete backup. ``missing`` are files that the database names and the store lacked."""

    folder: Path
    schema: str
    created: str
    featurepack: str
    tables: list[KeptTable]
    files: list[KeptFile]
    missing: list[str]

    @property
    def digest(self) -> str:
        """Of all that is said: which backup it is, wherever its folder lies."""
        return hash_shard(canonical_json(self._said())).hex()

    def _said(self) -> dict[str, Any]:
        said = {name: value for name, value in asdict(self).items() if name != "folder"}
        return said | {"format_version": formats.BACKUP}

    def rows(self, table: str) -> Path:
        return self.folder / "rows" / f"{table}.jsonl"

    def file(self, path: str) -> Path:
        return self.folder / "files" / path

    def write(self) -> None:
        said = self._said() | {"digest": self.digest}
        with replacing(self.folder / RECORD) as beside:
            beside.write_text(json.dumps(said, indent=1), "ascii")


def open_backup(folder: Path) -> Backup:
    """A complete backup, or the newest one of a folder of backups.

    Raises:
        NotFound: there is none.
        CorruptData: what it says about itself does not give its hash.
        Unreachable: its format is newer.
    """
    if not (folder / RECORD).exists():
        complete = backups_in(folder)
        if not complete:
            raise NotFound(
                f"no complete backup in {folder}",
                value=str(folder),
                remedy="name the folder of a backup, or the one in which backups are",
            )
        folder = complete[0]
    try:
        said = json.loads((folder / RECORD).read_bytes())
        formats.refuse_newer(f"the backup {folder}", int(said["format_version"]), formats.BACKUP)
        digest = said.pop("digest")
        del said["format_version"]
        tables = [KeptTable(**one) for one in said.pop("tables")]
        files = [KeptFile(**one) for one in said.pop("files")]
        backup = Backup(folder=folder, tables=tables, files=files, **said)
        if backup.digest != digest:
            raise ValueError("it does not give its hash")
        for kept in files:
            _check_place(kept.path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptData(
            f"the backup {folder} is damaged: {RECORD}: {error}",
            value=str(folder),
            remedy="use another backup",
        ) from error
    return backup


def backups_in(folder: Path) -> list[Path]:
    """The complete backups in a folder, newest first."""
    found = [path.parent for path in folder.glob(f"*/{RECORD}") if path.parent.name[0] != "."]
    return sorted(found, reverse=True)


def _check_place(path: str) -> None:
    """Raises ValueError where a file would not lie in one of the store's folders."""
    folder, _, name = path.partition("/")
    if folder not in FOLDERS or Path(name).name != name or name.startswith("."):
        raise ValueError(f"a file is called {path!r}")
