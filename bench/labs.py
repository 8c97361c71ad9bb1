"""The labs' table on their own data: network × CIFAR-10, 100 images a class, the labs' head.

    python -m bench.labs cifar10-100.zip --checkpoint vgg16=vgg16_features.pth …

The archive has ``train/<class>/`` and ``validation/<class>/``. mobilenet_v2 takes torchvision's
weights; every ``--checkpoint NETWORK=FILE`` adds a row of that network's convolutions, average
pooled, as the labs took them. A service and a worker of its own run on loopback; the table is
printed and written to ``bench/results/labs.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from featurepack import Client
from featurepack.processes import Children, url_of, usable_port

HOST = "127.0.0.1"
RESULTS = Path(__file__).with_name("results") / "labs.json"
START_SECONDS = 120.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.labs", description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--checkpoint", action="append", default=[], metavar="NETWORK=FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="featurepack-labs-") as folder:
        environment = {"FEATUREPACK_STORE": f"{folder}/store", "FEATUREPACK_DATABASE": ""}
        with Children(environment, logs=Path(folder)) as children:
            url = _start(children)
            with Client(url) as client:
                client.upload_dataset("cifar10", [arguments.archive])
                rows = [_row(client, "mobilenet_v2", {})]
                for pair in arguments.checkpoint:
                    network, _, file = pair.partition("=")
                    weights = client.upload_weights(network, Path(file)).weights
                    rows.append(_row(client, network, {"weights": weights, "tap": "features:avg"}))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _start(children: Children) -> str:
    port = usable_port(HOST, 0)
    url = url_of(HOST, port)
    children.start("service", "--host", HOST, "--port", str(port))
    children.start("worker")
    children.wait_for(f"{url}/readyz", START_SECONDS)
    return url


def _row(client: Client, network: str, options: dict[str, Any]) -> dict[str, Any]:
    pack = client.extract(network, "cifar10", transform="stretch", **options)
    head = client.train(pack.pack_id)
    row = {
        "network": network,
        "tap": pack.recipe["tap"],
        "features": list(pack.shape),
        "validation_accuracy": head.metrics["validation_accuracy"],
        "train_accuracy": head.metrics["train_accuracy"],
        "certificate_error": pack.provenance["certificate"]["largest_error"],
        "images_per_second": pack.provenance["images_per_second"],
        "head_seconds": head.metrics["seconds"],
        "device": pack.provenance["device"],
        "versions": pack.provenance["versions"],
    }
    print(f"{network}: {row['validation_accuracy']:.4f} at {row['images_per_second']} images/s")
    return row


if __name__ == "__main__":
    sys.exit(main())
