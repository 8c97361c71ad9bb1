"""Manifests and views: identity, strata, determinism."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.dataset import ImageLocation, Manifest, View
from cache.errors import InvalidRequest, NotFound
from cache.manifest_file import load_manifest, save_manifest
from tests.manifests import plain_manifest


def make_manifest(
    train: list[int], validation: int = 0, *, seed: int = 0, classes: int | None = None
) -> Manifest:
    """``train[k]`` images of class k, and ``validation`` images of class 0."""
    labels = [label for label, count in enumerate(train) for _ in range(count)]
    labels += [0] * validation
    total, in_train = len(labels), sum(train)
    random = np.random.default_rng(seed)
    splits = {"train": (0, in_train)}
    if validation:
        splits["validation"] = (in_train, total)
    return Manifest(
        classes=tuple(f"class {k}" for k in range(classes or len(train))),
        splits=splits,
        row_id_N=[f"{index}.png" for index in range(total)],
        label_N=np.array(labels, np.int64),
        hash_NH=random.integers(0, 256, (total, 16), np.uint8),
        location=ImageLocation("folder", "x"),
        start_N=np.arange(total),
        size_N=np.ones(total, np.int64),
    )


def class_counts(manifest: Manifest, split: str) -> dict[int, int]:
    start, stop = manifest.splits[split]
    return dict(Counter(manifest.label_N[start:stop].tolist()))


def test_location_and_names_of_rows_are_not_identity() -> None:
    one = make_manifest([3, 4])
    other = Manifest(
        classes=one.classes,
        splits=one.splits,
        row_id_N=[f"renamed {row}" for row in one.row_id_N],
        label_N=one.label_N,
        hash_NH=one.hash_NH,
        location=ImageLocation("blob", "y"),
        start_N=one.start_N + 7,
        size_N=one.size_N,
    )
    assert one.dataset_id == other.dataset_id


@pytest.mark.parametrize("what", ["hash", "label", "order", "classes", "splits"])
def test_content_is_identity(what: str) -> None:
    one = make_manifest([3, 4])
    label_N, hash_NH, classes, splits = one.label_N, one.hash_NH, one.classes, dict(one.splits)
    if what == "hash":
        hash_NH = hash_NH.copy()
        hash_NH[5, 15] ^= 1
    elif what == "label":
        label_N = label_N.copy()
        label_N[0] = 1
    elif what == "order":
        label_N, hash_NH = label_N[::-1], hash_NH[::-1]
    elif what == "classes":
        classes = ("class 0", "class one")
    else:
        splits = {"test": splits["train"]}
    other = Manifest(
        classes, splits, one.row_id_N, label_N, hash_NH, one.location, one.start_N, one.size_N
    )
    assert one.dataset_id != other.dataset_id


def test_per_class_takes_so_many_of_each_class_of_train_only() -> None:
    view = View(per_class=3).apply(make_manifest([5, 9], validation=6))
    assert class_counts(view, "train") == {0: 3, 1: 3}
    assert view.split_counts() == {"train": 6, "validation": 6}
    assert (np.diff(view.start_N[:6]) > 0).all(), "rows keep the order of the manifest"


def test_per_class_refuses_a_class_with_fewer_images() -> None:
    with pytest.raises(InvalidRequest, match="'class 1' has 2 images, per_class is 3"):
        View(per_class=3).apply(make_manifest([5, 2]))


def test_per_class_refuses_a_class_without_images() -> None:
    with pytest.raises(InvalidRequest, match="'class 2' has 0 images"):
        View(per_class=1).apply(make_manifest([5, 2], classes=3))


@given(st.lists(st.integers(2, 30), min_size=1, max_size=6), st.floats(0.1, 0.9), st.integers(0, 9))
def test_validation_is_stratified_and_loses_nothing(
    counts: list[int], fraction: float, seed: int
) -> None:
    manifest = make_manifest(counts)
    wanted = {label: round(count * fraction) for label, count in enumerate(counts)}
    if sum(wanted.values()) in (0, sum(counts)):
        with pytest.raises(InvalidRequest, match="empty split"):
            View(validation=fraction, seed=seed).apply(manifest)
        return
    view = View(validation=fraction, seed=seed).apply(manifest)
    got = class_counts(view, "validation")
    assert all(got.get(label, 0) == count for label, count in wanted.items())
    assert sorted(view.row_id_N) == sorted(manifest.row_id_N)


def test_validation_refuses_a_dataset_that_has_one() -> None:
    with pytest.raises(InvalidRequest, match="validation split of its own"):
        View(validation=0.2).apply(make_manifest([5, 5], validation=2))


def test_limit_keeps_the_proportions_of_classes() -> None:
    view = View(limit=10).apply(make_manifest([40, 40, 20], validation=3))
    assert class_counts(view, "train") == {0: 4, 1: 4, 2: 2}
    assert view.split_counts()["validation"] == 3


def test_views_are_deterministic_and_seeds_differ() -> None:
    manifest = make_manifest([50, 50])
    one, same = (View(per_class=10, seed=1).apply(manifest) for _ in range(2))
    other = View(per_class=10, seed=2).apply(manifest)
    assert one.dataset_id == same.dataset_id
    assert set(one.row_id_N) != set(other.row_id_N)


def test_a_view_is_known() -> None:
    """The choice must not move with a library's version: the ids below are for ever."""
    view = View(per_class=2, seed=0).apply(make_manifest([6, 6], seed=3))
    assert view.row_id_N == ["1.png", "4.png", "8.png", "11.png"]


def test_most_rows_are_chosen_again_when_a_dataset_grows() -> None:
    small, grown = make_manifest([100]), make_manifest([110])
    kept = set(View(per_class=50).apply(small).row_id_N)
    again = set(View(per_class=50).apply(grown).row_id_N)
    assert (small.hash_NH == grown.hash_NH[:100]).all()
    assert len(kept & again) >= 40


def test_views_need_a_train_split_or_a_single_one() -> None:
    manifest = make_manifest([4, 4], validation=3)
    renamed = Manifest(
        manifest.classes,
        {"a": (0, 8), "b": (8, 11)},
        manifest.row_id_N,
        manifest.label_N,
        manifest.hash_NH,
        manifest.location,
        manifest.start_N,
        manifest.size_N,
    )
    with pytest.raises(NotFound, match="'train'"):
        View(per_class=2).apply(renamed)


@pytest.mark.parametrize("change", [{"per_class": 0}, {"limit": -1}, {"validation": 1.0}], ids=str)
def test_wrong_views_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest):
        View(**change)


def test_one_manifest_is_saved_by_several_threads_at_once(tmp_path: Path) -> None:
    """As when a view is asked for twice in one moment."""
    manifest = plain_manifest(2000)
    failures: list[Exception] = []

    def save() -> None:
        try:
            for _ in range(5):
                save_manifest(tmp_path / "a.h5", manifest)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=save) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert load_manifest(tmp_path / "a.h5").dataset_id == manifest.dataset_id
