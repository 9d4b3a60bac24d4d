"""Albumentations' transforms keep objects, masks, labels and label maps together, where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cvzoo.data.config import Data
from cvzoo.data.own_transform import _problems
from cvzoo.data.shapes import draw
from cvzoo.data.transforms import flip
from cvzoo.data.with_albumentations import from_albumentations
from cvzoo.ops.masks import to_bitmap
from cvzoo.structures import IGNORE, Sample

A: Any = pytest.importorskip("albumentations", reason="optional: pip install albumentations==2.0.8")


def varied(sample: Sample, transforms: Sequence[Any], seed: int = 0) -> Sample:
    found = from_albumentations(transforms)(sample, np.random.default_rng(seed))
    assert list(_problems(found, sample, Data(), 4)) == []
    return found


def test_its_flip_is_ours() -> None:
    sample = draw(70, 90, 5, 3, masks=True)
    theirs, ours = varied(sample, [A.HorizontalFlip(p=1)]), flip(sample)
    assert torch.equal(theirs.image, ours.image)
    assert torch.equal(theirs.target.boxes, ours.target.boxes)
    assert torch.equal(theirs.target.labels, ours.target.labels)
    assert theirs.target.masks == ours.target.masks


@pytest.mark.parametrize("seed", range(6))
def test_boxes_are_those_of_turned_masks(seed: int) -> None:
    sample = draw(90, 90, 6, seed, masks=True)
    found = varied(sample, [A.Affine(rotate=(-60, 60), scale=(0.8, 1.8), p=1)], seed)
    assert found.target.masks is not None
    for mask, box in zip(found.target.masks, found.target.boxes.tolist()):
        rows, columns = np.nonzero(to_bitmap(mask, found.size))
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    without = replace(sample, target=replace(sample.target, masks=None))
    assert varied(without, [A.Affine(rotate=(-60, 60), p=1)], seed).target.masks is None


def test_label_maps_are_ignored_where_nothing_is() -> None:
    sample = draw(60, 60, 3, 1, label_maps=True)
    found = varied(sample, [A.Affine(translate_px={"x": 20, "y": 0}, p=1)])
    assert found.target.label_map is not None
    assert sample.target.label_map is not None
    assert (found.target.label_map[:, :19] == IGNORE).all()
    assert torch.equal(found.target.label_map[:, 20:], sample.target.label_map[:, :40])


def test_chance_is_the_generators_and_each_transforms_own() -> None:
    sample = draw(60, 60, 3, 1)
    both = [A.HorizontalFlip(p=0.5), A.OneOf([A.VerticalFlip(p=1)], p=0.5)]
    found = [varied(sample, both, seed).image for seed in range(24)]
    assert torch.equal(found[5], varied(sample, both, 5).image)
    assert len({tuple(image[:, 0, 0].tolist()) + tuple(image[:, -1, 0].tolist()) for image in found}) == 4


def test_no_object_and_no_mask_left() -> None:
    empty = draw(60, 60, 0, 1, masks=True)
    assert varied(empty, [A.HorizontalFlip(p=1)]).target.masks == []
    sample = draw(60, 60, 3, 1, masks=True)
    gone = varied(sample, [A.Affine(translate_px={"x": 500, "y": 0}, p=1)]).target
    assert len(gone) == 0
    assert gone.masks == []


def test_surfaces_are_refused() -> None:
    with pytest.raises(ValueError, match="no surfaces"):
        varied(draw(60, 60, 1, 1, surfaces=True), [A.HorizontalFlip(p=1)])
