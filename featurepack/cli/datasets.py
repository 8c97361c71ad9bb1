"""``datasets``: which images there are."""

from __future__ import annotations

import argparse
from pathlib import Path

from featurepack.answers import Dataset
from featurepack.cli.output import Output, counts, size
from featurepack.cli.parsing import Subcommands, UsageError, add_private, command, group
from featurepack.client import Client


def add(commands: Subcommands) -> None:
    datasets = group(commands, "datasets", "register, list, show and delete datasets", show_all)
    parser = command(
        datasets,
        "add",
        register,
        "register or upload a dataset",
        "FILES are uploaded: an archive (.zip, .tar, .tar.gz) or a folder of images, or .npz, .h5 "
        "or pickle files of arrays. A name that is taken gets a new version.",
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("files", metavar="FILES", nargs="*", type=Path)
    add_private(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--builtin", choices=["digits"], help="a dataset that needs no download")
    source.add_argument("--torchvision", metavar="SET", help="such as cifar10, gtsrb, flowers102")
    source.add_argument(
        "--folder", metavar="PATH", help="a folder of the service's, below its data root"
    )
    command(datasets, "list", show_all, "list the newest version of every dataset")
    for name, run, text in (
        ("show", show, "show a dataset"),
        ("delete", delete, "forget all versions of a dataset; its packs stay"),
    ):
        parser = command(datasets, name, run, text)
        parser.add_argument("name", metavar="NAME", help="or NAME@VERSION")


def register(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    sources = {
        "builtin": ("name", arguments.builtin),
        "torchvision": ("name", arguments.torchvision),
        "folder": ("path", arguments.folder),
    }
    given = [
        {"kind": kind, field: value}
        for kind, (field, value) in sources.items()
        if value is not None
    ]
    if bool(given) == bool(arguments.files):
        raise UsageError(
            "give FILES, or one of --builtin, --torchvision and --folder",
            remedy="featurepack datasets add --help has more",
        )
    with out.watching_job(f"dataset {arguments.name}") as watch:
        if given:
            dataset = client.add_dataset(
                arguments.name, given[0], private=arguments.private, on_progress=watch
            )
        else:
            dataset = client.upload_dataset(
                arguments.name,
                arguments.files,
                private=arguments.private,
                on_progress=watch,
                on_bytes=watch.on_bytes,
            )
    out.line(
        dataset,
        f"{dataset.name}@{dataset.version}: {counts(dataset.splits)} images "
        f"of {len(dataset.classes)} classes",
    )


def show_all(client: Client, out: Output, _: argparse.Namespace) -> None:
    columns = ("dataset", "version", "rows", "splits", "classes", "size", "created", "marks")
    out.listing(client.datasets(), columns, _row)


def _row(dataset: Dataset) -> tuple[object, ...]:
    return (
        dataset.name,
        dataset.version,
        dataset.rows,
        counts(dataset.splits),
        len(dataset.classes),
        size(dataset.bytes),
        dataset.created,
        "private" if dataset.private else "",
    )


def show(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    out.record(client.dataset(arguments.name))


def delete(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    client.delete_dataset(arguments.name)
    out.line({"deleted": arguments.name}, f"dataset {arguments.name} is deleted")
