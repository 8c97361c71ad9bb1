"""Parts of train: stratified, nested, groups whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cache.pack import Pack, open_pack
from tests.manifests import plain_manifest
from tests.test_pack import write_pack
from worker.heads.rows import usable_rows
from worker.heads.subset import part_of
from worker.heads.training import splits_of

ROWS = 500


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Three classes: 300, 96 and 4 images of train."""
    manifest = plain_manifest(ROWS)
    label_N = np.repeat([0, 1, 2, 0], [300, 96, 4, 100])
    features_ND = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
    write_pack(tmp_path / "a.h5", replace(manifest, label_N=label_N), features_ND)
    return open_pack(tmp_path / "a.h5")


def test_every_class_keeps_its_share_and_at_least_one(pack: Pack) -> None:
    part = part_of(usable_rows(pack, "train"), 1 / 8, 0)
    assert np.bincount(part.label_N).tolist() == [38, 12, 1]
    assert (np.diff(part.row_N) > 0).all()


def test_a_smaller_share_is_within_a_larger_one_and_draws_differ(pack: Pack) -> None:
    rows = usable_rows(pack, "train")
    quarter, half = part_of(rows, 1 / 4, 0), part_of(rows, 1 / 2, 0)
    assert set(quarter.row_N) < set(half.row_N)
    assert set(quarter.row_N) != set(part_of(rows, 1 / 4, 1).row_N)
    np.testing.assert_array_equal(quarter.row_N, part_of(rows, 1 / 4, 0).row_N)


def test_groups_stay_whole(tmp_path: Path) -> None:
    """Tracks of ten frames, as GTSRB names them."""
    manifest = plain_manifest(ROWS)
    label_N = np.arange(ROWS) // 10 % 3
    names = [f"train/{label_N[n]:05d}/{n // 10:05d}_{n % 10:05d}.ppm" for n in range(ROWS)]
    manifest = replace(manifest, label_N=label_N, row_id_N=names)
    write_pack(tmp_path / "a.h5", manifest, np.ones((ROWS, 4), np.float32))
    part = part_of(usable_rows(open_pack(tmp_path / "a.h5"), "train"), 1 / 4, 0)
    tracks, sizes = np.unique(part.row_N // 10, return_counts=True)
    assert (sizes == 10).all()
    assert 9 <= len(tracks) <= 12


def test_only_train_is_cut(pack: Pack) -> None:
    train, validation = splits_of(pack, "train", "validation", {"share": 0.5, "draw": 0})
    assert (len(train), validation and len(validation)) == (200, 100)
