"""``python -m service.backup take|restore|check FOLDER``: what ``featurepack backup`` runs.

It reads the store's disk and the database, as the service does and with its settings. A call of
the service would have to send the whole store through HTTP, and could not restore: there is no
service before there is a store.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from cache.backup.record import open_backup
from cache.backup.restoring import check, restore
from cache.backup.taking import take
from cache.database import START_SECONDS, Database
from cache.errors import FeaturepackError
from service.settings import ServiceSettings


def main() -> int:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        return int(arguments.run(arguments))
    except FeaturepackError as error:
        print(f"featurepack: {error.message}; {error.remedy}", file=sys.stderr)
    except OSError as error:
        print(f"featurepack: {error.filename}: {error.strerror}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="service.backup")
    commands = parser.add_subparsers(required=True)
    for name, run in (("take", _take), ("restore", _restore), ("check", _check)):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
        command.set_defaults(run=run)
        if run is _restore:
            command.add_argument("--skip-damaged", action="store_true")
    return parser


def _take(arguments: argparse.Namespace) -> int:
    settings, database = _opened()
    settings.store.check()  # before SQLite makes an empty file where the store should be
    database.wait(START_SECONDS)
    taken = take(database, settings.store, arguments.folder, _teller("copied"))
    backup = taken.backup
    shared = sum(kept.bytes for kept in backup.files) - taken.copied_bytes
    packs = sum(kept.path.startswith("packs/") for kept in backup.files)
    print(
        f"{backup.folder}: {packs} packs, {len(backup.files)} files, {_gb(taken.copied_bytes)} "
        f"copied, {_gb(shared)} shared with the backup before"
    )
    for pack_id in taken.quarantined:
        print(f"pack {pack_id} was damaged and is quarantined", file=sys.stderr)
    for path in backup.missing:
        print(f"{path} is not in the store; the next sweep forgets it", file=sys.stderr)
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    settings, database = _opened()
    backup = open_backup(arguments.folder)
    settings.store.create()
    database.wait(START_SECONDS)
    skip = arguments.skip_damaged
    damaged = restore(backup, database, settings.store, _teller("restored"), skip_damaged=skip)
    print(f"{settings.store.root} is as it was in {backup.folder} ({len(backup.files)} files)")
    for path in damaged:
        print(f"{path} was damaged and is left out", file=sys.stderr)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    backup = open_backup(arguments.folder)
    damaged = check(backup, _teller("read"))
    for path in damaged:
        print(f"{path} is damaged; delete it, and the next backup copies it", file=sys.stderr)
    print(f"{backup.folder}: {len(backup.files) - len(damaged)} of {len(backup.files)} files good")
    return int(bool(damaged))


def _opened() -> tuple[ServiceSettings, Database]:
    settings = ServiceSettings.from_env()
    return settings, Database(settings.database_url)


def _teller(what: str) -> Callable[[str], None]:
    """A line for every file, where somebody watches; cron wants the result alone."""
    if not sys.stderr.isatty():
        return lambda path: None
    return lambda path: print(f"{what} {path}", file=sys.stderr)


def _gb(count: int) -> str:
    return f"{count / 1e9:.3g} GB"


if __name__ == "__main__":
    sys.exit(main())
