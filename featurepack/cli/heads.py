"""``train`` and ``heads``."""

from __future__ import annotations

import argparse
from dataclasses import fields

from featurepack.answers import Head
from featurepack.cli.output import Output, percent
from featurepack.cli.parsing import (
    Subcommands,
    UsageError,
    command,
    group,
    numbers,
    whole,
    whole_numbers,
)
from featurepack.cli.scores import details
from featurepack.client import Client
from featurepack.methods import METHODS, Params


def add(commands: Subcommands) -> None:
    parser = command(
        commands,
        "train",
        train,
        "train a head on a pack and show its scores",
        "Without --method it is the labs' recipe. Several values of --l2 or --k (with commas) are "
        "a sweep, of which the best on rows held out of train is taken.",
    )
    parser.add_argument("pack_id", metavar="PACK_ID")
    parser.add_argument("--method", choices=METHODS, default="lab", help="default: lab")
    parser.add_argument("--l2", type=numbers, metavar="R,…", help="linear, ridge (default: 20)")
    parser.add_argument("--tolerance", type=float, metavar="R", help="linear (default: 0.0001)")
    parser.add_argument("--k", type=whole_numbers, metavar="N,…", help="knn (default: ten to 49)")
    parser.add_argument(
        "--hidden", type=whole_numbers, metavar="N,…", help="mlp (default: 1024,1024)"
    )
    parser.add_argument("--dropout", type=float, metavar="R", help="mlp (default: 0.5)")
    parser.add_argument("--epochs", type=whole, metavar="N", help="lab (default: 50), mlp (30)")
    parser.add_argument("--batch", type=whole, metavar="N", help="lab, mlp (default: 256)")
    parser.add_argument("--rate", type=float, metavar="R", help="lab, mlp (default: 0.001)")
    parser.add_argument("--seed", type=whole, metavar="N", help="lab, linear, mlp (default: 0)")
    parser.add_argument("--train", default="train", metavar="SPLIT", help="default: train")
    parser.add_argument(
        "--validation",
        default="validation",
        metavar="SPLIT",
        help="split to score on, or 'none' (default: validation)",
    )
    heads = group(commands, "heads", "list and show heads", show_all)
    parser = command(heads, "list", show_all, "list heads, newest first")
    parser.add_argument("--pack", default=argparse.SUPPRESS, metavar="PACK_ID")
    parser = command(heads, "show", show, "show a head with its scores")
    parser.add_argument("head_id", metavar="HEAD_ID")


def train(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    params = _params(arguments)
    with out.watching_job(f"head on {arguments.pack_id}") as on_progress:
        head = client.train(
            arguments.pack_id,
            params,
            train=arguments.train,
            validation=None if arguments.validation == "none" else arguments.validation,
            on_progress=on_progress,
        )
    out.record(head, details(head))


def _params(arguments: argparse.Namespace) -> Params:
    """Raises UsageError for a setting that the method does not have."""
    kind = METHODS[arguments.method]
    settings = {field.name for each in METHODS.values() for field in fields(each)}
    given = {
        name: value for name in sorted(settings) if (value := getattr(arguments, name)) is not None
    }
    known = {field.name for field in fields(kind)}
    if foreign := given.keys() - known:
        raise UsageError(
            f"{kind.method} has no --{min(foreign)}",
            remedy=f"it has {', '.join(f'--{name}' for name in sorted(known)) or 'no settings'}",
        )
    return kind(**given)


def _row(head: Head) -> tuple[object, ...]:
    metrics = head.metrics
    return (
        head.head_id,
        head.pack_id,
        head.method,
        percent(metrics.get("train_accuracy")),
        percent(metrics.get("validation_accuracy")),
        metrics.get("train_rows"),
        metrics.get("seconds"),
    )


def show_all(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    columns = ("head", "pack", "method", "train", "validation", "rows", "seconds")
    out.listing(client.heads(pack_id=vars(arguments).get("pack")), columns, _row)


def show(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    head = client.head(arguments.head_id)
    out.record(head, details(head))
