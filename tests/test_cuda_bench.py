"""The benchmark of the CUDA engine runs where no GPU is, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import cuda
from bench.cuda_images import HEIGHT, WIDTH, jpeg
from worker.pixels.images import decode


def test_jpeg_files_are_like_photographs_and_always_the_same() -> None:
    data = jpeg(7)
    assert data == jpeg(7) != jpeg(8)
    assert decode(data).shape == (HEIGHT, WIDTH, 3)
    assert 50_000 < len(data) < 60_000


def test_it_measures_and_writes_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "cuda.json"
    options = "--device cpu --networks squeezenet1_1 --seconds 0.01 --images 3 --batch 2"
    cuda.main([*options.split(), "--threads", "2", "--no-compile", "--out", str(out)])
    found = json.loads(out.read_text())
    assert found["device"].startswith("cpu")
    assert {"command", "versions", "decode", "networks"} <= set(found)
    network = found["networks"]["squeezenet1_1"]
    assert set(network["limits"]) == {"float32", "tf32", "bfloat16"}
    assert all(set(ways) == {"eager", "eager graph"} for ways in network["limits"].values())
    for compute in ("float32", "fast"):
        assert network[compute]["batch"] == 2
        assert network[compute]["same_bits_anywhere"]
        assert network[compute]["fraction_of_limit_arrays"] > 0
        assert network[compute]["fraction_of_limit_jpeg"] > 0
    assert network["float32"]["largest_error"] < 1e-5
    assert network["fast"]["smallest_cosine"] > 0.99
    assert network["nvjpeg"]["mean_pixel_difference"] < 1  # libjpeg's, on the CPU
    assert "squeezenet1_1 / fast" in capsys.readouterr().out
