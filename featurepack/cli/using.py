"""``classify``, ``predict`` and ``export``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from featurepack.answers import Prediction
from featurepack.cli.output import Output, percent, size
from featurepack.cli.parsing import Subcommands, UsageError, command, positive, whole
from featurepack.client import Client
from featurepack.selection import Which

ROW_OPTIONS = ("split", "start", "stop", "label", "sample", "seed")


def add(commands: Subcommands) -> None:
    parser = command(
        commands,
        "classify",
        classify,
        "name what images show, by a network as it was trained on ImageNet",
    )
    parser.add_argument("network", metavar="NETWORK", help="such as mobilenet_v2, alexnet")
    parser.add_argument("files", metavar="FILES", nargs="+", type=Path)
    parser.add_argument("--weights", default="default", help="as for submit")
    _top(parser)
    parser = command(
        commands,
        "predict",
        predict,
        "classify images, or rows of the pack, with a head",
        "Give FILES, or say which rows.",
    )
    parser.add_argument("head_id", metavar="HEAD_ID")
    parser.add_argument("files", metavar="FILES", nargs="*", type=Path)
    _top(parser)
    rows = parser.add_argument_group("which rows")
    rows.add_argument("--split", help="rows of this split")
    rows.add_argument("--start", type=whole, metavar="N", help="first row, within the split")
    rows.add_argument("--stop", type=whole, metavar="N", help="the row after the last")
    rows.add_argument("--label", action="append", metavar="CLASS", help="rows of these classes")
    rows.add_argument("--sample", type=whole, metavar="N", help="so many of them")
    rows.add_argument("--seed", type=whole, metavar="N", help="of the sample (default: 0)")
    parser = command(
        commands,
        "export",
        export,
        "save a head as a NumPy, safetensors or ONNX file",
        "The ONNX file has the network, too: it takes images.",
    )
    parser.add_argument("head_id", metavar="HEAD_ID")
    parser.add_argument(
        "path",
        metavar="OUT",
        type=Path,
        help="a name that ends in .npz, .safetensors or .onnx",
    )


def _top(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--top", type=positive, default=5, metavar="N", help="classes (default: 5)")


def classify(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    with out.watching_job(f"{len(arguments.files)} images") as on_progress:
        found = client.classify(
            arguments.network,
            arguments.files,
            weights=arguments.weights,
            top=arguments.top,
            on_progress=on_progress,
        )
    _print(out, found)


def predict(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    given = {name: value for name in ROW_OPTIONS if (value := vars(arguments)[name]) is not None}
    if bool(given) == bool(arguments.files):
        raise UsageError(
            "it is not clear what to predict",
            remedy=f"give FILES, or some of --{', --'.join(ROW_OPTIONS)}",
        )
    what = f"{len(arguments.files)} images" if arguments.files else "rows"
    with out.watching_job(what) as on_progress:
        if arguments.files:
            found = client.predict(
                arguments.head_id, arguments.files, top=arguments.top, on_progress=on_progress
            )
        else:
            split = given.pop("split", None)
            which: Which = given  # type: ignore[assignment]
            found = client.predict_rows(
                arguments.head_id, split, top=arguments.top, on_progress=on_progress, **which
            )
    _print(out, found)


def export(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    with out.watching_job(arguments.path.name) as on_progress:
        path = client.export_head(arguments.head_id, arguments.path, on_progress=on_progress)
    count = path.stat().st_size
    out.line({"path": str(path), "bytes": count}, f"{path}: {size(count)}")


def _print(out: Output, found: list[Prediction]) -> None:
    if out.as_json:
        out.json(found)
        return
    columns = ("image", "label", "class", "probability")
    shown = columns if any(one.label for one in found) else columns[:1] + columns[2:]
    rows = [row for prediction in found for row in _rows(prediction, labels=shown is columns)]
    out.listing(rows, shown, lambda row: row)


def _rows(prediction: Prediction, *, labels: bool) -> Iterator[tuple[object, ...]]:
    """A line for each class, the image's name on the first; one without classes has a dash."""
    for rank, (name, share) in enumerate(prediction.classes or [("-", None)]):
        about = (prediction.name, prediction.label or "-") if rank == 0 else ("", "")
        yield *about[: 1 + labels], name, percent(share)
