"""The uint8 path is torchvision's preset, bit for bit; the float32 path is what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import get_weight

from cache.errors import InvalidRequest, TooLarge
from cache.recipe import Transform
from worker.pixels.geometry import crop_corner, resized
from worker.pixels.pillow_resize import resize_uint8
from worker.pixels.transforms import apply, apply_batch, empty_images, prepare, resize_on

RANDOM = np.random.default_rng(0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRETCH = Transform("stretch", (48, 40), None, "bilinear", True, "float32", MEAN, STD)

PRESETS = [
    "ResNet50_Weights.IMAGENET1K_V1",
    "ResNet50_Weights.IMAGENET1K_V2",
    "Inception_V3_Weights.IMAGENET1K_V1",
    "ViT_B_16_Weights.IMAGENET1K_V1",
    "ViT_H_14_Weights.IMAGENET1K_SWAG_E2E_V1",
    "EfficientNet_B0_Weights.IMAGENET1K_V1",
    "Swin_T_Weights.IMAGENET1K_V1",
]


def of_preset(preset: Any) -> Transform:
    return Transform(
        resize="shorter",
        size=tuple(preset.resize_size),
        crop=(preset.crop_size[0], preset.crop_size[0]),
        interpolation=preset.interpolation.value,
        antialias=True,
        resample="uint8",
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def pixels(height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("name", PRESETS)
def test_uint8_equals_torchvisions_preset(name: str) -> None:
    preset = get_weight(name).transforms()
    transform = of_preset(preset)
    for height, width in [(32, 32), (333, 500), (501, 334), (1, 7), (300, 3), (256, 257)]:
        image = pixels(height, width)
        assert torch.equal(apply(image, transform), preset(Image.fromarray(image)))


@settings(deadline=None, max_examples=200)
@given(
    source=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    resized_=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    crop=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic"]),
)
def test_uint8_equals_pillow_whatever_the_shapes(
    source: tuple[int, int], resized_: tuple[int, int], crop: Any, interpolation: Any
) -> None:
    """Pillow 13 begins with the rows where the height shrinks by much, else with the columns."""
    height, width = (max(1, round(of * part)) for of, part in zip(resized_, crop, strict=True))
    transform = Transform(
        "stretch", resized_, (height, width), interpolation, True, "uint8", MEAN, STD
    )
    image, found = pixels(*source), np.empty((height, width, 3), np.uint8)
    resize_uint8(image, transform, found)
    whole = Image.fromarray(image).resize(resized_[::-1], Image.Resampling[interpolation.upper()])
    top, left = crop_corner(resized_, transform)
    expected = np.asarray(whole)[top : top + height, left : left + width]
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 90), width=st.integers(1, 90), crop=st.integers(1, 31))
def test_crops_are_rounded_as_torchvision_rounds_them(height: int, width: int, crop: int) -> None:
    preset = get_weight(PRESETS[0]).transforms()
    preset.resize_size, preset.crop_size = [31], [crop]
    image = pixels(height, width)
    assert torch.equal(apply(image, of_preset(preset)), preset(Image.fromarray(image)))


def test_the_result_is_contiguous_float32_of_the_recipes_size() -> None:
    for transform in (STRETCH, of_preset(get_weight(PRESETS[0]).transforms())):
        result = apply(pixels(50, 60), transform)
        assert result.dtype == torch.float32
        assert result.is_contiguous()
        assert result.shape == (3, *transform.output_HW)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_float32_equals_interpolate(interpolation: Any, antialias: bool) -> None:
    transform = replace(STRETCH, interpolation=interpolation, antialias=antialias, crop=(31, 20))
    image = pixels(70, 33)
    scaled = torch.tensor(image.transpose(2, 0, 1)[None].copy(), dtype=torch.float32) / 255
    if interpolation == "nearest":
        resized = torch.nn.functional.interpolate(scaled, (48, 40), mode="nearest-exact")
    else:
        resized = torch.nn.functional.interpolate(
            scaled, (48, 40), mode=interpolation, align_corners=False, antialias=antialias
        )
    cropped = resized[0, :, 8:39, 10:30]
    expected = (cropped - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(apply(image, transform), expected, atol=1e-6, rtol=0)


def test_a_float32_pixel_can_be_checked_by_hand() -> None:
    image = np.full((5, 9, 3), (255, 0, 51), np.uint8)
    transform = replace(STRETCH, mean=(0.5, 0.25, 0.1), std=(0.5, 0.5, 0.2))
    result = apply(image, transform)
    torch.testing.assert_close(result[:, 0, 0], torch.tensor([1.0, -0.5, 0.5]))
    reversed_result = apply(image, replace(transform, channels="BGR"))
    assert torch.equal(reversed_result, result.flip(0))


@pytest.mark.parametrize("resample", ["uint8", "float32"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_a_batch_gives_the_rows_of_its_images(resample: Any, channels: Any) -> None:
    images = RANDOM.integers(0, 256, (9, 32, 32, 3), np.uint8)
    transform = replace(STRETCH, size=(224, 224), resample=resample, channels=channels)
    rows = torch.stack([apply(image, transform) for image in images])
    together = apply_batch(images, transform)
    assert together.is_contiguous()
    torch.testing.assert_close(together, rows, atol=1e-6, rtol=0)


def test_the_source_is_neither_changed_nor_required_to_be_writable() -> None:
    image = pixels(20, 20)
    before = image.copy()
    image.flags.writeable = False
    for resample in ("uint8", "float32"):
        for source in (image, image[::-1, ::-1]):
            apply(source, replace(STRETCH, size=(20, 20), resample=resample))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_other_pixels_are_refused(image: np.ndarray) -> None:
    with pytest.raises(InvalidRequest, match="pixels are"):
        apply(image, STRETCH)


@pytest.mark.parametrize("resample", ["uint8", "float32"])
def test_a_sliver_does_not_fill_the_memory(resample: Any) -> None:
    transform = Transform("shorter", (256,), (224, 224), "bilinear", True, resample, MEAN, STD)
    with pytest.raises(TooLarge, match="60000"):
        apply(np.zeros((60_000, 1, 3), np.uint8), transform)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("source", [(375, 500), (32, 32), (500, 375), (224, 900), (230, 20)])
def test_rows_and_columns_that_are_left_out_do_not_matter(
    interpolation: Any, source: tuple[int, int]
) -> None:
    """Pillow's one resize of the whole image, bit for bit."""
    transform = Transform("shorter", (256,), (224, 200), interpolation, True, "uint8", MEAN, STD)
    image = pixels(*source)
    height, width = resized(source, transform)
    filter_ = getattr(Image.Resampling, interpolation.upper())
    whole = Image.fromarray(image).resize((width, height), filter_)
    top, left = crop_corner((height, width), transform)
    result = prepare(image[None], transform)[0].numpy()
    expected = np.asarray(whole)[top : top + 224, left : left + 200]
    np.testing.assert_array_equal(result, expected)


@settings(deadline=None, max_examples=100)
@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    resized_=st.tuples(st.integers(7, 120), st.integers(5, 120)),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic"]),
    antialias=st.booleans(),
    channels=st.sampled_from(["RGB", "BGR"]),
)
def test_every_way_of_resizing_in_float32_is_interpolates(
    height: int,
    width: int,
    resized_: tuple[int, int],
    interpolation: Any,
    antialias: bool,
    channels: Any,
) -> None:
    transform = Transform(
        "stretch", resized_, (7, 5), interpolation, antialias, "float32", MEAN, STD, channels
    )
    images = RANDOM.integers(0, 256, (3, height, width, 3), np.uint8)
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32) / 255
    options: dict[str, Any] = (
        {"mode": "nearest-exact"}
        if interpolation == "nearest"
        else {"mode": interpolation, "antialias": antialias, "align_corners": False}
    )
    expected = torch.nn.functional.interpolate(scaled, resized_, **options)
    top, left = crop_corner(resized_, transform)
    expected = expected[:, :, top : top + 7, left : left + 5]
    expected = (expected - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    expected = expected.flip(1) if channels == "BGR" else expected
    for result in (apply_batch(images, transform), resize_on(torch.from_numpy(images), transform)):
        torch.testing.assert_close(result, expected, atol=4e-6, rtol=0)


@pytest.mark.parametrize("resample", ["uint8", "float32"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("side", [20, 90])
def test_a_result_can_be_written_to_where_it_is_wanted(
    resample: Any, channels: Any, side: int
) -> None:
    transform = replace(STRETCH, resample=resample, channels=channels)
    images = RANDOM.integers(0, 256, (3, side, side, 3), np.uint8)
    place = empty_images(5, transform)[1:4]
    assert prepare(images, transform, out=place).data_ptr() == place.data_ptr()
    assert torch.equal(place, prepare(images, transform))
