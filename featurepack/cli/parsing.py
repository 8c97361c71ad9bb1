"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from featurepack.cli.output import Output
from featurepack.client import Client
from featurepack.errors import FeaturepackError

Subcommands = Any
"""argparse's own type for the result of ``add_subparsers`` is private."""

Run = Callable[[Client, Output, argparse.Namespace], None]


class UsageError(FeaturepackError):
    """Arguments that do not go together; exit status 2."""


def command(
    commands: Subcommands, name: str, run: Run | None, help: str, more: str = ""
) -> argparse.ArgumentParser:
    """A command that talks to a service: ``--url`` and ``--json`` work before and after it."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + "." + (f" {more}" if more else ""),
    )
    parser.add_argument(
        "--url", default=argparse.SUPPRESS, help="the service's address (else FEATUREPACK_URL)"
    )
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def group(commands: Subcommands, name: str, help: str, run: Run | None = None) -> Subcommands:
    """A command of commands; ``run`` is what it does without one."""
    parser = command(commands, name, run, help)
    return parser.add_subparsers(metavar="COMMAND", required=run is None)


def add_private(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--private", action="store_true", help="seen by your own team alone, with all made of it"
    )


def whole(text: str) -> int:
    """A whole number from 0."""
    number = int(text)
    if number < 0:
        raise ValueError
    return number


whole.__name__ = "whole number"


def positive(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


positive.__name__ = "whole number from 1"


def share(text: str) -> float:
    """A number between 0 and 1."""
    number = float(text)
    if not 0 < number < 1:
        raise ValueError
    return number


share.__name__ = "share between 0 and 1"


def numbers(text: str) -> list[float]:
    """Numbers with commas between."""
    return [float(part) for part in text.split(",")]


def whole_numbers(text: str) -> list[int]:
    """Whole numbers with commas between."""
    return [positive(part) for part in text.split(",")]


numbers.__name__ = "number, or several with commas"
whole_numbers.__name__ = "whole number from 1, or several with commas"
