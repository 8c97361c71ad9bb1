"""JPEG files: TurboJPEG gives Pillow's pixels, and whatever is odd goes to Pillow itself."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageOps

from cache.errors import CorruptData, FeaturepackError, TooLarge
from worker.pixels import jpeg
from worker.pixels.images import _decode_by_pillow, _Jpeg, decode

RANDOM = np.random.default_rng(0)
SUBSAMPLING = ["4:4:4", "4:2:2", "4:2:0"]
LIMIT = 1_000_000


def picture(height: int, width: int) -> Image.Image:
    """Smooth shapes under noise, so that all frequencies occur."""
    small = RANDOM.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    smooth = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    noise = RANDOM.integers(-30, 31, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def with_sampling(data: bytes, luma: int) -> bytes:
    """A 4:4:4 file whose header says otherwise of its luma: the blocks mean something else then."""
    frame = data.index(b"\xff\xc0")
    return data[: frame + 11] + bytes([luma]) + data[frame + 12 :]


def by_pillow(data: bytes) -> np.ndarray | type[FeaturepackError]:
    try:
        return _decode_by_pillow(_Jpeg, data, LIMIT)
    except (CorruptData, TooLarge) as error:
        return type(error)


def by_us(data: bytes) -> np.ndarray | type[FeaturepackError]:
    try:
        return decode(data, LIMIT)
    except (CorruptData, TooLarge) as error:
        return type(error)


def assert_as_pillow(data: bytes) -> None:
    ours, pillows = by_us(data), by_pillow(data)
    assert type(ours) is type(pillows)
    np.testing.assert_array_equal(ours, pillows)


def assert_fast_and_as_pillow(data: bytes) -> None:
    """The file is one of those that Pillow is not needed for, and the pixels are the same."""
    assert jpeg.read_header(data)
    assert jpeg.decode_plain(data) is not None
    assert_as_pillow(data)
    assert isinstance(by_us(data), np.ndarray)


@pytest.mark.parametrize("subsampling", SUBSAMPLING)
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 2}]
)
@pytest.mark.parametrize("side", [(8, 8), (75, 100), (37, 61)])
def test_each_kind_of_file(subsampling: str, options: dict[str, Any], side: Any) -> None:
    assert_fast_and_as_pillow(encoded(picture(*side), subsampling=subsampling, **options))


@pytest.mark.parametrize("subsampling", SUBSAMPLING)
def test_every_small_size(subsampling: str) -> None:
    for height in range(1, 18):
        for width in range(1, 18):
            data = encoded(picture(height, width), subsampling=subsampling, quality=90)
            assert_fast_and_as_pillow(data)


def test_every_quality() -> None:
    image = picture(40, 56)
    for quality in range(1, 101):
        assert_fast_and_as_pillow(encoded(image, quality=quality))


@pytest.mark.parametrize("luma", [0x12, 0x21, 0x22, 0x41, 0x14, 0x42, 0x31])
def test_samplings_that_pillow_does_not_write(luma: int) -> None:
    """4:4:0, 4:1:1, 4:4:1 and stranger ones. The blocks run out early, so use a shorter image."""
    data = with_sampling(encoded(picture(64, 64), subsampling="4:4:4"), luma)
    assert_as_pillow(data)


@pytest.mark.parametrize("sampling", ["440", "411", "422", "420", "444"])
@pytest.mark.parametrize("side", [(16, 16), (33, 71), (9, 5)])
def test_samplings_of_another_encoder(sampling: str, side: tuple[int, int]) -> None:
    pixels_HWC = np.ascontiguousarray(picture(*side))
    for quality in (30, 95):
        data = simplejpeg.encode_jpeg(pixels_HWC, quality, "RGB", sampling)
        assert_fast_and_as_pillow(data)


def test_grey() -> None:
    for side in [(1, 1), (17, 33), (64, 64)]:
        assert_fast_and_as_pillow(encoded(picture(*side).convert("L")))
        assert_fast_and_as_pillow(encoded(picture(*side).convert("L"), progressive=True))


@pytest.mark.parametrize("keep_rgb", [True, False])
def test_files_without_a_colour_transform(keep_rgb: bool) -> None:
    """An Adobe marker says whether the three components are RGB or YCbCr."""
    data = encoded(picture(33, 41), keep_rgb=keep_rgb)
    assert_fast_and_as_pillow(data)
    for transform in (0, 1, 2):
        adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([transform])
        assert_fast_and_as_pillow(data[:2] + adobe + data[2:])


@pytest.mark.parametrize("profile", [b"", b"a profile", bytes(70_000)])
def test_colour_profiles_are_ignored(profile: bytes) -> None:
    assert_fast_and_as_pillow(encoded(picture(20, 20), icc_profile=profile))


def test_four_components_are_pillows() -> None:
    data = encoded(picture(20, 30).convert("CMYK"))
    assert jpeg.read_header(data) is None
    assert_as_pillow(data)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("by", ["exif", "xmp", "both"])
def test_every_orientation(orientation: int, by: str) -> None:
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "a maker"
    other = 6 if by == "both" else orientation
    options: dict[str, Any] = {} if by == "xmp" else {"exif": exif}
    if by != "exif":
        options["xmp"] = b'<x:xmpmeta><rdf tiff:Orientation="%d"/></x:xmpmeta>' % other
    data = encoded(picture(23, 31), **options)
    assert_fast_and_as_pillow(data)
    if by == "exif":
        with Image.open(io.BytesIO(data)) as image:
            np.testing.assert_array_equal(decode(data), ImageOps.exif_transpose(image))


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


ODD_SEGMENTS = [
    segment(0xE0, b"JFIF"),
    segment(0xE0, b"JFIF\0\1\1\1"),
    segment(0xE1, b"Exif\0\0"),
    segment(0xE1, b"Exif\0"),
    segment(0xE1, b"Exif\0\0II*\0"),
    segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0") * 2,
    segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
    segment(0xE1, b"http://ns.adobe.com/xap/1.0/"),
    segment(0xE2, b"ICC_PROFILE\0"),
    segment(0xE2, b"ICC_PROFILE\0\1\1"),
    segment(0xE2, b"MPF\0"),
    segment(0xED, b"Photoshop 3.0\0"),
    segment(0xED, b"Photoshop 3.0\x008BIM"),
    segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10" + bytes(16)),
    segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\2ab8BIM\1\1"),
    segment(0xEE, b"Adobe"),
    segment(0xEE, b"Adobe\0\x64\0\0\0"),
    segment(0xFE, b"a comment"),
    segment(0xC8, b""),
    segment(0xF0, b""),
    segment(0xDC, b"\0\1"),
    segment(0xDB, b""),
    segment(0xDB, b"\x17" + bytes(64)),
    b"\xff\xd0",
    b"\xff\x01",
    b"\xff\xff",
    b"\0",
    b"\xff\0",
    b"\xff\xe5\0\0",
    b"\xff\xe5\0\1",
    b"\xff\xd8",
    b"\xff\xd9",
]


@pytest.mark.parametrize("odd", ODD_SEGMENTS, ids=lambda odd: odd[:24].hex())
def test_odd_segments_are_what_they_were(odd: bytes) -> None:
    data = encoded(picture(12, 12))
    for place in (2, data.index(b"\xff\xdb"), data.index(b"\xff\xda")):
        assert_as_pillow(data[:place] + odd + data[place:])


def test_other_precisions_and_frames_are_what_they_were() -> None:
    data = encoded(picture(12, 12))
    frame = data.index(b"\xff\xc0")
    for kind in range(0xC0, 0xD0):
        assert_as_pillow(data[: frame + 1] + bytes([kind]) + data[frame + 2 :])
    for bits in range(17):
        assert_as_pillow(data[: frame + 4] + bytes([bits]) + data[frame + 5 :])
    whole = data[frame : data.index(b"\xff\xc4")]
    assert_as_pillow(data[:frame] + whole + data[frame:])


def test_the_pixel_limit_comes_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("RGB", (40, 30)))
    assert decode(data, 1200).shape == (30, 40, 3)
    monkeypatch.setattr(jpeg, "decode_plain", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(TooLarge, match="40 x 30"):
        decode(data, 1199)


def sources() -> Iterator[bytes]:
    exif = Image.Exif()
    exif[274] = 6
    yield encoded(picture(24, 40), quality=80)
    yield encoded(picture(24, 40), subsampling="4:4:4", progressive=True)
    yield encoded(picture(24, 40), restart_marker_blocks=1, exif=exif)
    yield encoded(picture(24, 40).convert("L"), icc_profile=b"profile")
    yield encoded(picture(24, 40).convert("CMYK"))


SOURCES = list(sources())


@pytest.mark.parametrize("number", range(len(SOURCES)))
def test_cut_off_files_are_what_they_were(number: int) -> None:
    data = SOURCES[number]
    for length in range(3, len(data)):
        assert_as_pillow(data[:length])


@pytest.mark.parametrize("seed", range(300))
def test_damaged_files_are_what_they_were(seed: int) -> None:
    """Bytes changed, put in and taken out, all over and in the header."""
    random = np.random.default_rng(seed)
    for source in SOURCES:
        data = bytearray(source)
        end = len(data) if seed % 2 else data.index(b"\xff\xda") + 16
        for _ in range(random.integers(1, 4)):
            place, value = int(random.integers(2, end)), int(random.integers(256))
            change = random.integers(4)
            if change == 0:
                data[place] ^= 1 << (value % 8)
            elif change == 1:
                data[place : place + 1] = b""
            elif change == 2:
                data[place:place] = bytes([value])
            else:
                data[place] = value
        assert_as_pillow(bytes(data))
