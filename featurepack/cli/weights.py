"""``weights``: checkpoints of your own."""

from __future__ import annotations

import argparse
from pathlib import Path

from featurepack.answers import Checkpoint
from featurepack.cli.output import Output, size
from featurepack.cli.parsing import Subcommands, command, group
from featurepack.client import Client


def add(commands: Subcommands) -> None:
    weights = group(commands, "weights", "upload and list checkpoints", show_all)
    parser = command(
        weights,
        "add",
        upload,
        "upload a checkpoint",
        "A state dict (.pth) or .safetensors. It may lack layers behind the one you tap.",
    )
    parser.add_argument("network", metavar="NETWORK")
    parser.add_argument("file", metavar="FILE", type=Path)
    command(weights, "list", show_all, "list uploaded checkpoints")


def upload(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    with out.watching_job(f"{arguments.network} weights") as watch:
        checkpoint = client.upload_weights(
            arguments.network, arguments.file, on_progress=watch, on_bytes=watch.on_bytes
        )
    out.line(checkpoint, f"submit with --weights {checkpoint.weights}")
    if checkpoint.unavailable_layers:
        layers = ", ".join(list(checkpoint.unavailable_layers)[:5])
        out.hint(f"{len(checkpoint.unavailable_layers)} layers cannot be computed: {layers} …")


def show_all(client: Client, out: Output, _: argparse.Namespace) -> None:
    out.listing(client.weights(), ("weights", "network", "file", "size", "created"), _row)


def _row(checkpoint: Checkpoint) -> tuple[object, ...]:
    return (
        checkpoint.weights,
        checkpoint.network,
        checkpoint.name,
        size(checkpoint.bytes),
        checkpoint.created,
    )
