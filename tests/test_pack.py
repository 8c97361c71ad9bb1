"""The pack file, written through our code and read back without it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pytest
import xxhash

from cache.dataset import Manifest
from cache.errors import CorruptData
from cache.manifest_file import load_manifest, save_manifest
from cache.pack import create, open_pack, read_layout, seal, shard_rows_for
from cache.pack_writer import PackWriter
from tests.manifests import plain_manifest

ROWS = 2500


def write_pack(
    path: Path,
    manifest: Manifest,
    features: np.ndarray,
    dtype: Literal["float32", "float16"] = "float32",
    invalid: tuple[int, ...] = (),
) -> None:
    create(
        path,
        manifest,
        recipe={"network": "test"},
        dataset={"name": "test"},
        row_shape=features.shape[1:],
        dtype=dtype,
    )
    valid_N = np.ones(len(manifest), bool)
    valid_N[list(invalid)] = False
    with PackWriter(path) as writer:
        for start in range(0, len(manifest), 100):
            stop = min(start + 100, len(manifest))
            writer.write(np.arange(start, stop), features[start:stop], valid_N[start:stop])
        hashes = [writer.hash_shard(shard) for shard in range(writer.layout.shards)]
    seal(path, hashes, {"certificate": None})


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(ROWS, 2048)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_plain_h5py_reads_what_was_written(
    tmp_path: Path, features: np.ndarray, dtype: Literal["float32", "float16"]
) -> None:
    path, manifest = tmp_path / "a.h5", plain_manifest(ROWS)
    write_pack(path, manifest, features, dtype, invalid=(7, 2499))
    with h5py.File(path, "r") as file:
        stored = file["features"]
        assert stored.dtype == np.dtype(dtype).newbyteorder("<")
        assert stored.chunks is None
        assert stored.compression is None
        assert stored.id.get_offset() % 4096 == 0
        np.testing.assert_array_equal(stored[:], features.astype(dtype))
        np.testing.assert_array_equal(file["labels"][:], manifest.label_N)
        np.testing.assert_array_equal(file["row_hash"][:], manifest.hash_NH)
        assert file["labels"].dtype == np.dtype("<i8")
        assert list(file["row_id"].asstr()[:]) == manifest.row_id_N
        assert np.flatnonzero(file["valid"][:] == 0).tolist() == [7, 2499]
        assert json.loads(file.attrs["classes"]) == list(manifest.classes)
        assert json.loads(file.attrs["splits"]) == {"train": [0, 2000], "validation": [2000, 2500]}
        assert file.attrs["format_version"] == 1
        shard_rows = int(file.attrs["shard_rows"])
        for shard, expected in enumerate(file["shard_hash"][:]):
            rows = stored[shard * shard_rows : (shard + 1) * shard_rows]
            assert xxhash.xxh3_128_digest(rows.tobytes()) == expected.tobytes()


def test_numpy_alone_reads_the_features(tmp_path: Path, features: np.ndarray) -> None:
    path = tmp_path / "a.h5"
    write_pack(path, plain_manifest(ROWS), features)
    offset = read_layout(path).features_offset
    mapped = np.memmap(path, "<f4", "r", offset=offset, shape=features.shape)
    np.testing.assert_array_equal(mapped, features)


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump is not installed")
def test_h5dump_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_pack(path, plain_manifest(10), np.ones((10, 3), np.float32))
    command = ["h5dump", "-p", "-d", "/features", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "CONTIGUOUS" in shown
    assert "H5T_IEEE_F32LE" in shown


@pytest.mark.parametrize("shape", [(1, 5), (3, 4, 2, 2), (40, 1)], ids=str)
def test_small_and_odd_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.h5"
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    write_pack(path, plain_manifest(shape[0]), values)
    pack = open_pack(path)
    np.testing.assert_array_equal(pack.features, values)
    assert read_layout(path).features_offset % 4096 == 0
    assert pack.failed_shards() == []


def test_our_reader_reads_a_file_that_plain_h5py_wrote(tmp_path: Path) -> None:
    path, values = tmp_path / "a.h5", np.arange(12, dtype="<f4").reshape(4, 3)
    with h5py.File(path, "w") as file:
        file["features"] = values
        file["labels"] = np.array([0, 1, -1, 0], "<i8")
        file["valid"] = np.ones(4, "u1")
        file["row_hash"] = np.zeros((4, 16), "u1")
        file.create_dataset("row_id", data=list("abcd"), dtype=h5py.string_dtype())
        digest = xxhash.xxh3_128_digest(values.tobytes())
        file["shard_hash"] = np.frombuffer(digest, "u1")[None]
        file.attrs.update({"format_version": 1, "shard_rows": 64, "created": "2026-01-01"})
        file.attrs.update({"recipe": "{}", "dataset": "{}", "provenance": "{}"})
        file.attrs.update({"classes": '["x", "y"]', "splits": '{"train": [0, 4]}'})
    pack = open_pack(path)
    np.testing.assert_array_equal(pack.features, values)
    assert pack.splits == {"train": (0, 4)}
    assert pack.failed_shards() == []


def test_one_flipped_bit_is_found(tmp_path: Path, features: np.ndarray) -> None:
    path = tmp_path / "a.h5"
    write_pack(path, plain_manifest(ROWS), features)
    layout = read_layout(path)
    with path.open("r+b") as file:
        file.seek(layout.features_offset + 1700 * layout.row_bytes + 5)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    assert open_pack(path).failed_shards() == [1700 // layout.shard_rows]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    values = np.zeros((20, 4), np.float32)
    values[13, 2] = value
    with pytest.raises(CorruptData, match="row 13 has infinite or NaN"):
        write_pack(tmp_path / "a.h5", plain_manifest(20), values)


def test_a_value_too_large_for_float16_is_refused(tmp_path: Path) -> None:
    values = np.zeros((20, 4), np.float32)
    values[3] = 70000
    write_pack(tmp_path / "a.h5", plain_manifest(20), values, "float32")
    with pytest.raises(CorruptData, match="float16 cannot hold"):
        write_pack(tmp_path / "b.h5", plain_manifest(20), values, "float16")


def test_files_that_are_no_sealed_packs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    values = np.ones((50, 4096), np.float32)
    with pytest.raises(FileNotFoundError):
        open_pack(path)
    path.write_bytes(b"not HDF5 at all" * 100)
    with pytest.raises(CorruptData):
        open_pack(path)
    path.unlink()
    create(path, plain_manifest(50), recipe={}, dataset={}, row_shape=(4096,), dtype="float32")
    with pytest.raises(CorruptData):
        open_pack(path)
    write_pack(tmp_path / "b.h5", plain_manifest(50), values)
    whole = (tmp_path / "b.h5").read_bytes()
    (tmp_path / "b.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptData):
        open_pack(tmp_path / "b.h5")


def test_the_file_is_whole_before_any_row_is_written(tmp_path: Path) -> None:
    """A crash while rows are written leaves a file that opens, with its features in place."""
    path = tmp_path / "a.h5"
    create(path, plain_manifest(100), recipe={}, dataset={}, row_shape=(512,), dtype="float32")
    size = path.stat().st_size
    with PackWriter(path) as writer:
        writer.write(np.arange(40, 50), np.ones((10, 512), np.float32), np.ones(10, bool))
    assert path.stat().st_size == size
    with h5py.File(path, "r") as file:
        assert file["features"][40:50].min() == 1
        assert file["labels"].shape == (100,)


def test_shard_sizes_are_powers_of_two_of_about_four_mebibytes() -> None:
    assert shard_rows_for(2048 * 4) == 512
    assert shard_rows_for(1280 * 4) == 512
    assert shard_rows_for(4) == 4096
    assert shard_rows_for(64 << 20) == 32


def test_manifest_files_round_trip_and_notice_damage(tmp_path: Path) -> None:
    path, manifest = tmp_path / "m.h5", plain_manifest(30)
    save_manifest(path, manifest)
    again = load_manifest(path)
    assert again.dataset_id == manifest.dataset_id
    assert again.row_id_N == manifest.row_id_N
    assert again.location == manifest.location
    with h5py.File(path, "r+") as file:
        file["label"][0] = 2 - file["label"][0] + 1
    with pytest.raises(CorruptData, match="does not match its id"):
        load_manifest(path)
