"""The client against the real application: arrays and files, over a line that breaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from cache.catalogue import Catalogue
from cache.database import Database
from cache.rows import DatasetRow
from cache.store import Store
from featurepack import (
    Client,
    Conflict,
    ConnectionFailed,
    CorruptData,
    InvalidRequest,
    Job,
    NotFound,
    rows,
)
from featurepack.download import part_of
from tests.manifests import plain_manifest
from tests.talking import BreakingLine, Cut, Script, application, keep_pack

PACK = "aaaaaaaaaaaa-bbbbbbbbbbbb"
ROW_BYTES = 16 * 4


@pytest.fixture
def service(store: Store) -> Iterator[TestClient]:
    with application(store) as http:
        yield http


@pytest.fixture
def features_ND(service: TestClient, store: Store) -> np.ndarray:
    return keep_pack(store, PACK)


def test_arrays_of_a_pack(service: TestClient, features_ND: np.ndarray) -> None:
    client = Client(http=service)
    labels_N = plain_manifest(50).label_N
    np.testing.assert_array_equal(client.pack_features(PACK), features_ND)
    np.testing.assert_array_equal(
        client.pack_features(PACK, "validation", start=2, stop=5), features_ND[42:45]
    )
    np.testing.assert_array_equal(client.labels(PACK), labels_N)
    ones = client.pack_features(PACK, "train", label=1)
    np.testing.assert_array_equal(ones, features_ND[:40][labels_N[:40] == 1])
    np.testing.assert_array_equal(client.rows(PACK, [7, 3, 7]), features_ND[[7, 3, 7]])
    assert client.pack_features(PACK, start=0, stop=0).shape == (0, 16)
    assert client.rows(PACK, []).shape == (0, 16)
    index = client.index(PACK, "train", stop=5)
    assert index.row_id_N == plain_manifest(50).row_id_N[:5]
    assert index.valid_N.tolist() == [True, True, True, False, True]


def test_many_rows_are_several_requests(
    service: TestClient, features_ND: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LISTED_ROWS", 7)
    wanted = np.arange(49, -1, -1)
    client = Client(http=service, cache=False)
    np.testing.assert_array_equal(client.rows(PACK, wanted), features_ND[wanted])


def test_a_broken_transfer_goes_on_at_the_first_missing_row(
    service: TestClient, features_ND: np.ndarray
) -> None:
    line = BreakingLine(service, "/features", [10 * ROW_BYTES + 5, 0, 3 * ROW_BYTES])
    found = line.client().pack_features(PACK, start=5)
    np.testing.assert_array_equal(found, features_ND[5:])
    starts = [request.url.params["start"] for request in line.requests]
    assert starts == ["5", "15", "15", "18"]


def test_a_transfer_by_label_begins_anew(service: TestClient, features_ND: np.ndarray) -> None:
    whole = Client(http=service).pack_features(PACK, label="0")
    line = BreakingLine(service, "/features", [ROW_BYTES])
    np.testing.assert_array_equal(line.client().pack_features(PACK, label="0"), whole)


@pytest.mark.usefixtures("features_ND")
def test_a_line_that_only_breaks_is_given_up(service: TestClient) -> None:
    line = BreakingLine(service, "/features", [0, 10, 10, 10])
    with pytest.raises(ConnectionFailed, match="the line broke"):
        line.client().pack_features(PACK)


@pytest.mark.parametrize(
    ("shape", "dtype", "content"),
    [("1,2", "|O", b"12345678"), ("1,-2", "<f4", b""), ("", "", b""), ("1", "<f4", b"12345")],
)
def test_a_layout_that_cannot_be_is_refused(shape: str, dtype: str, content: bytes) -> None:
    headers = {"X-Featurepack-Shape": shape, "X-Featurepack-Dtype": dtype}
    response = httpx.Response(200, headers=headers, stream=Cut(content, None))
    with pytest.raises(CorruptData):
        Script(response).client().pack_features("p")


def test_a_broken_download_goes_on_by_range(
    service: TestClient, features_ND: np.ndarray, store: Store, tmp_path: Path
) -> None:
    whole = store.pack(PACK).read_bytes()
    out = tmp_path / "out.h5"
    etag = Client(http=service).pack(PACK).etag
    line = BreakingLine(service, "/file", [2000, 0, 0])
    with pytest.raises(ConnectionFailed):
        line.client().download(PACK, out)
    assert not out.exists()
    assert part_of(out, etag).read_bytes()[:2000] == whole[:2000]
    ranges = [request.headers["Range"] for request in line.requests]
    assert ranges == [f"bytes={at}-{len(whole) - 1}" for at in (0, 2000, 2000)]
    line = BreakingLine(service, "/file", [])
    told: list[tuple[int, int]] = []
    line.client().download(PACK, out, on_bytes=lambda *bytes_: told.append(bytes_))
    assert out.read_bytes() == whole
    assert line.requests[0].headers["If-Range"] == f'"{etag}"'
    assert told[-1] == (len(whole), len(whole))
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.h5"]


def test_a_part_of_another_file_is_not_used(
    service: TestClient, features_ND: np.ndarray, store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "out.h5"
    part_of(out, "0123456789abcdef").write_bytes(b"other")
    Client(http=service).download(PACK, out)
    assert out.read_bytes() == store.pack(PACK).read_bytes()


def test_a_server_that_ignores_ranges_sends_the_whole(
    service: TestClient, features_ND: np.ndarray, store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "out.h5"
    client = Client(http=service)
    part_of(out, client.pack(PACK).etag).write_bytes(b"x" * 100)

    def without_range(request: httpx.Request) -> httpx.Response:
        request.headers.pop("Range", None)
        return BreakingLine(service, "/none", [])(request)

    http = httpx.Client(base_url="http://t", transport=httpx.MockTransport(without_range))
    Client(http=http).download(PACK, out)
    assert out.read_bytes() == store.pack(PACK).read_bytes()


def test_a_file_that_was_replaced_is_noticed(
    service: TestClient, features_ND: np.ndarray, tmp_path: Path
) -> None:
    def replaced(request: httpx.Request) -> httpx.Response:
        response = BreakingLine(service, "/none", [])(request)
        if request.url.path.endswith("/file"):
            response.headers["ETag"] = '"another"'
        return response

    http = httpx.Client(base_url="http://t", transport=httpx.MockTransport(replaced))
    with pytest.raises(CorruptData, match="not the one in the catalogue"):
        Client(http=http).download(PACK, tmp_path / "out.h5")


def test_npz_holds_everything_without_pickles(
    service: TestClient, features_ND: np.ndarray, tmp_path: Path
) -> None:
    path = Client(http=service).download(PACK, tmp_path / "out.npz")
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["features"], features_ND)
        np.testing.assert_array_equal(arrays["labels"], plain_manifest(50).label_N)
        assert arrays["row_id"][1] == "ä/1.png"
        assert arrays["valid"].tolist() == [row != 3 for row in range(50)]
        assert arrays["classes"].tolist() == list(plain_manifest(50).classes)
        assert arrays["splits"].tolist() == [("train", 0, 40), ("validation", 40, 50)]
    assert [file.name for file in tmp_path.glob("*out*")] == ["out.npz"]


@pytest.mark.usefixtures("features_ND")
def test_other_suffixes_are_refused(service: TestClient, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"neither \.h5 nor \.npz"):
        Client(http=service).download(PACK, tmp_path / "out.txt")


@pytest.mark.usefixtures("features_ND")
def test_the_catalogue_and_problems_of_the_real_service(service: TestClient) -> None:
    client = Client(http=service)
    assert [pack.pack_id for pack in client.packs(network="resnet18")] == [PACK]
    assert client.pack(PACK).shape == (50, 16)
    assert client.network("vgg").name == "vgg16"
    assert len(client.networks()) > 20
    with pytest.raises(NotFound, match="no split 'test'") as caught:
        client.pack_features(PACK, "test")
    assert caught.value.remedy == "use one of: train, validation"
    with pytest.raises(InvalidRequest, match="out of range"):
        client.rows(PACK, [50])
    client.delete_pack(PACK)
    assert client.packs() == []


def test_submit_estimate_and_cancel_on_the_real_service(service: TestClient, store: Store) -> None:
    manifest = plain_manifest(20)
    store.save_manifest(manifest)
    splits = {name: list(span) for name, span in manifest.splits.items()}
    row = DatasetRow("set", 0, manifest.dataset_id, {}, list(manifest.classes), splits, 20, 0)
    database = Database(f"sqlite:///{store.root / 'featurepack.db'}")
    with database.write() as connection:
        Catalogue(database).add_dataset(connection, row)
    database.close()
    client = Client(http=service, submitter="ada@lab")
    other = Client(http=service, submitter="eve@lab")
    job, *again = [
        one.submit("resnet18", "set", weights="random:0", view={"per_class": 2})
        for one in (client, client, other)
    ]
    assert isinstance(job, Job)
    assert [isinstance(one, Job) and one.id for one in again] == [job.id] * 2
    several = client.submit("resnet18", "set", weights="random:0", taps=["layer1:avg", "layer2"])
    assert [type(one) for one in several] == [Job, Job]
    estimate = client.estimate("resnet18", "set", weights="random:0")
    assert (estimate.rows, estimate.cached, estimate.row_shape) == (20, False, [512])
    withdrawn = client.cancel(job.id)
    assert withdrawn.goes_on_for_others
    assert withdrawn.submitters == ["eve@lab"]
    with pytest.raises(Conflict):
        client.cancel(job.id)
    assert other.cancel(job.id).state == "cancelled"
    with pytest.raises(NotFound):
        client.submit("resnet18", "nothing")
