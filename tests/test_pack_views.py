"""Statistics and maps of packs: the numbers, and how they are made, kept and deleted."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cache.catalogue import Catalogue
from cache.database import Database
from cache.eviction import evict
from cache.jobs import Jobs
from cache.pack import Pack, open_pack
from cache.publish import delete_pack
from cache.sight import EVERYTHING
from cache.store import Store
from cache.upkeep import sweep
from tests.keeping import keep_real_pack
from tests.serving import PAIR, Serving, serving, wait
from tests.working import working
from worker.heads.rows import Rows
from worker.principal import principal
from worker.quick.mapping import POINT, chosen_rows, points_of
from worker.quick.statistics import statistics_of

NOW = {"Prefer": "wait=0"}


def nothing() -> None:
    """In place of a lease's check."""


@pytest.fixture
def kept(store: Store, tmp_path: Path) -> Any:
    """A pack of 500 rows with one broken image, in a store and a database of its own."""
    database = Database(store.database_url)
    database.migrate()
    catalogue = Catalogue(database)
    pack_id, features_ND = keep_real_pack(catalogue, store, rows=500, width=24)
    yield catalogue, pack_id, features_ND
    database.close()


def of(kept: Any, store: Store) -> Pack:
    return open_pack(store.pack(kept[1]))


# Statistics


def test_statistics_are_those_of_the_valid_rows(kept: Any, store: Store) -> None:
    pack, features_ND = of(kept, store), np.delete(kept[2], 3, axis=0)
    found = statistics_of(pack, nothing)
    assert (found["rows"], found["rows_valid"]) == (500, 499)
    with h5py.File(pack.path) as file:
        labels = file["labels"][:]
    train = found["splits"]["train"]
    assert train["classes"] == np.bincount(labels[:400], minlength=3).tolist()
    assert (train["rows"], train["invalid"], train["unlabelled"]) == (400, 1, 0)
    assert found["values"] == {
        "zeros": 0.0,
        "not_finite": 0.0,
        "minimum": pytest.approx(features_ND.min()),
        "maximum": pytest.approx(features_ND.max()),
        "mean": pytest.approx(features_ND.mean(dtype=np.float64)),
    }
    norms = np.linalg.norm(features_ND.astype(np.float64), axis=1)
    assert found["norms"]["mean"] == pytest.approx(norms.mean())
    assert sum(found["norms"]["counts"]) == 499
    assert len(found["norms"]["edges"]) == len(found["norms"]["counts"]) + 1


def test_statistics_do_not_depend_on_the_blocks(
    kept: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = statistics_of(of(kept, store), nothing)
    monkeypatch.setattr("worker.heads.rows.BLOCK_BYTES", 4 * 24 * 7)
    pieces = statistics_of(of(kept, store), nothing)
    assert pieces["values"].pop("mean") == pytest.approx(whole["values"].pop("mean"))
    assert pieces == whole


class InMemory:
    """As much of a pack as these jobs look at."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, **splits: tuple[int, int]) -> None:
        self.features, self.labels_N = features, labels
        self.valid_N = np.ones(len(features), bool)
        self.splits = splits or {"train": (0, len(features))}
        self.classes = tuple(str(k) for k in range(labels.max(initial=0) + 1))
        self.row_id_N = [str(row) for row in range(len(features))]

    def __len__(self) -> int:
        return len(self.labels_N)


def plain(features: Any, labels: Any = None, **splits: tuple[int, int]) -> Any:
    features = np.asarray(features)
    labels = np.zeros(len(features), int) if labels is None else np.asarray(labels)
    return InMemory(features, labels, **splits)


def test_zeros_and_values_that_overflowed_are_counted() -> None:
    found = statistics_of(plain(np.array([[0, 0], [3, 4], [np.inf, 0]], np.float16)), nothing)
    assert found["values"]["zeros"] == 0.5
    assert found["values"]["not_finite"] == pytest.approx(1 / 6)
    assert (found["values"]["maximum"], found["values"]["mean"]) == (4.0, 1.4)
    assert (found["norms"]["minimum"], found["norms"]["maximum"]) == (0.0, 5.0)


def test_statistics_of_nothing() -> None:
    pack = plain(np.zeros((2, 3), np.float32), [-1, -1])
    pack.valid_N[:] = False
    found = statistics_of(pack, nothing)
    assert (found["rows_valid"], found["values"], found["norms"]) == (0, None, None)
    assert found["splits"]["train"]["unlabelled"] == 2


# The map


def test_the_map_is_the_exact_pca(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    scale_D = 1 / (1 + np.arange(60)) ** 0.5  # a spectrum that falls slowly
    features_ND = (random.standard_normal((900, 60)) * scale_D).astype(np.float32)
    pack = plain(features_ND @ np.linalg.qr(random.standard_normal((60, 60)))[0] + 5)
    pack.features = pack.features.astype(np.float32)
    monkeypatch.setattr("worker.heads.rows.BLOCK_BYTES", 4 * 60 * 101)
    found_N2 = principal(Rows(pack, np.arange(900)), 2, nothing)
    centred_ND = pack.features - pack.features.mean(axis=0)
    left, strength, _ = np.linalg.svd(centred_ND.astype(np.float64), full_matrices=False)
    for axis in range(2):
        exact_N = left[:, axis] * strength[axis]
        likeness = abs(exact_N @ found_N2[:, axis]) / np.linalg.norm(exact_N) ** 2
        assert likeness == pytest.approx(1, abs=0.01)


def test_few_rows_and_few_values_have_a_map() -> None:
    assert points_of(plain(np.zeros((0, 3), np.float32)), "pca", nothing).shape == (0,)
    for shape in ((1, 5), (3, 1), (2, 2, 2, 2)):
        pack = plain(np.random.default_rng(0).standard_normal(shape, np.float32))
        for method in ("pca", "tsne"):
            points_N = points_of(pack, method, nothing)
            assert np.isfinite(points_N["x"]).all()
            assert points_N["row"].tolist() == list(range(shape[0]))


def test_a_sample_keeps_the_proportions_of_splits_and_classes() -> None:
    labels = np.repeat([0, 1, 0, 2], [600, 200, 100, 100])
    pack = plain(np.zeros((1000, 1), np.float32), labels, train=(0, 800), validation=(800, 1000))
    pack.valid_N[5] = False
    rows = chosen_rows(pack, 100)
    assert len(rows) == len(set(rows)) == 100
    assert (np.sort(rows) == rows).all()
    assert 5 not in rows
    groups = [(rows < 600).sum(), ((rows >= 600) & (rows < 800)).sum(), (labels[rows] == 2).sum()]
    assert groups == pytest.approx([60, 20, 10], abs=1)
    np.testing.assert_array_equal(rows, chosen_rows(pack, 100))


def test_tsne_keeps_groups_apart() -> None:
    random, labels = np.random.default_rng(0), np.repeat([0, 1, 2], 40)
    features = random.standard_normal((120, 20)) + 9 * np.eye(20)[labels]
    points_N = points_of(plain(features.astype(np.float32), labels), "tsne", nothing)
    place_N2 = np.stack([points_N["x"], points_N["y"]], axis=1)
    distance_NN = np.linalg.norm(place_N2[:, None] - place_N2[None], axis=2)
    np.fill_diagonal(distance_NN, np.inf)
    assert (labels[distance_NN.argmin(axis=1)] == labels).all()


# Over HTTP


def test_statistics_are_made_once(served: Serving, pack: dict[str, Any]) -> None:
    path = f"/v1/packs/{pack['pack_id']}/statistics"
    job = served.get(path, 202, headers=NOW)
    assert (job["kind"], job["pack_id"]) == ("statistics", pack["pack_id"])
    answer = served.http.get(path)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["classes"] == ["Äpfel", "梨"]
    assert found["splits"]["validation"]["classes"] == [4, 5]
    assert found["etag"] == pack["etag"]
    assert found["values"]["minimum"] <= found["values"]["mean"] <= found["values"]["maximum"]
    again = served.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert served.http.get(path, headers=NOW).status_code == 200
    assert "statistics" in {
        item["kind"] for item in served.get("/v1/jobs?kind=statistics")["items"]
    }
    served.get("/v1/packs/nope/statistics", 404)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_map_over_http(served: Serving, pack: dict[str, Any], method: str) -> None:
    path = f"/v1/packs/{pack['pack_id']}/map?method={method}"
    npy, raw = served.http.get(path), served.http.get(f"{path}&format=raw")
    assert npy.status_code == 200, npy.text
    points_N = np.load(io.BytesIO(npy.content))
    assert points_N.dtype == POINT
    assert raw.content == points_N.tobytes()
    assert raw.headers["x-featurepack-points"] == "31"
    with h5py.File(served.store.pack(pack["pack_id"])) as file:
        assert points_N["label"].tolist() == file["labels"][:].tolist()
    expected = points_of(open_pack(served.store.pack(pack["pack_id"])), method, nothing)
    np.testing.assert_allclose(points_N["x"], expected["x"], rtol=1e-4, atol=1e-4)
    assert npy.headers["etag"] != raw.headers["etag"]
    unchanged = served.http.get(path, headers={"If-None-Match": npy.headers["etag"]})
    assert unchanged.status_code == 304
    served.get(f"/v1/packs/{pack['pack_id']}/map?method=umap", 422)


def derived(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / "derived").iterdir())


def test_what_was_derived_goes_with_its_pack(served: Serving) -> None:
    pack = wait(served, PAIR | {"transform": {"preset": "stretch", "size": 72}})
    served.get(f"/v1/packs/{pack['pack_id']}/statistics")
    (name,) = [name for name in derived(served.store) if name.startswith(pack["pack_id"])]
    assert name == f"{pack['pack_id']}-{pack['etag']}.statistics.json"
    served.http.delete(f"/v1/packs/{pack['pack_id']}")
    assert name not in derived(served.store)


def test_eviction_and_sweeps_clear_what_was_derived(kept: Any, store: Store) -> None:
    catalogue, pack_id, _ = kept
    store.make_identity()
    mine, other = store.derived(pack_id, "e", "pca.npy"), store.derived("r-d", "e", "pca.npy")
    mine.write_bytes(b"x")
    other.write_bytes(b"x")
    sweep(catalogue, store, 0)
    assert derived(store) == [mine.name]
    with catalogue.database.write() as connection:
        connection.exec_driver_sql("UPDATE packs SET last_used = 0")
    assert evict(catalogue, store, pack_id)
    assert derived(store) == []


def test_a_job_for_a_file_that_was_replaced_says_so(store: Store) -> None:
    from worker.loop import step
    from worker.tasks import FILES

    with serving(store) as service, working(store) as context:
        pack_id, _ = keep_real_pack(context.catalogue, store)
        job = service.get(f"/v1/packs/{pack_id}/map", 202, headers=NOW)
        with context.database.write() as connection:
            connection.exec_driver_sql("UPDATE packs SET etag = 'new'")
        assert step(context, FILES)
        ended = Jobs(context.database).get(job["id"], EVERYTHING)
        assert ended.error is not None
        assert "built anew" in ended.error["detail"]
        assert derived(store) == []
        delete_pack(context.catalogue, store, pack_id)
