"""The assigners beside plain loops over boxes and candidates, written from the papers and the references' rules.

Coordinates are multiples of 1/8 where limits are compared, so that a value on a limit is on it in float32 and in
Python's floats. A rule that picks one of several is only held to it where they differ by more than rounding.
"""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cvzoo.ops.anchors import AnchorConfig, pyramid_anchors
from cvzoo.ops.assigners import BACKGROUND, Match, match_adaptive, match_locations, match_nearest
from cvzoo.ops.points import PointConfig, per_level, pyramid_points

Box = tuple[float, float, float, float]
Point = tuple[float, float]

CPU = torch.device("cpu")
STRIDES, GRIDS, CANVAS = (8, 16, 32), ((12, 16), (6, 8), (3, 4)), (96, 128)
BOUNDS = [0.0, 24.0, 48.0, math.inf]
CLOSE = 1e-4
eighth = st.integers(-64, 9 * 128).map(lambda n: n / 8)
extent = st.integers(1, 9 * 128).map(lambda n: n / 8)


@st.composite
def boxes_on_a_lattice(draw: st.DrawFn) -> list[Box]:
    corners = draw(st.lists(st.tuples(eighth, eighth, extent, extent), max_size=8))
    return [(x, y, x + w, y + h) for x, y, w, h in corners]


@st.composite
def boxes_anywhere(draw: st.DrawFn, least: int = 0) -> list[Box]:
    """Sides from one pixel to four canvases, every scale as likely; single precision as the assigners see them."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    count = draw(st.integers(least, 8))
    centre = torch.rand(count, 2, generator=generator) * 150 - 10
    half = 0.5 * 2 ** (torch.rand(count, 2, generator=generator) * 9)
    return [tuple(box) for box in torch.cat([centre - half, centre + half], dim=1).tolist()]  # type: ignore[misc]


def tensor_of(boxes: list[Box]) -> Tensor:
    return torch.tensor(boxes).reshape(-1, 4)


def owners(match: Match) -> list[int | None]:
    """The box of each candidate, None for background; nothing is ignored."""
    assert torch.equal(match.negative_A, ~match.positive_A)
    return [int(i) if positive else None for i, positive in zip(match.index_A, match.positive_A)]


def permuted(boxes: list[Box], seed: int) -> tuple[list[Box], list[int]]:
    order = torch.randperm(len(boxes), generator=torch.Generator().manual_seed(seed)).tolist()
    return [boxes[i] for i in order], order


def restored(found: list[int | None], order: list[int]) -> list[int | None]:
    """Owners among permuted boxes as owners among the boxes."""
    return [None if owner is None else order[owner] for owner in found]


def overlap(a: Box, b: Box) -> float:
    both = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def centre(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def sides(point: Point, box: Box) -> Box:
    """Distances to the left, top, right and bottom side."""
    return point[0] - box[0], point[1] - box[1], box[2] - point[0], box[3] - point[1]


# FCOS


def points_of(offset: float) -> tuple[Tensor, Tensor, Tensor]:
    """Points, strides and ranges of all levels."""
    levels = pyramid_points(PointConfig(strides=STRIDES, offset=offset), GRIDS, CANVAS, CPU)
    level_M = per_level((0, 1, 2), levels)
    bounds = torch.tensor(BOUNDS)
    return torch.cat(levels), per_level(STRIDES, levels), torch.stack([bounds[level_M], bounds[level_M + 1]], dim=1)


def fitting_boxes(
    point: Point, stride: int, low: float, high: float, boxes: list[Box], radius: float | None, closed: bool
) -> list[int]:
    """FCOS, section 3.2, and centre sampling: the boxes a location could learn."""
    found = []
    for i, box in enumerate(boxes):
        distances, (x, y) = sides(point, box), centre(box)
        farthest = max(distances)
        if min(distances) <= 0:
            continue
        if not (low <= farthest <= high if closed else low < farthest < high):
            continue
        if radius is not None and not (abs(point[0] - x) < radius * stride and abs(point[1] - y) < radius * stride):
            continue
        found.append(i)
    return found


def smallest(boxes: list[Box], among: list[int]) -> list[int]:
    """Those of the smallest area."""
    areas = {i: (boxes[i][2] - boxes[i][0]) * (boxes[i][3] - boxes[i][1]) for i in among}
    return [i for i in among if areas[i] == min(areas.values())]


@settings(max_examples=40)
@given(
    boxes=boxes_on_a_lattice(),
    offset=st.sampled_from([0.0, 0.5]),
    radius=st.sampled_from([None, 1.0, 1.5]),
    closed=st.booleans(),
)
def test_locations_learn_the_smallest_box_around_them(
    boxes: list[Box], offset: float, radius: float | None, closed: bool
) -> None:
    points, stride, limits = points_of(offset)
    match = match_locations(points, stride, limits, tensor_of(boxes), radius, closed)
    for owner, point, of_level, (low, high) in zip(owners(match), points.tolist(), stride.tolist(), limits.tolist()):
        best = smallest(boxes, fitting_boxes(point, of_level, low, high, boxes, radius, closed))
        assert owner in best if best else owner is None


@settings(max_examples=20)
@given(boxes_on_a_lattice(), st.integers(0, 99), st.sampled_from([None, 1.5]))
def test_locations_do_not_see_the_order_of_boxes(boxes: list[Box], seed: int, radius: float | None) -> None:
    assume(all(len(smallest(boxes, [i, j])) == 1 for i in range(len(boxes)) for j in range(i)))
    other, order = permuted(boxes, seed)
    how = points_of(0.5)
    found = owners(match_locations(*how, tensor_of(boxes), radius, True))
    assert restored(owners(match_locations(*how, tensor_of(other), radius, True)), order) == found


@pytest.mark.parametrize(("side", "closed", "levels"), [(48, True, {0, 1}), (48, False, set()), (50, False, {1})])
def test_ends_of_a_range(side: int, closed: bool, levels: set[int]) -> None:
    """From the middle of a square all sides are side / 2 away; one range ends and the next begins at 24."""
    limits = torch.tensor([[0.0, 24.0], [24.0, 48.0]])
    points = torch.tensor([[40.0, 40.0], [40.0, 40.0]])
    square = torch.tensor([[40.0, 40.0, 40.0, 40.0]]) + side / 2 * torch.tensor([-1.0, -1.0, 1.0, 1.0])
    match = match_locations(points, torch.tensor([8, 16]), limits, square, None, closed)
    assert {level for level, owner in enumerate(owners(match)) if owner == 0} == levels


def test_the_smallest_box_is_that_of_the_smallest_area() -> None:
    """Not of the shortest outline."""
    thin, square = [-80.0, 15.0, 120.0, 25.0], [-10.0, -10.0, 50.0, 50.0]  # 200 x 10 and 60 x 60 around (20, 20)
    points, stride, limits = torch.tensor([[20.0, 20.0]]), torch.tensor([8]), torch.tensor([[0.0, math.inf]])
    for boxes, owner in (([thin, square], 0), ([square, thin], 1)):
        assert owners(match_locations(points, stride, limits, torch.tensor(boxes), None, True)) == [owner]


def test_a_point_on_a_side_or_on_the_radius_is_out() -> None:
    points, stride = torch.tensor([[0.0, 50.0], [38.0, 50.0], [38.5, 50.0]]), torch.tensor([8, 8, 8])
    limits = torch.tensor([[0.0, math.inf]]).repeat(3, 1)
    box = torch.tensor([[0.0, 0.0, 100.0, 100.0]])
    assert owners(match_locations(points, stride, limits, box, 1.5, True)) == [None, None, 0]
    assert owners(match_locations(points, stride, limits, box, None, True)) == [None, 0, 0]


# RepPoints


def level_of(box: Box, scale: float) -> int:
    """mmdetection's PointAssigner, spec 5.3: trunc((log2(w / 4) + log2(h / 4)) / 2), within the levels there are."""
    w, h = max(box[2] - box[0], 1e-6), max(box[3] - box[1], 1e-6)
    level = math.trunc((math.log2(w / scale) + math.log2(h / scale)) / 2)
    return min(max(level, int(math.log2(STRIDES[0]))), int(math.log2(STRIDES[-1])))


def between_levels(box: Box, scale: float) -> bool:
    """Whether rounding decides the level."""
    mean = math.log2((box[2] - box[0]) * (box[3] - box[1]) / scale**2) / 2
    return abs(mean - round(mean)) < CLOSE


def relative_distance(point: Point, box: Box) -> float:
    w, h = max(box[2] - box[0], 1e-6), max(box[3] - box[1], 1e-6)
    x, y = centre(box)
    return math.hypot((point[0] - x) / w, (point[1] - y) / h)


def nearest_loop(points: list[Point], strides: list[int], boxes: list[Box], scale: float) -> list[int | None]:
    """Box after box: it takes the nearest point of its level unless another box that is nearer has it."""
    taken: list[tuple[float, int | None]] = [(math.inf, None)] * len(points)
    for i, box in enumerate(boxes):
        level = level_of(box, scale)
        there = [m for m, stride in enumerate(strides) if stride == 2**level]
        ranked = sorted((relative_distance(points[m], box), m) for m in there)
        assume(len(ranked) == 1 or ranked[1][0] - ranked[0][0] > CLOSE * ranked[0][0])
        distance, m = ranked[0]
        assume(taken[m][1] is None or abs(taken[m][0] - distance) > CLOSE * distance)
        if distance < taken[m][0]:
            taken[m] = (distance, i)
    return [owner for _, owner in taken]


@settings(max_examples=40)
@given(
    boxes=boxes_anywhere(),
    offset=st.sampled_from([0.0, 0.5]),
    scale=st.sampled_from([1.0, 4.0]),
    seed=st.integers(0, 9),
)
def test_a_box_takes_the_nearest_point_of_its_level(boxes: list[Box], offset: float, scale: float, seed: int) -> None:
    assume(not any(between_levels(box, scale) for box in boxes))
    points, stride, _ = points_of(offset)
    expected = nearest_loop(points.tolist(), stride.tolist(), boxes, scale)
    found = owners(match_nearest(points, stride, tensor_of(boxes), scale))
    assert found == expected
    taken = [owner for owner in found if owner is not None]
    assert len(set(taken)) == len(taken), "no box has two points"
    other, order = permuted(boxes, seed)
    assert restored(owners(match_nearest(points, stride, tensor_of(other), scale)), order) == expected


@pytest.mark.parametrize(
    ("w", "h", "stride"),
    [
        (64, 64, 16),
        (63.9, 63.9, 8),
        (32, 128, 16),
        (16, 512, 16),
        (128, 128, 32),
        (2, 2, 8),
        (4000, 4000, 32),
        (1, 1, 8),
    ],
)
def test_level_of_a_box(w: float, h: float, stride: int) -> None:
    """Of sides 4 strides long; smaller and larger boxes go to the first and the last level."""
    points, strides, _ = points_of(0.0)
    box = torch.tensor([[65 - w / 2, 33 - h / 2, 65 + w / 2, 33 + h / 2]])
    match = match_nearest(points, strides, box, 4.0)
    assert strides[match.positive_A].tolist() == [stride]
    assert points[match.positive_A].tolist() == [[64.0, 32.0]]


def test_the_nearer_of_two_boxes_keeps_the_point_and_the_other_has_none() -> None:
    """Distances are in sides of the box: the wide box is nearer although its centre is farther away."""
    points, strides, _ = points_of(0.0)
    small, wide = [61.0, 46.0, 69.0, 54.0], [50.0, 44.0, 82.0, 52.0]  # centres (65, 50) and (66, 48)
    for boxes, owner in (([small, wide], 1), ([wide, small], 0)):
        match = match_nearest(points, strides, torch.tensor(boxes), 4.0)
        assert points[match.positive_A].tolist() == [[64.0, 48.0]]
        assert match.index_A[match.positive_A].tolist() == [owner]


def test_a_box_without_extent_takes_the_nearest_point_of_the_first_level() -> None:
    points, strides, _ = points_of(0.0)
    match = match_nearest(points, strides, torch.tensor([[33.0, 17.0, 33.0, 17.0]]), 4.0)
    assert points[match.positive_A].tolist() == [[32.0, 16.0]]
    assert strides[match.positive_A].tolist() == [8]


# ATSS


def anchors_of(size: float) -> list[Tensor]:
    """Squares of `size` strides."""
    sizes = tuple((size * stride,) for stride in STRIDES)
    return list(pyramid_anchors(AnchorConfig(sizes=sizes, ratios=((1.0,),), strides=STRIDES), GRIDS, CANVAS, CPU))


def candidates_of(levels: list[list[Box]], box: Box, nearest: int) -> list[int]:
    """Algorithm 1, lines 3 to 5: of each level those whose centres are nearest to the box's."""
    found, start = [], 0
    for level in levels:
        ranked = sorted((math.dist(centre(anchor), centre(box)), start + m) for m, anchor in enumerate(level))
        if nearest < len(ranked):
            assume(ranked[nearest][0] - ranked[nearest - 1][0] > CLOSE)
        found += [m for _, m in ranked[:nearest]]
        start += len(level)
    return found


def adaptive_loop(levels: list[list[Box]], boxes: list[Box], nearest: int) -> list[int | None]:
    """Algorithm 1, with mmdetection's margin of 0.01 pixels for a centre in a box, and the highest IoU where two want
    an anchor."""
    anchors = [anchor for level in levels for anchor in level]
    wishes: list[list[tuple[float, int]]] = [[] for _ in anchors]
    for i, box in enumerate(boxes):
        candidates = candidates_of(levels, box, nearest)
        ious = [overlap(anchors[m], box) for m in candidates]
        threshold = statistics.mean(ious) + statistics.stdev(ious)
        for m, iou in zip(candidates, ious):
            margin = min(sides(centre(anchors[m]), box)) - 0.01
            assume(abs(margin) > CLOSE)
            assume(abs(iou - threshold) > CLOSE * threshold)
            if iou >= threshold and margin > 0:
                wishes[m].append((iou, i))
    for wish in wishes:
        assume(all(a - b > CLOSE * a for (a, _), (b, _) in pairwise(sorted(wish, reverse=True))))
    return [max(wish)[1] if wish else None for wish in wishes]


@settings(max_examples=40)
@given(
    boxes=boxes_anywhere(),
    size=st.sampled_from([2.0, 4.0, 8.0]),
    nearest=st.sampled_from([3, 9, 15]),
    seed=st.integers(0, 9),
)
def test_a_box_sets_its_own_threshold(boxes: list[Box], size: float, nearest: int, seed: int) -> None:
    """The coarsest level has 12 anchors, less than the 15 nearest."""
    anchors = anchors_of(size)
    expected = adaptive_loop([level.tolist() for level in anchors], boxes, nearest)
    assert owners(match_adaptive(anchors, tensor_of(boxes), nearest)) == expected
    other, order = permuted(boxes, seed)
    assert restored(owners(match_adaptive(anchors, tensor_of(other), nearest)), order) == expected


def test_an_anchor_whose_centre_lies_on_the_border_is_out() -> None:
    """Or no more than 0.01 pixels inside; its IoU of a half is over the threshold, as the others' are 0."""
    anchors = [torch.tensor([[0.0, 0.0, 20.0, 20.0], [100.0, 0.0, 120.0, 20.0], [200.0, 0.0, 220.0, 20.0]])]
    for left, owner in ((10.0, None), (9.991, None), (9.98, 0)):
        truth = torch.tensor([[left, 0.0, 20.0, 20.0]])
        assert owners(match_adaptive(anchors, truth, 9)) == [owner, None, None]


def test_the_deviation_is_the_unbiased_one() -> None:
    """IoUs of 0.55, 0.348 and 0 set a threshold of 0.577; dividing by 3 instead of 2 it would be 0.526."""
    anchors = [torch.tensor([[0.0, 0.0, 20.0, 20.0], [12.0, 0.0, 32.0, 20.0], [100.0, 0.0, 120.0, 20.0]])]
    assert owners(match_adaptive(anchors, torch.tensor([[9.0, 0.0, 20.0, 20.0]]), 9)) == [None, None, None]


# All of them


def test_images_without_boxes_are_background() -> None:
    points, stride, limits = points_of(0.5)
    none, anchors = torch.zeros(0, 4), anchors_of(8.0)
    for match in (
        match_locations(points, stride, limits, none, 1.5, True),
        match_nearest(points, stride, none, 4.0),
        match_adaptive(anchors, none, 9),
    ):
        assert owners(match) == [None] * len(points)
        assert (match.labels(torch.zeros(0, dtype=torch.int64)) == BACKGROUND).all()
