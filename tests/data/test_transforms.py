"""Properties of the transforms on any image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cvzoo.data.config import Data
from cvzoo.data.shapes import draw
from cvzoo.data.transforms import (
    colour_jitter,
    crop,
    eval_resize,
    flip,
    placed,
    resize,
    shortest_edge_size,
    train_augment,
    train_resize,
)
from cvzoo.ops.masks import to_bitmap
from cvzoo.structures import Sample, Target

SIDES = st.integers(40, 150)
IMAGES = st.builds(draw, SIDES, SIDES, st.integers(0, 6), st.integers(0, 10_000), st.just(True))
SMALL = Data(short_sides=(48, 64), test_short_side=64, max_long_side=100)


def inside(sample: Sample) -> bool:
    height, width = sample.size
    boxes = sample.target.boxes
    limit = torch.tensor([width, height, width, height])
    return bool((boxes >= -1e-4).all() and (boxes <= limit + 1e-4).all() and (boxes[:, :2] < boxes[:, 2:]).all())


def bitmaps(sample: Sample) -> list[np.ndarray]:
    assert sample.target.masks is not None
    assert len(sample.target.masks) == len(sample.target)
    return [to_bitmap(mask, sample.size) for mask in sample.target.masks]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (800, 1067)),
        ((640, 480), (1067, 800)),
        ((427, 640), (800, 1199)),
        ((333, 500), (800, 1201)),
        ((200, 640), (417, 1333)),
        ((640, 128), (1333, 267)),
        ((500, 500), (800, 800)),
    ],
)
def test_size_is_detectron2s(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shortest_edge_size(size, 800, 1333) == expected


@given(SIDES, SIDES)
def test_size_fits_the_canvas(height: int, width: int) -> None:
    new_h, new_w = shortest_edge_size((height, width), 320, 400, canvas=(320, 352))
    assert 1 <= new_h <= 320
    assert 1 <= new_w <= 352
    assert new_h == 320 or new_w == 352


@settings(max_examples=25)
@given(IMAGES)
def test_flip_twice_is_the_identity(sample: Sample) -> None:
    once = flip(sample)
    twice = flip(once)
    assert inside(once)
    assert torch.equal(twice.image, sample.image)
    assert torch.allclose(twice.target.boxes, sample.target.boxes)
    assert torch.equal(once.image[..., 0], sample.image[..., -1])
    assert twice.target.masks == sample.target.masks
    for mirrored, mask, box in zip(bitmaps(once), bitmaps(sample), once.target.boxes.int().tolist()):
        assert np.array_equal(mirrored, mask[:, ::-1])
        rows, columns = np.nonzero(mirrored)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@settings(max_examples=25)
@given(IMAGES, SIDES, SIDES)
def test_resize_scales_the_boxes(sample: Sample, height: int, width: int) -> None:
    resized = resize(sample, (height, width))
    assert resized.size == (height, width)
    assert resized.original_size == sample.size
    factors = torch.tensor([width / sample.size[1], height / sample.size[0]]).repeat(2)
    assert torch.allclose(resized.target.boxes, sample.target.boxes * factors)
    assert inside(resized)
    for mask, box in zip(bitmaps(resized), resized.target.boxes.tolist()):
        rows, columns = np.nonzero(mask)
        if len(rows):
            x1, y1, x2, y2 = box
            assert x1 - 1 < columns.min() <= columns.max() < x2
            assert y1 - 1 < rows.min() <= rows.max() < y2


@settings(max_examples=25)
@given(IMAGES, SIDES, SIDES)
def test_resize_equals_pil_within_two_grey_levels(sample: Sample, height: int, width: int) -> None:
    reference = Image.fromarray(sample.image.permute(1, 2, 0).numpy()).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    difference = (
        resize(sample, (height, width)).image.permute(1, 2, 0).int() - torch.from_numpy(np.array(reference)).int()
    )
    assert int(difference.abs().max()) <= 2
    assert (difference.abs() > 1).float().mean() < 1e-3


@settings(max_examples=25)
@given(IMAGES, st.integers(0, 30), st.integers(0, 30))
def test_crop_keeps_what_is_inside(sample: Sample, top: int, left: int) -> None:
    height, width = sample.size[0] - top, sample.size[1] - left - 5
    cut = crop(sample, top, left, (height, width))
    assert torch.equal(cut.image, sample.image[:, top:, left : left + width])
    assert inside(cut)
    whole = sample.target.boxes
    untouched = (whole[:, 0] >= left) & (whole[:, 1] >= top) & (whole[:, 2] <= left + width)
    kept = {tuple(box) for box in (cut.target.boxes + torch.tensor([left, top, left, top])).tolist()}
    assert {tuple(box) for box in whole[untouched].tolist()} <= kept
    before = [mask[top:, left : left + width] for mask in bitmaps(sample)]
    assert all(any(np.array_equal(mask, other) for other in before) for mask in bitmaps(cut))


@settings(max_examples=25)
@given(IMAGES, st.integers(0, 20), st.integers(0, 20))
def test_what_is_placed_on_a_canvas_can_be_cut_out_again(sample: Sample, top: int, left: int) -> None:
    height, width = sample.size
    larger = placed(sample, top, left, (height + 30, width + 40))
    assert larger.size == (height + 30, width + 40)
    assert int(larger.image.sum()) == int(sample.image.sum())
    again = crop(larger, top, left, sample.size)
    assert torch.equal(again.image, sample.image)
    assert torch.allclose(again.target.boxes, sample.target.boxes)
    assert all(np.array_equal(mask, other) for mask, other in zip(bitmaps(again), bitmaps(sample)))


WINDOWS = Data(short_sides=(64,), window_scales=(0.6, 1.0, 1.3), crop=(96, 96))


@settings(max_examples=25)
@given(IMAGES, st.integers(0, 1000), st.sampled_from([None, 64]))
def test_a_window_shows_the_objects_where_their_boxes_are(sample: Sample, seed: int, side: int | None) -> None:
    seen = train_resize(sample, replace(WINDOWS, window_side=side), generator(seed))
    assert seen.size == (96, 96)
    assert inside(seen)
    assert seen.original_size == sample.original_size
    assert len(seen.target) <= len(sample.target)
    for mask, box in zip(bitmaps(seen), seen.target.boxes.tolist()):
        rows, columns = np.nonzero(mask)
        if len(rows):
            x1, y1, x2, y2 = box
            assert x1 - 1 < columns.min() <= columns.max() < x2 + 1
            assert y1 - 1 < rows.min() <= rows.max() < y2 + 1


def test_a_window_larger_than_the_image_holds_all_of_it_on_black() -> None:
    sample = draw(60, 80, 4, seed=1)
    sample.image.clamp_(min=1)
    data = replace(WINDOWS, window_scales=(3.0,))
    seen = train_resize(sample, data, generator(0))
    assert len(seen.target) == len(sample.target)
    before, after = (boxes[:, 2:] - boxes[:, :2] for boxes in (sample.target.boxes, seen.target.boxes))
    assert torch.allclose(after, before * 96 / 240, atol=0.5)
    rows, columns = torch.where(seen.image.amax(0) > 0)
    assert len(rows) == 24 * 32
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (24, 32)


def test_full_size_leaves_an_image_alone_in_evaluation() -> None:
    sample = draw(60, 80, 4, seed=1)
    assert eval_resize(sample, replace(SMALL, test_full_size=True)) is sample


def test_crop_drops_slivers() -> None:
    outline = [np.array([0.0, 0, 10.5, 0, 10.5, 40, 0, 40])]
    target = Target(torch.tensor([[0.0, 0, 10.5, 40]]), torch.tensor([1]), [outline])
    sample = Sample(torch.zeros(3, 50, 50, dtype=torch.uint8), target)
    dropped = crop(sample, 0, 10, (50, 40)).target
    assert len(dropped) == 0
    assert dropped.masks == []
    assert crop(sample, 0, 9, (50, 40)).target.boxes.tolist() == [[0, 0, 1.5, 40]]


@settings(max_examples=40)
@given(IMAGES, st.integers(0, 10_000), st.sampled_from([None, (64, 64), (48, 80)]), st.booleans())
def test_training_images_fit_and_repeat(
    sample: Sample, seed: int, canvas: tuple[int, int] | None, jitter: bool
) -> None:
    data = Data(
        short_sides=(48, 64),
        test_short_side=64,
        max_long_side=100,
        canvas=canvas,
        scale_jitter=(0.5, 2.0) if jitter else None,
        colour_jitter=0.3,
    )
    first, again = (train_augment(train_resize(sample, data, g), data, g) for g in (generator(seed), generator(seed)))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.target.boxes, again.target.boxes)
    assert inside(first)
    assert first.image.dtype == torch.uint8
    assert max(first.size) <= 100
    if canvas is not None:
        assert first.size[0] <= canvas[0]
        assert first.size[1] <= canvas[1]


def test_short_sides_are_all_drawn() -> None:
    sample = draw(100, 100, 2, 0)
    sizes = {train_resize(sample, SMALL, generator(seed)).size for seed in range(20)}
    assert sizes == {(48, 48), (64, 64)}


def test_scale_jitter_moves_the_window() -> None:
    sample = draw(100, 100, 5, 3)
    data = Data(short_sides=(64,), test_short_side=64, max_long_side=64, scale_jitter=(2.0, 2.0))
    cuts = [train_resize(sample, data, generator(seed)) for seed in range(5)]
    assert {cut.size for cut in cuts} == {(64, 64)}
    assert not torch.equal(cuts[0].image, cuts[1].image)


def test_colour_jitter_leaves_boxes_and_changes_pixels() -> None:
    sample = draw(60, 60, 3, 1)
    changed = colour_jitter(sample, 0.4, generator(0))
    assert changed.target is sample.target
    assert not torch.equal(changed.image, sample.image)
    assert torch.equal(colour_jitter(sample, 0.0, generator(0)).image, sample.image)


def test_evaluation_resize_is_exact() -> None:
    assert eval_resize(draw(50, 100, 1, 0), SMALL).size == (50, 100)
    assert eval_resize(draw(50, 60, 1, 0), SMALL).size == (64, 77)
