"""``train`` and ``heads``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from featurepack.answers import Head
from featurepack.cli.output import Output, percent
from featurepack.cli.parsing import Subcommands, command, group, whole
from featurepack.client import Client


def add(commands: Subcommands) -> None:
    parser = command(
        commands,
        "train",
        train,
        "train a head on a pack and show its accuracy",
        "One softmax layer by the labs' recipe: Adam, 50 epochs, batches of 256.",
    )
    parser.add_argument("pack_id", metavar="PACK_ID")
    parser.add_argument("--epochs", type=whole, metavar="N", help="default: 50")
    parser.add_argument("--batch", type=whole, metavar="N", help="default: 256")
    parser.add_argument("--rate", type=float, metavar="R", help="learning rate (default: 0.001)")
    parser.add_argument("--seed", type=whole, metavar="N", help="default: 0")
    parser.add_argument("--train", default="train", metavar="SPLIT", help="default: train")
    parser.add_argument(
        "--validation",
        default="validation",
        metavar="SPLIT",
        help="split to look at after every epoch, or 'none' (default: validation)",
    )
    heads = group(commands, "heads", "list and show heads", show_all)
    parser = command(heads, "list", show_all, "list heads, newest first")
    parser.add_argument("--pack", default=argparse.SUPPRESS, metavar="PACK_ID")
    parser = command(heads, "show", show, "show a head with its scores")
    parser.add_argument("head_id", metavar="HEAD_ID")


def train(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    with out.watching_job(f"head on {arguments.pack_id}") as on_progress:
        head = client.train(
            arguments.pack_id,
            epochs=arguments.epochs,
            batch=arguments.batch,
            rate=arguments.rate,
            seed=arguments.seed,
            train=arguments.train,
            validation=None if arguments.validation == "none" else arguments.validation,
            on_progress=on_progress,
        )
    out.record(head, _details(head))


def _row(head: Head) -> tuple[object, ...]:
    metrics = head.metrics
    return (
        head.head_id,
        head.pack_id,
        percent(metrics.get("train_accuracy")),
        percent(metrics.get("validation_accuracy")),
        metrics.get("train_rows"),
        head.params.get("epochs"),
        metrics.get("seconds"),
    )


def show_all(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    columns = ("head", "pack", "train", "validation", "rows", "epochs", "seconds")
    out.listing(client.heads(pack_id=vars(arguments).get("pack")), columns, _row)


def show(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    head = client.head(arguments.head_id)
    out.record(head, _details(head))


def _details(head: Head) -> Iterator[tuple[str, object]]:
    yield from (("head", head.head_id), ("pack", head.pack_id), ("method", head.method))
    yield "created", head.created
    yield from head.params.items()
    for name, value in head.metrics.items():
        if name != "curves":
            yield name.replace("_", " "), percent(value) if "accuracy" in name else value
