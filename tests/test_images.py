"""Decoding: what every kind of image file becomes, and that broken ones are refused quietly."""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from cache.errors import CorruptData, InvalidRequest, TooLarge
from worker.pixels.images import _to_rgb, decode, pixels_to_rgb

RANDOM = np.random.default_rng(0)
SMOOTH = Image.fromarray(RANDOM.integers(0, 256, (5, 7, 3), np.uint8)).resize((23, 17))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reference(data: bytes) -> np.ndarray:
    """What torchvision's ImageFolder would give."""
    with Image.open(io.BytesIO(data)) as image:
        image.info.pop("transparency", None)  # Pillow warns of it and then ignores it
        return np.asarray(image.convert("RGB"))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    ("kind", "modes"),
    [
        ("JPEG", ["RGB", "L", "CMYK"]),
        ("PNG", ["RGB", "RGBA", "L", "LA", "P", "1"]),
        ("PPM", ["RGB", "L", "1"]),
        ("BMP", ["RGB", "L", "P", "1", "RGBA"]),
        ("WEBP", ["RGB", "RGBA", "L"]),
        ("GIF", ["P", "L", "1", "RGB"]),
    ],
)
def test_eight_bit_images_are_as_pillow_converts_them(kind: str, modes: list[str]) -> None:
    for mode in modes:
        data = encoded(SMOOTH.convert(mode), kind)
        pixels = decode(data)
        assert pixels.dtype == np.uint8
        assert pixels.flags.writeable
        assert pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, reference(data), err_msg=f"{kind} {mode}")


def test_alpha_is_dropped_and_not_composited() -> None:
    pixels = np.array([[[200, 100, 50, 0], [1, 2, 3, 255]]], np.uint8)
    for kind in ("PNG", "WEBP"):
        data = encoded(Image.fromarray(pixels), kind, lossless=True, exact=True)
        np.testing.assert_array_equal(decode(data), pixels[:, :, :3])


def test_transparent_palettes_give_their_colours_without_a_warning() -> None:
    palette = SMOOTH.quantize(8)
    data = encoded(palette, "PNG", transparency=bytes([0, 128, 255]))
    np.testing.assert_array_equal(decode(data), np.asarray(palette.convert("RGB")))


def test_sixteen_bit_grey_is_divided_by_257_and_rounded() -> None:
    values = np.array([[0, 128, 129, 257, 385, 386, 32768, 65535]], np.uint16)
    expected = np.rint(values / 257).astype(np.uint8)
    png = encoded(Image.fromarray(values), "PNG")
    ppm = b"P5 8 1 65535\n" + values.astype(">u2").tobytes()
    for data in (png, ppm):
        assert Image.open(io.BytesIO(data)).mode.startswith("I")
        np.testing.assert_array_equal(decode(data), np.repeat(expected[..., None], 3, 2))
    big_endian = Image.frombytes("I;16B", (8, 1), values.astype(">u2").tobytes())
    np.testing.assert_array_equal(_to_rgb(big_endian)[:, :, 0], expected)


def test_sixteen_bit_colour_keeps_the_high_byte() -> None:
    values = RANDOM.integers(0, 65536, (3, 4, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0))
    data += png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode(data), (values >> 8).astype(np.uint8))
    np.testing.assert_array_equal(decode(data), reference(data))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"])
def test_every_mode_with_colours_becomes_rgb(mode: str) -> None:
    image = SMOOTH.convert(mode)
    np.testing.assert_array_equal(_to_rgb(image), np.asarray(image.convert("RGB")))


def test_premultiplied_alpha_is_undone_first() -> None:
    straight = Image.fromarray(np.array([[[200, 100, 50, 255]]], np.uint8))
    np.testing.assert_array_equal(_to_rgb(straight.convert("RGBa")), [[[200, 100, 50]]])
    grey = Image.new("LA", (1, 1), (90, 255)).convert("La")
    np.testing.assert_array_equal(_to_rgb(grey), [[[90, 90, 90]]])


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(CorruptData, match="'F'"):
        _to_rgb(Image.new("F", (2, 2)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    exif[271] = "a maker"
    data = encoded(SMOOTH, kind, exif=exif.tobytes())
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode(data), np.asarray(upright))
    big_endian = encoded(
        SMOOTH,
        kind,
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01"
        + struct.pack(">HHIHH", 274, 3, 1, orientation, 0)
        + bytes(4),
    )
    np.testing.assert_array_equal(decode(big_endian), decode(data))


def test_orientation_may_come_from_xmp_but_exif_comes_first() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(SMOOTH, "JPEG", xmp=xmp)
    assert decode(data).shape == (23, 17, 3)
    exif = Image.Exif()
    exif[274] = 1
    assert decode(encoded(SMOOTH, "JPEG", xmp=xmp, exif=exif)).shape == (17, 23, 3)


@pytest.mark.parametrize(
    "exif",
    [b"", b"junk", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\x08\0\0\0"],
)
def test_broken_exif_means_no_orientation_and_no_warning(exif: bytes) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encoded(SMOOTH, kind, exif=b"Exif\0\0" + exif)
        np.testing.assert_array_equal(decode(data), decode(encoded(SMOOTH, kind)))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(decode(data), reference(data))
    assert decode(data)[0, 0].tolist() == [255, 0, 0]


def test_a_bad_animation_chunk_is_no_warning() -> None:
    data = encoded(SMOOTH, "PNG")
    bad = data[:33] + png_chunk(b"acTL", bytes(8)) + data[33:]
    np.testing.assert_array_equal(decode(bad), decode(data))


KINDS = ["JPEG", "PNG", "PPM", "BMP", "WEBP", "GIF"]


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_images_are_corrupt(kind: str) -> None:
    image = Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(image, kind)
    for length in (1, 10, 30, len(data) // 3, len(data) // 2, len(data) * 9 // 10):
        with pytest.raises(CorruptData) as caught:
            decode(data[:length])
        assert caught.value.remedy


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello, this is text", b"%PDF-1.7", b"<svg/>", b"II*\0" + bytes(99)]
)
def test_what_is_no_image_of_these_formats_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptData, match="not a JPEG"):
        decode(data)


@settings(deadline=None, max_examples=150)
@given(kind=st.sampled_from(KINDS), edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255))))
def test_damaged_bytes_give_an_image_or_corrupt_data(
    kind: str, edits: list[tuple[float, int]]
) -> None:
    data = bytearray(encoded(SMOOTH, kind))
    for position, value in edits:
        data[int(position * (len(data) - 1))] = value
    try:
        pixels = decode(bytes(data), max_pixels=10_000)
    except (CorruptData, TooLarge):
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


def test_more_pixels_than_the_limit_are_too_large() -> None:
    data = encoded(Image.new("L", (40, 30)), "PNG")
    assert decode(data, max_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(TooLarge, match="40 x 30"):
        decode(data, max_pixels=1199)


@pytest.mark.parametrize("side", [9_900, 12_000, 65_000])
def test_bombs_are_refused_by_their_header_without_a_warning(side: int) -> None:
    """Pillow would warn at 9,500 pixels a side: no pixel is unpacked, no warning is issued."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    with pytest.raises(CorruptData if side < 10_000 else TooLarge):
        decode(data)


def test_an_image_between_pillows_limit_and_ours_is_decoded_without_a_warning() -> None:
    data = encoded(Image.new("1", (9_500, 9_450)), "PNG")
    assert decode(data).shape == (9_450, 9_500, 3)


def test_decoding_changes_no_global_state_and_runs_in_threads() -> None:
    files = [encoded(SMOOTH.rotate(30 * i), KINDS[i % len(KINDS)]) for i in range(12)]
    alone = [decode(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode, files * 20))
    for index, pixels in enumerate(together):
        np.testing.assert_array_equal(pixels, alone[index % len(files)])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_raw_pixels_become_rgb(channels: int) -> None:
    pixels = RANDOM.integers(0, 256, (4, 5, channels), np.uint8)
    rgb = pixels_to_rgb(pixels)
    assert rgb.shape == (4, 5, 3)
    assert rgb.flags.c_contiguous
    np.testing.assert_array_equal(rgb, np.broadcast_to(pixels[:, :, :3], (4, 5, 3)))


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 2), np.uint8), np.zeros((4, 5, 3))]
)
def test_raw_pixels_of_another_shape_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InvalidRequest):
        pixels_to_rgb(pixels)
