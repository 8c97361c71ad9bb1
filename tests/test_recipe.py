"""Identity: whatever changes a row changes the id, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cache.errors import InvalidRequest
from cache.recipe import Numerics, Recipe, Tap, Transform, pack_id

TRANSFORM = Transform(
    resize="shorter",
    size=(256,),
    crop=(224, 224),
    interpolation="bilinear",
    antialias=True,
    resample="uint8",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
RECIPE = Recipe("resnet50", "torchvision:resnet50-0676ba61.pth", Tap("flatten"), TRANSFORM)

OTHER_VALUES: dict[str, Any] = {
    "network": replace(RECIPE, network="resnet18"),
    "weights": replace(RECIPE, weights="torchvision:resnet50-11ad3fa6.pth"),
    "layer": replace(RECIPE, tap=Tap("layer4")),
    "pool": replace(RECIPE, tap=Tap("flatten", "avg")),
    "resize": replace(RECIPE, transform=replace(TRANSFORM, resize="stretch", size=(256, 256))),
    "size": replace(RECIPE, transform=replace(TRANSFORM, size=(255,))),
    "crop": replace(RECIPE, transform=replace(TRANSFORM, crop=(224, 223))),
    "interpolation": replace(RECIPE, transform=replace(TRANSFORM, interpolation="bicubic")),
    "antialias": replace(RECIPE, transform=replace(TRANSFORM, resample="float32", antialias=False)),
    "resample": replace(RECIPE, transform=replace(TRANSFORM, resample="float32")),
    "mean": replace(RECIPE, transform=replace(TRANSFORM, mean=(0.485, 0.456, 0.4060001))),
    "std": replace(RECIPE, transform=replace(TRANSFORM, std=(0.229, 0.224, 0.226))),
    "channels": replace(RECIPE, transform=replace(TRANSFORM, channels="BGR")),
    "compute": replace(RECIPE, numerics=Numerics(compute="fast")),
    "stored": replace(RECIPE, numerics=Numerics(stored="float16")),
    "pixel_path": replace(RECIPE, pixel_path=RECIPE.pixel_path + 1),
}


@pytest.mark.parametrize("what", OTHER_VALUES)
def test_each_value_changes_the_id(what: str) -> None:
    assert OTHER_VALUES[what].recipe_id != RECIPE.recipe_id


def test_all_ids_differ() -> None:
    ids = {recipe.recipe_id for recipe in OTHER_VALUES.values()} | {RECIPE.recipe_id}
    assert len(ids) == len(OTHER_VALUES) + 1


def test_id_is_the_same_after_json() -> None:
    again = Recipe.from_dict(json.loads(json.dumps(RECIPE.as_dict())))
    assert again == RECIPE
    assert again.recipe_id == RECIPE.recipe_id


def test_id_is_known() -> None:
    """An id that moves makes every pack a miss: change PIXEL_PATH, not the spelling."""
    assert RECIPE.recipe_id == "4edabe0d75a84fddd67908050fad1f18"


def test_whole_numbers_and_floats_are_one_recipe() -> None:
    one = replace(TRANSFORM, mean=(0, 0, 0), std=(1, 1, 1))
    other = replace(TRANSFORM, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert replace(RECIPE, transform=one).recipe_id == replace(RECIPE, transform=other).recipe_id


def test_recipes_share_a_forward_pass_if_only_tap_or_storage_differ() -> None:
    same = {"layer", "pool", "stored"}
    for what, recipe in OTHER_VALUES.items():
        assert (recipe.forward_id == RECIPE.forward_id) == (what in same), what


def test_pack_id_begins_with_the_recipe() -> None:
    assert pack_id("a" * 32, "b" * 32) == "a" * 12 + "-" + "b" * 12


@pytest.mark.parametrize(
    "change",
    [
        {"resize": "longest"},
        {"size": (0,)},
        {"size": (256, 256)},
        {"size": (5000,)},
        {"crop": (257, 224)},
        {"crop": None},
        {"interpolation": "lanczos"},
        {"antialias": False},
        {"std": (1.0, 0.0, 1.0)},
        {"mean": (0.5, 0.5)},
        {"channels": "RGBA"},
        {"resample": "int8"},
    ],
    ids=str,
)
def test_wrong_transforms_are_refused_with_a_remedy(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        replace(TRANSFORM, **change)
    assert caught.value.remedy
