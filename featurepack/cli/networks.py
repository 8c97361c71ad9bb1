"""``networks``: what can be extracted."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from featurepack.answers import Network
from featurepack.cli.output import Output, shape
from featurepack.cli.parsing import Subcommands, command
from featurepack.client import Client


def add(commands: Subcommands) -> None:
    parser = command(
        commands,
        "networks",
        show,
        "list the networks, or show one",
        "With a name: its weights and the layers that can be tapped.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="such as mobilenet_v2")


def show(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    if arguments.name is not None:
        network = client.network(arguments.name)
        out.record(network, _details(network))
        return
    columns = ("network", "input", "parameters", "GFLOPs", "features")
    out.listing(client.networks(), columns, _row)


def _row(network: Network) -> tuple[str, ...]:
    return (
        network.name,
        shape(network.input_size),
        f"{network.parameters / 1e6:.1f} M",
        f"{network.flops / 1e9:.2f}",
        shape(network.feature_shape),
    )


def _details(network: Network) -> Iterator[tuple[str, object]]:
    names = ("network", "input", "parameters", "GFLOPs", "features")
    yield from zip(names, _row(network), strict=True)
    tap = network.default_tap
    yield "default tap", f"{tap['layer']}, pool {tap['pool']}"
    for weights in network.weights:
        accuracy = "" if weights.acc1 is None else f", top-1 {weights.acc1} %"
        yield "weights", f"{weights.name}: {weights.file}{accuracy}"
    for layer, sides in (network.layers or {}).items():
        yield "layer", f"{layer}  {shape(sides)}"
