"""Features as PyTorch takes them: items, batches, loaders with workers."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from torch.utils.data import DataLoader, Dataset, Subset

from cache.store import Store
from featurepack import Client, InvalidRequest, NotFound, Pack, Samples
from tests.manifests import plain_manifest
from tests.processes import ROOT
from tests.talking import application, keep_pack

PACK = "aaaaaaaaaaaa-bbbbbbbbbbbb"
LABELS_N = plain_manifest(50).label_N


@pytest.fixture
def features_ND(store: Store, service: TestClient) -> np.ndarray:
    return keep_pack(store, PACK)


@pytest.fixture
def service(store: Store) -> Iterator[TestClient]:
    with application(store) as http:
        yield http


@pytest.fixture
def client(service: TestClient, features_ND: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client whose pack is there, whatever pair is asked for."""

    def extract(self: Client, *_: object, **__: object) -> Pack:
        return self.pack(PACK)

    monkeypatch.setattr(Client, "extract", extract)
    return Client(http=service)


def test_items_and_batches_are_tensors(client: Client, features_ND: np.ndarray) -> None:
    samples = client.dataset("resnet18", "set", "train")
    assert isinstance(samples, Dataset)
    assert len(samples) == 40
    x, y = samples[-1]
    assert torch.equal(x, torch.from_numpy(features_ND[39]))
    assert y == LABELS_N[39]
    x += 1  # a copy: the pack cannot be written to
    batch = samples.__getitems__([5, 2, 5])
    X, y = samples.collate(batch)
    np.testing.assert_array_equal(X.numpy(), features_ND[[5, 2, 5]])
    np.testing.assert_array_equal(y.numpy(), LABELS_N[[5, 2, 5]])
    assert [label for _, label in batch] == LABELS_N[[5, 2, 5]].tolist()
    assert torch.equal(batch[1][0], torch.from_numpy(features_ND[2]))
    for wrong in (40, -41):
        with pytest.raises(IndexError):
            samples[wrong]
        with pytest.raises(IndexError):
            samples.__getitems__([0, wrong])


@pytest.mark.parametrize(
    ("workers", "context", "collated"),
    [(0, None, False), (0, None, True), (2, "fork", False), (2, "spawn", True)],
)
@pytest.mark.parametrize(
    ("which", "expected"),
    [({}, np.arange(50)), ({"label": 1, "valid": True}, np.flatnonzero(LABELS_N == 1))],
    ids=["all", "some"],
)
def test_a_loader_gives_all_rows_in_order(
    client: Client,
    features_ND: np.ndarray,
    workers: int,
    context: str | None,
    collated: bool,
    which: dict[str, Any],
    expected: np.ndarray,
) -> None:
    expected = expected[expected != 3] if which else expected
    samples = client.dataset("resnet18", "set", **which)
    assert isinstance(samples, Samples)
    options = {"collate_fn": samples.collate} if collated else {}
    loader = DataLoader(
        samples,  # type: ignore[arg-type]
        batch_size=8,
        num_workers=workers,
        multiprocessing_context=context,
        **options,
    )
    batches = list(loader)
    X = torch.cat([X for X, _ in batches]).numpy()
    y = torch.cat([y for _, y in batches])
    np.testing.assert_array_equal(X, features_ND[expected])
    np.testing.assert_array_equal(y.numpy(), LABELS_N[expected])
    assert y.dtype == torch.int64


def test_parts_of_it_are_gathered_too(client: Client, features_ND: np.ndarray) -> None:
    samples: Any = client.dataset("resnet18", "set")
    (batch,) = DataLoader(Subset(samples, [9, 3]), batch_size=2, collate_fn=samples.collate)
    np.testing.assert_array_equal(batch[0].numpy(), features_ND[[9, 3]])


def test_only_the_name_of_the_file_travels(
    client: Client, features_ND: np.ndarray, local_cache: Path
) -> None:
    samples = client.dataset("resnet18", "set")
    data = pickle.dumps(samples)
    assert len(data) < 2000
    again = pickle.loads(data)
    assert torch.equal(again[7][0], torch.from_numpy(features_ND[7]))
    (file,) = local_cache.glob("*/pack.h5")
    file.unlink()
    with pytest.raises(NotFound, match="no longer in the local cache"):
        pickle.loads(data)


def test_a_dataset_needs_the_cache(client: Client) -> None:
    client._cache = None
    with pytest.raises(InvalidRequest, match="cannot be in the local cache"):
        client.dataset("resnet18", "set")


def test_arrays_where_torch_is_not_installed(
    client: Client, features_ND: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    samples = client.dataset("resnet18", "set", start=10)
    x, y = samples[0]
    assert isinstance(x, np.ndarray)
    assert y == LABELS_N[10]
    X, y = samples.collate(samples.__getitems__([0, 1]))
    np.testing.assert_array_equal(X, features_ND[10:12])
    np.testing.assert_array_equal(y, LABELS_N[10:12])


def test_torch_is_imported_only_for_a_dataset() -> None:
    code = "import sys, featurepack; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_features_of_a_pair_are_maps(client: Client, features_ND: np.ndarray) -> None:
    told: list[int] = []
    X, y = client.features(
        "resnet18", "set", "validation", on_bytes=lambda done, _: told.append(done)
    )
    np.testing.assert_array_equal(X, features_ND[40:])
    np.testing.assert_array_equal(y, LABELS_N[40:])
    assert isinstance(X, np.memmap)
    assert not X.flags.writeable
    assert told[-1] == client.pack(PACK).bytes
