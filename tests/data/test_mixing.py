"""Images made of several: every object keeps its pixels, its label and its mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.data.config import Data
from cvzoo.data.mixing import copy_paste, mixup, mosaic
from cvzoo.data.rearrange import rearranged
from cvzoo.data.shapes import draw
from cvzoo.data.warp import shift_of, warp
from cvzoo.ops import rle
from cvzoo.ops.masks import to_bitmap
from cvzoo.structures import IGNORE, Mask, Sample, Target

SIDES = st.integers(40, 90)
SEEDS = st.integers(0, 10_000)
COLOURS = torch.tensor([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0]], dtype=torch.uint8)


def marked(height: int, width: int, label: int, seed: int, outlines: bool = True) -> Sample:
    """Two rectangles apart, left and right, in the label's colour on a dark grey of 10 more for each label."""
    rng = np.random.default_rng(seed)
    image = torch.full((3, height, width), 20 + 10 * label, dtype=torch.uint8)
    label_map = torch.zeros(height, width, dtype=torch.uint8)
    boxes: list[list[int]] = []
    for start in (0, width // 2):
        x1, y1 = start + int(rng.integers(0, 8)), int(rng.integers(0, height // 2))
        box = [x1, y1, x1 + int(rng.integers(6, width // 2 - 8)), y1 + int(rng.integers(6, height // 2))]
        image[:, box[1] : box[3], box[0] : box[2]] = COLOURS[label][:, None, None]
        label_map[box[1] : box[3], box[0] : box[2]] = label + 1
        boxes.append(box)
    polygons: list[Mask] = [[np.array([x1, y1, x2, y1, x2, y2, x1, y2], np.float64)] for x1, y1, x2, y2 in boxes]
    codes: list[Mask] = [rle.from_polygons(polygon, (height, width)) for polygon in polygons]  # pyright: ignore
    target = Target(
        torch.tensor(boxes).float(), torch.tensor([label] * 2), polygons if outlines else codes, label_map=label_map
    )
    return Sample(image, target, image_id=label, original_size=(height, width))


def without_map(sample: Sample) -> Sample:
    return replace(sample, target=replace(sample.target, label_map=None))


def check(sample: Sample) -> None:
    """Under every mask lies the colour of the object's label, on no other pixel; the box is the mask's."""
    assert sample.target.masks is not None
    assert len(sample.target.masks) == len(sample.target.labels) == len(sample.target)
    found = torch.full(sample.size, -1)
    for mask, box, label in zip(sample.target.masks, sample.target.boxes.tolist(), sample.target.labels.tolist()):
        bitmap = torch.from_numpy(to_bitmap(mask, sample.size)).bool()
        rows, columns = torch.where(bitmap)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert (sample.image[:, bitmap] == COLOURS[label][:, None]).all()
        found[bitmap] = label
    for label, colour in enumerate(COLOURS):
        assert torch.equal(found == label, (sample.image == colour[:, None, None]).all(0))


@settings(max_examples=30)
@given(st.lists(st.tuples(SIDES, SIDES), min_size=4, max_size=4), SEEDS, st.booleans())
def test_mosaic(sizes: list[tuple[int, int]], seed: int, outlines: bool) -> None:
    four = [marked(*size, label, seed + label, outlines) for label, size in enumerate(sizes)]
    size = max(height for height, _ in sizes), max(width for _, width in sizes)
    whole = mosaic(four, size, np.random.default_rng(seed))
    assert (whole.image_id, whole.original_size) == (0, sizes[0])
    check(whole)
    assert set(whole.target.labels.tolist()) <= {0, 1, 2, 3}
    cut = warp(whole, shift_of(-(size[0] // 2), -(size[1] // 2)), size, min_visible=0.0)
    labels = cut.target.label_map
    assert labels is not None
    colours = (cut.image.amax(0) == 200).logical_and_(cut.image.amin(0) == 0)
    assert torch.equal((labels > 0) & (labels < IGNORE), colours)
    assert torch.equal(labels == IGNORE, cut.image.amax(0) == 0)  # where none of the four is
    check(cut)


def test_a_mosaic_without_zoom_is_cut_out_pixel_for_pixel() -> None:
    four = [marked(61, 47, label, label) for label in range(4)]
    seen = rearranged(four[0], Data(mosaic=1.0), np.random.default_rng(3), iter(four[1:]).__next__)
    assert seen.size == (61, 47)
    assert {tuple(colour) for colour in seen.image.flatten(1).T.unique(dim=0).tolist()} <= {
        *map(tuple, COLOURS.tolist()),
        *((grey,) * 3 for grey in (0, 20, 30, 40, 50)),
    }
    check(seen)


def test_a_mosaic_fills_the_canvas() -> None:
    four = [marked(48, 64, label, label) for label in range(4)]
    seen = rearranged(four[0], Data(mosaic=1.0, canvas=(64, 64)), np.random.default_rng(1), iter(four[1:]).__next__)
    assert seen.size == (64, 64)


def test_mosaic_keeps_surfaces_on_their_people() -> None:
    people = [draw(96, 96, 2, seed, surfaces=True) for seed in range(4)]
    whole = mosaic(people, (96, 96), np.random.default_rng(0))
    assert whole.target.surfaces is not None
    for box, surface in zip(whole.target.boxes.tolist(), whole.target.surfaces):
        assert surface is not None
        inside = [
            max(surface.frame[0], 0),
            max(surface.frame[1], 0),
            min(surface.frame[2], 192),
            min(surface.frame[3], 192),
        ]
        assert box == inside


@settings(max_examples=25)
@given(SIDES, SIDES, SIDES, SIDES, SEEDS)
def test_copy_paste(height: int, width: int, other_height: int, other_width: int, seed: int) -> None:
    below = without_map(marked(height, width, 0, seed))
    other = without_map(marked(other_height, other_width, 1, seed + 1))
    found = copy_paste(below, other, np.random.default_rng(seed), min_visible=0.0)
    check(found)
    pasted = int((found.target.labels == 1).sum())
    assert pasted <= 2
    if not pasted:
        assert found is below
    background = (found.image == 20).all(0)
    assert torch.equal(background, (below.image == 20).all(0) & (found.image == 20).all(0))
    assert not (found.image == 30).all(0).any(), "only objects are pasted"


def test_what_pasted_objects_hide_is_dropped() -> None:
    below, above = (without_map(marked(60, 60, label, 5)) for label in (0, 1))  # the same places
    found = [copy_paste(below, above, np.random.default_rng(seed), 0.1).target.labels.tolist() for seed in range(20)]
    assert {tuple(labels) for labels in found} == {(0, 0), (0, 1), (1, 1)}


@settings(max_examples=25)
@given(SIDES, SIDES, SIDES, SIDES, SEEDS)
def test_mixup(height: int, width: int, other_height: int, other_width: int, seed: int) -> None:
    sample = without_map(marked(height, width, 0, seed))
    other = without_map(marked(other_height, other_width, 1, seed + 1))
    found = mixup(sample, other, np.random.default_rng(seed), min_visible=0.0)
    assert found.size == sample.size
    assert torch.equal(found.target.boxes[:2], sample.target.boxes)
    assert found.target.masks is not None
    for mask, label in zip(found.target.masks, found.target.labels.tolist()):
        bitmap = torch.from_numpy(to_bitmap(mask, found.size)).bool()
        assert (found.image[label][bitmap] >= 0.4 * 200 - 1).all(), "the object shines through"
    assert torch.equal(found.image[:, other_height:], sample.image[:, other_height:])
    assert torch.equal(found.image[:, :, other_width:], sample.image[:, :, other_width:])


def test_no_sample_is_changed() -> None:
    """They may be those that are kept for the next epoch."""
    samples = [without_map(marked(60, 60, label, label)) for label in range(4)]
    before = [(sample.image.clone(), sample.target.boxes.clone()) for sample in samples]
    data = Data(mosaic=1.0, mixup=1.0, copy_paste=1.0, vertical_flip=1.0, rotation=(-9, 9))
    rearranged(samples[0], data, np.random.default_rng(0), iter([*samples[1:], samples[1], samples[2]]).__next__)
    for sample, (image, boxes) in zip(samples, before):
        assert torch.equal(sample.image, image)
        assert torch.equal(sample.target.boxes, boxes)
