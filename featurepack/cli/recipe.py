"""The options that say how features are made, for ``submit`` and ``estimate``."""

from __future__ import annotations

import argparse
from typing import Any, cast

from featurepack.cli.parsing import add_private, share, whole
from featurepack.jobs import How, Options

Group = Any
"""argparse's own type for a group of arguments is private."""


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """NETWORK, DATASET and everything that changes a row or chooses rows."""
    parser.add_argument("network", metavar="NETWORK", help="such as mobilenet_v2, vgg16")
    parser.add_argument("dataset", metavar="DATASET", help="a name, or NAME@VERSION")
    how = add_how(parser)
    add_taps(how)
    how.add_argument(
        "--on-error", choices=["mask", "fail"], help="what to do with broken images (default: mask)"
    )
    add_which(parser)
    add_private(parser)


def add_taps(how: Group) -> None:
    how.add_argument(
        "--tap",
        action="append",
        metavar="LAYER[:POOL]",
        help="layer, and pool none, avg, max or flatten; several times for several packs of one "
        "forward pass (default: the bottleneck)",
    )


def add_how(parser: argparse.ArgumentParser) -> Group:
    """Weights, transform and numerics."""
    how = parser.add_argument_group("how rows are made")
    how.add_argument(
        "--weights",
        help="torchvision's name, sha256:… of an upload, a file's name, or random:SEED",
    )
    how.add_argument(
        "--transform",
        choices=["official", "stretch"],
        help="the weights' own, or straight to the input size (default: official)",
    )
    how.add_argument("--compute", choices=["fast", "float32"], help="arithmetic (default: float32)")
    how.add_argument(
        "--stored", choices=["float32", "float16"], help="what is kept (default: float32)"
    )
    return how


def add_which(parser: argparse.ArgumentParser) -> None:
    """A view."""
    which = parser.add_argument_group("which rows")
    which.add_argument("--per-class", type=whole, metavar="N", help="N images of each class")
    which.add_argument("--limit", type=whole, metavar="N", help="at most N images of each split")
    which.add_argument(
        "--validation", type=share, metavar="SHARE", help="split this share off the training rows"
    )
    which.add_argument("--seed", type=whole, metavar="N", help="of the choice (default: 0)")


def options_of(arguments: argparse.Namespace) -> tuple[Options, list[str] | None]:
    """The options that were given, and the taps if there are several."""
    options = cast("Options", how_of(arguments))
    taps: list[str] = arguments.tap or []
    if len(taps) == 1:
        options["tap"] = taps[0]
    if arguments.on_error is not None:
        options["on_error"] = arguments.on_error
    if view := view_of(arguments):
        options["view"] = view
    if arguments.private:
        options["private"] = True
    return options, taps if len(taps) > 1 else None


def how_of(arguments: argparse.Namespace) -> How:
    """What was given of :func:`add_how`."""
    how: How = {}
    if arguments.weights is not None:
        how["weights"] = arguments.weights
    if arguments.transform is not None:
        how["transform"] = arguments.transform
    if numerics := _given(arguments, "compute", "stored"):
        how["numerics"] = numerics
    return how


def view_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of :func:`add_which`."""
    return _given(arguments, "per_class", "limit", "validation", "seed")


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
