"""``packs``, ``pull``, ``verify`` and ``import``."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from featurepack.answers import Pack
from featurepack.cli.labs import LabFile, guess
from featurepack.cli.output import Output, counts, shape, size
from featurepack.cli.parsing import Subcommands, UsageError, add_private, command, group, positive
from featurepack.client import Client


def add(commands: Subcommands) -> None:
    packs = group(commands, "packs", "list, show, keep and delete packs", show_all)
    parser = command(packs, "list", show_all, "list packs, newest first")
    parser.add_argument("--network", default=argparse.SUPPRESS)
    parser.add_argument("--dataset", default=argparse.SUPPRESS)
    for name, run, text in (
        ("show", show, "show a pack with its recipe and provenance"),
        ("pin", pin, "keep a pack: it is never evicted to make room"),
        ("unpin", unpin, "let a pack go when room is needed"),
        ("delete", delete, "delete a pack and the heads trained on it"),
    ):
        _pack_id(command(packs, name, run, text))
    parser = command(
        commands,
        "pull",
        pull,
        "download a pack as an HDF5 or NumPy file",
        "An .h5 download that broke goes on where it ended.",
    )
    _pack_id(parser)
    parser.add_argument("path", metavar="OUT", type=Path, help="a name that ends in .h5 or .npz")
    parser = command(
        commands,
        "verify",
        verify,
        "hash a pack again and compare",
        "A damaged pack is not served any more; submitting its pair again builds it anew.",
    )
    _pack_id(parser)
    parser.add_argument(
        "--rows", type=positive, metavar="K", help="extract K random rows again, too"
    )
    parser = command(
        commands,
        "import",
        import_,
        "take in the labs' bottleneck pickles as a pack",
        "Network and dataset are guessed from names like "
        "vgg_cifar10_100_bottleneck_features_train.p.",
    )
    parser.add_argument("train", metavar="TRAIN.p", type=Path)
    parser.add_argument("validation", metavar="VALIDATION.p", type=Path, nargs="?")
    parser.add_argument("--network", help="what the features were made with")
    parser.add_argument("--dataset", help="what they were made of")
    add_private(parser)


def _pack_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pack_id", metavar="PACK_ID")


def show_all(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    given = vars(arguments)
    found = client.packs(network=given.get("network"), dataset=given.get("dataset"))
    columns = (
        "pack",
        "network",
        "dataset",
        "features",
        "type",
        "splits",
        "size",
        "hits",
        "created",
        "marks",
    )
    out.listing(found, columns, _row)


def _row(pack: Pack) -> tuple[object, ...]:
    return (
        pack.pack_id,
        pack.network,
        pack.dataset,
        shape(pack.shape),
        pack.dtype,
        counts(pack.splits),
        size(pack.bytes),
        pack.hits,
        pack.created,
        ", ".join(
            ["private"] * pack.private
            + ["pinned"] * pack.pinned
            + ["problem"] * (pack.problem is not None)
        ),
    )


def show(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    pack = client.pack(arguments.pack_id)
    values = {field.name: getattr(pack, field.name) for field in dataclasses.fields(pack)}
    if pack.problem is not None:
        values["problem"] = "; ".join(
            str(pack.problem[part]) for part in ("detail", "remedy") if pack.problem.get(part)
        )
    out.record(pack, values.items())


def pin(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    pack = client.pin(arguments.pack_id)
    out.line(pack, f"pack {pack.pack_id} is pinned")


def unpin(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    pack = client.unpin(arguments.pack_id)
    out.line(pack, f"pack {pack.pack_id} is not pinned")


def delete(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    client.delete_pack(arguments.pack_id)
    out.line({"deleted": arguments.pack_id}, f"pack {arguments.pack_id} is deleted")


def pull(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    with out.watching(arguments.path.name) as tell:

        def on_bytes(done: int, total: int) -> None:
            tell(done, total, "downloading", f"{size(done)} of {size(total)}")

        path = client.download(arguments.pack_id, arguments.path, on_bytes=on_bytes)
    count = path.stat().st_size
    out.line({"path": str(path), "bytes": count}, f"{path}: {size(count)}")


def verify(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    with out.watching_job(f"pack {arguments.pack_id}") as on_progress:
        job = client.verify(arguments.pack_id, arguments.rows, on_progress=on_progress)
    result = job.result or {}
    rows = f", rows extracted again: {result.get('rows_checked')}" if arguments.rows else ""
    shards = result.get("shards")
    out.line(job, f"pack {arguments.pack_id} is sound; shards checked: {shards}{rows}")


def import_(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    pair = LabFile(arguments.network, arguments.dataset)
    if not pair.network or not pair.dataset:
        names = [network.name for network in client.networks()]
        guesses = {
            guess(path.name, names) for path in (arguments.train, arguments.validation) if path
        }
        guessed = guesses.pop()
        if guesses or guessed is None:
            raise UsageError(
                "the file names do not tell one network and dataset",
                remedy="give --network and --dataset",
            )
        pair = LabFile(pair.network or guessed.network, pair.dataset or guessed.dataset)
    with out.watching_job(arguments.train.name) as watch:
        pack = client.import_pack(
            pair.network,
            pair.dataset,
            arguments.train,
            arguments.validation,
            private=arguments.private,
            on_progress=watch,
            on_bytes=watch.on_bytes,
        )
    out.line(
        pack,
        f"pack {pack.pack_id}: {pair.network} on {pair.dataset}, {shape(pack.shape)}, "
        f"{counts(pack.splits)}",
    )
