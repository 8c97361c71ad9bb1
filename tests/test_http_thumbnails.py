"""Thumbnails: what they look like, and what is said where there is none."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cache.errors import CorruptData, TooLarge
from cache.store import Store
from service.thumbnails import thumbnail
from tests.serving import PAIR, Serving, serving, wait, worker_running


def shown(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image.convert("RGB")


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def picture(width: int, height: int) -> Image.Image:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0], pixels[:, width // 2 :, 2] = 255, 255
    return Image.fromarray(pixels)


# Images


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM"])
def test_every_format_is_made_smaller_in_proportion(kind: str) -> None:
    small = shown(thumbnail(encoded(picture(400, 200), kind), 64))
    assert small.size == (64, 32)
    left, right = small.getpixel((5, 16)), small.getpixel((58, 16))
    assert left[0] > 230 > 40 > left[2]  # type: ignore[index]
    assert right[2] > 230 > 40 > right[0]  # type: ignore[index]


def test_small_images_are_kept_exactly() -> None:
    random = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(
        np.asarray(shown(thumbnail(encoded(Image.fromarray(random)), 64))), random
    )
    np.testing.assert_array_equal(np.asarray(shown(thumbnail(random, 64))), random)
    grey = np.asarray(shown(thumbnail(random[:, :, :1], 64)))
    np.testing.assert_array_equal(grey, np.repeat(random[:, :, :1], 3, axis=2))


def test_a_photo_stands_upright() -> None:
    exif = Image.Exif()
    exif[274] = 6  # held a quarter turn to the left
    small = shown(thumbnail(encoded(picture(40, 20), "JPEG", exif=exif), 64))
    assert small.size == (20, 40)
    assert small.getpixel((10, 5))[0] > 230, "left came to the top"  # type: ignore[index]


def test_16_bits_are_not_clipped() -> None:
    deep = Image.fromarray(np.full((9, 9), 32896, np.uint16))
    assert np.unique(np.asarray(shown(thumbnail(encoded(deep), 64)))).tolist() == [128]


@pytest.mark.parametrize("data", [b"", b"junk", b"\x89PNG\r\n\x1a\n" + b"x" * 99])
def test_what_is_no_image_is_said_so(data: bytes) -> None:
    with pytest.raises(CorruptData, match="broken"):
        thumbnail(data, 64)


def test_a_cut_off_image_is_broken() -> None:
    with pytest.raises(CorruptData):
        thumbnail(encoded(picture(300, 300), "JPEG")[:700], 64)


def test_a_huge_image_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(TooLarge, match="20000 × 20000"):
        thumbnail(encoded(Image.new("1", (20_000, 20_000))), 64)


# Over HTTP


def path_of(pack: dict[str, Any], row: int, size: int = 16) -> str:
    return f"/v1/packs/{pack['pack_id']}/rows/{row}/thumbnail?size={size}"


def test_a_row_shows_its_own_image(served: Serving, pack: dict[str, Any]) -> None:
    root = served.store.data_root
    assert root is not None
    for row, name in ((0, "train/Äpfel/000.png"), (30, "validation/梨/004.png")):
        answer = served.http.get(path_of(pack, row))
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/webp"
        assert "immutable" in answer.headers["cache-control"]
        expected = Image.open(root / "set" / name).resize((16, 16), Image.Resampling.LANCZOS)
        difference = np.asarray(shown(answer.content), int) - np.asarray(expected, int)
        assert abs(difference).max() < 8
        known = served.http.get(
            path_of(pack, row), headers={"If-None-Match": answer.headers["etag"]}
        )
        assert (known.status_code, known.content) == (304, b"")
    other = served.http.get(path_of(pack, 0, 24)).headers["etag"]
    assert other != served.http.get(path_of(pack, 0)).headers["etag"]


def test_what_cannot_be_shown(served: Serving, pack: dict[str, Any]) -> None:
    assert "no row 31" in served.get(path_of(pack, 31), 404)["detail"]
    served.get(path_of(pack, -1), 404)
    served.get(path_of(pack, 0, 8), 422)
    served.get(path_of(pack, 0, 513), 422)
    served.get(path_of({"pack_id": "nope"}, 0), 404)
    content = {"features": np.ones((4, 3), np.float32), "labels": np.array([0, 1, 0, 1])}
    imported = served.upload(
        "/v1/packs/import",
        network="vgg",
        dataset="labs",
        train=("a_train.p", pickle.dumps(content, protocol=2)),
    )
    assert "imported" in served.get(path_of(imported, 0), 404)["detail"]


def test_images_that_went_or_changed(store: Store) -> None:
    assert store.data_root is not None
    folder = store.data_root / "set" / "train" / "a"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(encoded(picture(20 + number, 20)))
    with serving(store) as service, worker_running(store):
        source = {"kind": "folder", "path": "set"}
        service.post("/v1/datasets", {"name": "set", "source": source}, 201)
        pack = wait(service, PAIR)
        (folder / "0.png").unlink()
        (folder / "1.png").write_bytes(encoded(picture(99, 99)))
        for row in (0, 1):
            problem = service.get(path_of(pack, row), 404)
            assert "changed since" in problem["detail"]
            assert "register" in problem["remedy"]
        assert service.http.get(path_of(pack, 2)).status_code == 200
        folder.parent.parent.rename(store.data_root / "elsewhere")
        service.get(path_of(pack, 2), 404)
        store.manifest(pack["dataset_id"]).unlink()
        assert "no longer registered" in service.get(path_of(pack, 2), 404)["detail"]


def test_uploaded_pixels_are_shown(store: Store) -> None:
    with serving(store) as service, worker_running(store):
        source = {"kind": "builtin", "name": "digits"}
        service.post("/v1/datasets", {"name": "digits", "source": source}, 201)
        pack = wait(service, PAIR | {"dataset": "digits", "view": {"limit": 20}})
        answer = service.http.get(path_of(pack, 3, 64))
        assert shown(answer.content).size == (8, 8)
