"""``backup`` and ``restore``: of the store and database of this machine."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from featurepack.cli.parsing import Subcommands
from featurepack.processes import command_for

MODULE = "service.backup"


def add(commands: Subcommands) -> None:
    take = commands.add_parser(
        "backup",
        help="copy store and database while they are used",
        description="Take a backup into a new folder below FOLDER, while service and workers go "
        "on. What did not change is shared with the backup before. Runs where the service runs, "
        "with its settings.",
    )
    take.add_argument("folder", metavar="FOLDER", type=Path)
    take.add_argument(
        "--check",
        action="store_true",
        help="take none: read the newest backup in FOLDER, or FOLDER itself, and check every hash",
    )
    take.set_defaults(local=_backup)
    restore = commands.add_parser(
        "restore",
        help="restore a backup into an empty store and database",
        description="Restore a backup, or the newest one in FOLDER, into an empty store and an "
        "empty database, before service and workers are started. Interrupted, run it again.",
    )
    restore.add_argument("folder", metavar="FOLDER", type=Path)
    restore.add_argument(
        "--skip-damaged",
        action="store_true",
        help="leave out files that are damaged; packs among them are built anew when asked for",
    )
    restore.set_defaults(local=_restore)
    for parser in (take, restore):
        parser.add_argument("--store", type=Path, metavar="FOLDER", help="FEATUREPACK_STORE")
        parser.add_argument("--database", metavar="URL", help="FEATUREPACK_DATABASE")


def _backup(arguments: argparse.Namespace) -> int:
    return _become(arguments, "check" if arguments.check else "take")


def _restore(arguments: argparse.Namespace) -> int:
    options = ["--skip-damaged"] if arguments.skip_damaged else []
    return _become(arguments, "restore", *options)


def _become(arguments: argparse.Namespace, *command: str) -> int:
    """Become the service's own program for it: only that reads the store."""
    given = {
        "FEATUREPACK_STORE": arguments.store and str(arguments.store.resolve()),
        "FEATUREPACK_DATABASE": arguments.database,
    }
    named = {variable: value for variable, value in given.items() if value}
    line, environment = command_for(MODULE, (*command, str(arguments.folder)), named)
    os.execve(line[0], line, environment)  # noqa: S606 - our own module
