"""Image, boxes, masks, label maps and surfaces move together under any affine map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cvzoo.data.config import Data
from cvzoo.data.shapes import draw
from cvzoo.data.transforms import crop, flip, placed, resize, upend
from cvzoo.data.warp import drawn_map, shift_of, warp, warp_target
from cvzoo.ops import rle
from cvzoo.ops.masks import to_bitmap
from cvzoo.structures import IGNORE, Sample, Target

SIDES = st.integers(50, 120)
SEEDS = st.integers(0, 10_000)
DATA = Data(rotation=(-180, 180), zoom=(0.6, 1.6), shift=0.2, shear=15)
RED = torch.tensor([250, 10, 10], dtype=torch.uint8)
CORNERS = st.lists(st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9)), min_size=3, max_size=6)


def coloured(height: int, width: int, outline: np.ndarray, as_code: bool = False) -> Sample:
    """Red where its one object is, on grey; the label map has class 1 there."""
    polygon = (outline * [width, height]).reshape(-1)
    bitmap = to_bitmap([polygon], (height, width))
    image = torch.full((3, height, width), 128, dtype=torch.uint8)
    image[:, torch.from_numpy(bitmap).bool()] = RED[:, None]
    points = polygon.reshape(-1, 2)
    boxes = torch.tensor(np.concatenate([points.min(0), points.max(0)]), dtype=torch.float32)[None]
    mask = rle.encode(bitmap) if as_code else [polygon]
    target = Target(boxes, torch.tensor([2]), [mask], torch.from_numpy(bitmap))
    return Sample(image, target, image_id=7, original_size=(height, width))


def red(sample: Sample) -> torch.Tensor:
    """(H, W): whether a pixel is more red than grey."""
    return (sample.image[0].int() - sample.image[1].int()) > 120


def bitmap_of(sample: Sample) -> torch.Tensor:
    assert sample.target.masks is not None
    (mask,) = sample.target.masks
    return torch.from_numpy(to_bitmap(mask, sample.size)).bool()


def middle(bitmap: torch.Tensor) -> torch.Tensor:
    """The mean place of its pixels."""
    return torch.stack(torch.where(bitmap)).float().mean(1)


def is_cut(bitmap: torch.Tensor) -> bool:
    """Whether a shape reaches the image's edge."""
    return bool(bitmap[[0, -1]].any() or bitmap[:, [0, -1]].any())


def rim(size: tuple[int, int], sample: Sample) -> int:
    """So many pixels may differ: those along the outlines of what is seen."""
    x1, y1, x2, y2 = sample.target.boxes[0].tolist()
    return int(4 * (x2 - x1 + y2 - y1)) + 16


def rasterised(matrix: np.ndarray) -> float:
    """COCO's rasteriser sets a shape up to half a pixel off: one before the map, which grows with it, and one after."""
    return 0.45 + 0.45 * float(np.linalg.norm(matrix[:, :2], 2))


@settings(max_examples=60)
@given(SIDES, SIDES, CORNERS, SEEDS, st.booleans())
@example(114, 64, [(0.5, 0.5), (0.85546875, 0.38915259802071245), (0.21875, 0.74609375)], 1, False)  # cut by the edge
def test_colour_mask_label_map_and_box_stay_together(
    height: int, width: int, corners: list[tuple[float, float]], seed: int, as_code: bool
) -> None:
    sample = coloured(height, width, np.array(corners), as_code)
    matrix = drawn_map(DATA, sample.size, sample.size, np.random.default_rng(seed))
    seen = warp(sample, matrix, sample.size, min_visible=0)
    label_map = seen.target.label_map
    assert label_map is not None
    assert seen.size == sample.size
    assert (seen.image_id, seen.original_size) == (7, sample.original_size)
    assert set(label_map.unique().tolist()) <= {0, 1, IGNORE}
    if not len(seen.target):
        assert red(seen).sum() < 4 * (height + width)
        return
    assert seen.target.labels.tolist() == [2]
    bitmap, slack = bitmap_of(seen), rim(sample.size, seen)
    assert int((bitmap != red(seen)).sum()) <= slack
    assert int((bitmap != (label_map == 1)).sum()) <= slack
    for other in (red(seen), label_map == 1):
        if min(bitmap.sum(), other.sum()) > 200 and not is_cut(bitmap):  # half a pixel more beyond the edge moves more
            assert (middle(bitmap) - middle(other)).abs().max() < rasterised(matrix)
    rows, columns = torch.where(bitmap)
    if len(rows) > 20:
        tight = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        # a spike that is thinner than a pixel belongs to the outline, but to no pixel
        assert (seen.target.boxes[0, :2] <= tight[:2] + 1).all()
        assert (seen.target.boxes[0, 2:] >= tight[2:] - 1).all()
        if as_code:
            assert torch.equal(seen.target.boxes[0], tight.float())


@settings(max_examples=40)
@given(SIDES, SIDES, CORNERS, SEEDS)
def test_outlines_are_moved_as_their_pixels_are(
    height: int, width: int, corners: list[tuple[float, float]], seed: int
) -> None:
    matrix = drawn_map(DATA, (height, width), (height, width), np.random.default_rng(seed))
    outline, code = (
        warp(coloured(height, width, np.array(corners), as_code), matrix, (height, width), 0)
        for as_code in (False, True)
    )
    if len(outline.target) and len(code.target):
        assert int((bitmap_of(outline) != bitmap_of(code)).sum()) <= rim((height, width), outline)


@settings(max_examples=25)
@given(SIDES, SIDES, st.integers(0, 6), SEEDS)
def test_boxes_without_masks_hold_their_objects(height: int, width: int, objects: int, seed: int) -> None:
    sample = draw(height, width, objects, seed, masks=True)
    matrix = drawn_map(DATA, sample.size, sample.size, np.random.default_rng(seed))
    size = (height + 20, width + 20)
    exact, loose = (warp_target(t, matrix, sample.size, size, 0) for t in (sample.target, bare(sample)))
    by_label = {label: loose.boxes[loose.labels == label] for label in loose.labels.tolist()}
    for box, label in zip(exact.boxes, exact.labels.tolist()):
        others = by_label[label]
        holds = (others[:, :2] <= box[:2] + 1).all(1) & (others[:, 2:] >= box[2:] - 1).all(1)
        assert holds.any()
    limit = torch.tensor([size[1], size[0]]).repeat(2)
    assert ((loose.boxes >= 0) & (loose.boxes <= limit)).all()


def bare(sample: Sample) -> Target:
    return replace(sample.target, masks=None)


IMAGES = st.builds(draw, SIDES, SIDES, st.integers(0, 6), SEEDS, st.just(True))


@settings(max_examples=20)
@given(IMAGES)
def test_upside_down_twice_is_the_identity(sample: Sample) -> None:
    once = upend(sample)
    assert torch.equal(once.image[:, 0], sample.image[:, -1])
    for mirrored, mask, box in zip(once.target.masks or [], sample.target.masks or [], once.target.boxes.tolist()):
        bitmap = to_bitmap(mirrored, once.size)
        assert np.array_equal(bitmap, to_bitmap(mask, sample.size)[::-1])
        rows, columns = np.nonzero(bitmap)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    twice = upend(once)
    assert torch.equal(twice.image, sample.image)
    assert torch.equal(twice.target.boxes, sample.target.boxes)
    assert twice.target.masks == sample.target.masks


@settings(max_examples=20)
@given(IMAGES, SEEDS)
def test_settings_that_ask_for_nothing_change_nothing(sample: Sample, seed: int) -> None:
    still = drawn_map(Data(), sample.size, sample.size, np.random.default_rng(seed))
    seen = warp(sample, still, sample.size, min_visible=1.0)
    assert torch.equal(seen.image, sample.image)
    assert torch.equal(seen.target.boxes, sample.target.boxes)
    assert torch.equal(seen.target.labels, sample.target.labels)
    assert seen.target.masks == sample.target.masks


@settings(max_examples=20)
@given(IMAGES)
def test_half_a_turn_is_both_flips(sample: Sample) -> None:
    half = drawn_map(Data(rotation=(180, 180)), sample.size, sample.size, np.random.default_rng(0))
    turned, flipped = warp(sample, half, sample.size, 0), upend(flip(sample))
    assert int((turned.image.int() - flipped.image.int()).abs().max()) <= 1
    assert torch.allclose(turned.target.boxes, flipped.target.boxes, atol=1e-3)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    sample = coloured(64, 64, np.array([[0.7, 0.1], [0.9, 0.1], [0.9, 0.3], [0.7, 0.3]]))  # to the top right
    quarter = drawn_map(Data(rotation=(90, 90)), (64, 64), (64, 64), np.random.default_rng(0))
    box = warp(sample, quarter, (64, 64), 0).target.boxes[0]
    assert torch.allclose(box, 64 * torch.tensor([0.1, 0.1, 0.3, 0.3]), atol=1e-3)


@pytest.mark.parametrize(("min_visible", "left"), [(0.0, 1), (0.24, 1), (0.26, 0)])
def test_what_is_mostly_gone_is_dropped(min_visible: float, left: int) -> None:
    square = np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]])
    seen = warp(coloured(80, 80, square), shift_of(-20, -20), (80, 80), min_visible)
    assert len(seen.target) == left
    assert seen.target.masks is not None
    assert len(seen.target.masks) == left


def test_an_outline_beyond_an_earlier_crop_does_not_come_back() -> None:
    """The crop cuts the image, not the outline; in a larger image there is nothing to be seen beyond it."""
    square = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]])
    part = crop(coloured(80, 80, square), 0, 0, (40, 40))
    seen = warp(part, shift_of(10, 10), (80, 80), 0)
    assert torch.equal(bitmap_of(seen), red(seen))
    assert seen.target.boxes.tolist() == [[18, 18, 50, 50]]


def test_a_part_beyond_an_earlier_crop_is_left_out() -> None:
    near, far = ([x, 4.0, x + 9, 4, x + 9, 20, x, 20] for x in (4.0, 60.0))
    masks = [[np.array(near), np.array(far)], [np.array(far)], []]
    boxes = torch.tensor([[4.0, 4, 40, 20], [30, 4, 40, 20], [1, 2, 3, 4]])
    sample = Sample(torch.zeros(3, 40, 40, dtype=torch.uint8), Target(boxes, torch.arange(3), masks))
    seen = warp(sample, shift_of(1, 2), (40, 40), 0).target
    assert seen.boxes.tolist() == [[5, 6, 14, 22]]
    assert seen.labels.tolist() == [0]


def test_shrinking_looks_at_every_pixel() -> None:
    """Lines a pixel wide become grey, as in a resize, instead of coming and going."""
    lines = Sample(torch.arange(256).remainder(2).mul(255).to(torch.uint8).expand(3, 256, 256).contiguous())
    third = drawn_map(Data(zoom=(0.3, 0.3)), (256, 256), (76, 76), np.random.default_rng(0))
    inside = warp(lines, third, (76, 76), 0).image[:, 4:-4, 4:-4].float()
    assert inside.std() < 20
    assert abs(inside.mean() - 127.5) < 5


def test_surfaces_move_with_zoom_and_shift() -> None:
    sample = draw(96, 96, 2, 3, surfaces=True)
    matrix = np.array([[0.5, 0, 8], [0, 0.5, 4]])
    seen = warp(sample, matrix, (96, 96), 0)
    other = placed(resize(sample, (48, 48)), 4, 8, (96, 96))
    assert seen.target.surfaces is not None
    assert other.target.surfaces is not None
    assert len(seen.target) == len(other.target) > 0
    for surface, expected in zip(seen.target.surfaces, other.target.surfaces):
        assert surface is not None
        assert expected is not None
        assert surface.frame == pytest.approx(expected.frame)
        assert torch.equal(surface.points_P2, expected.points_P2)
