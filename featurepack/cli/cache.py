"""``cache``: the packs that are kept on this machine."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from featurepack.cli.output import Output, size
from featurepack.cli.parsing import Subcommands, command
from featurepack.client import Client
from featurepack.local.folder import Entry, Folder
from featurepack.local.settings import LocalSettings


def add(commands: Subcommands) -> None:
    parser = command(
        commands,
        "cache",
        show,
        "list the packs that are kept on this machine",
        "FEATUREPACK_CACHE names their folder, FEATUREPACK_CACHE_BYTES says how much may be in it.",
    )
    parser.add_argument("--clear", action="store_true", help="delete those that nobody uses")


def show(_client: Client, out: Output, arguments: argparse.Namespace) -> None:
    settings = LocalSettings.chosen()
    folder = Folder(settings.folder, settings.limit_bytes)
    if arguments.clear:
        freed = folder.clear()
        out.line(
            {"folder": str(folder.path), "freed": freed}, f"{folder.path}: {size(freed)} freed"
        )
    elif out.as_json:
        out.json([dict(zip(COLUMNS, _values(entry), strict=True)) for entry in folder.entries()])
    else:
        out.listing(folder.entries(), COLUMNS, _row)


COLUMNS = ("pack", "bytes", "complete", "last_used")


def _values(entry: Entry) -> tuple[str, int, bool, datetime]:
    used = datetime.fromtimestamp(entry.last_used, UTC)
    return entry.name, entry.bytes, entry.is_complete, used


def _row(entry: Entry) -> tuple[object, ...]:
    name, count, complete, used = _values(entry)
    return name, size(count), complete, used
