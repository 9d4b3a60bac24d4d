"""Gaussians, radii and cells against definitions spelled out object by object and pixel by pixel."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cvzoo.parts.heatmap.targets import (
    GaussianConfig,
    RadiusRule,
    at_cells,
    cells_of,
    draw,
    gaussian_radius,
    last_in_cell,
    objects_of,
)
from cvzoo.structures import Target

SIZE = (13, 17)
OBJECTS = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 12), st.integers(0, 9), st.integers(0, 5)), max_size=12)
"""x, y, radius, map."""
SIDES = st.lists(st.tuples(st.floats(0.01, 300), st.floats(0.01, 300)), min_size=1, max_size=20)


def one_by_one(objects: list[tuple[int, int, int, int]], maps: int) -> Tensor:
    heat = torch.zeros(maps, *SIZE)
    for x0, y0, radius, own in objects:
        sigma = (2 * radius + 1) / 6
        for y in range(max(y0 - radius, 0), min(y0 + radius + 1, SIZE[0])):
            for x in range(max(x0 - radius, 0), min(x0 + radius + 1, SIZE[1])):
                value = math.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))
                heat[own, y, x] = max(heat[own, y, x].item(), value)
    return heat


@settings(max_examples=50)
@given(OBJECTS)
def test_gaussians_are_those_drawn_one_by_one(objects: list[tuple[int, int, int, int]]) -> None:
    x, y, radius, own = torch.tensor(objects, dtype=torch.int64).reshape(-1, 4).unbind(1)
    heat = draw(torch.stack([x, y], dim=1), radius, own, 6, SIZE)
    torch.testing.assert_close(heat, one_by_one(objects, 6))
    assert (heat[own, y, x] == 1).all()


@settings(max_examples=50)
@given(SIDES, st.floats(0.1, 0.9))
def test_corners_within_the_radius_keep_the_overlap(sides: list[tuple[float, float]], overlap: float) -> None:
    """A box whose corners move by the radius, both the same way, both inwards or both outwards."""
    sides_O2 = torch.tensor(sides, dtype=torch.float64)
    radius = gaussian_radius(sides_O2, overlap)
    height, width = sides_O2.unbind(1)
    moved = ((height - radius) * (width - radius)).clamp(min=0)
    inside = ((height - 2 * radius) * (width - 2 * radius)).clamp(min=0) / (height * width)
    outside = height * width / ((height + 2 * radius) * (width + 2 * radius))
    shifted = moved / (2 * height * width - moved)
    least = torch.stack([shifted, inside, outside]).amin(0)
    assert (least >= overlap - 1e-6).all()
    torch.testing.assert_close(least, torch.full_like(least, overlap))


@pytest.mark.parametrize(("overlap", "rule", "radius"), [(0.7, "undivided", 5.47), (0.3, "roots", 4.52)])
def test_figures_of_the_references(overlap: float, rule: RadiusRule, radius: float) -> None:
    assert gaussian_radius(torch.tensor([[20.0, 20.0]]), overlap, rule).item() == pytest.approx(radius, abs=0.005)


@pytest.mark.parametrize("rule", get_args(RadiusRule))
def test_radii_are_whole_and_not_negative(rule: RadiusRule) -> None:
    sides = torch.tensor([[0.0, 0.0], [0.2, 3.0], [19.2, 19.2]])
    radii = GaussianConfig(rule=rule).radius(sides)
    assert radii.dtype == torch.int64
    assert (radii >= 0).all()
    rounded = GaussianConfig(rule=rule, round_up=True).radius(sides)
    assert torch.equal(rounded, GaussianConfig(rule=rule).radius(sides.ceil()))


def test_objects_of_a_batch_are_scaled_and_clipped() -> None:
    boxes = torch.tensor([[-8.0, 0, 16, 12], [40, 20, 80, 70]])
    targets = [Target(boxes, torch.tensor([1, 0])), Target.empty(), Target(boxes[:1], torch.tensor([2]))]
    objects = objects_of(targets, (64, 80), (16, 20))
    assert objects.image_O.tolist() == [0, 0, 2]
    assert objects.labels_O.tolist() == [1, 0, 2]
    assert objects.boxes_O4[1].tolist() == [10, 5, 20, 16]
    assert objects.boxes_O4[0].tolist() == objects.boxes_O4[2].tolist() == [0, 0, 4, 3]
    short = objects_of(targets, (64, 80), (16, 20), (2, 0, 1), margin=0.25)
    assert short.boxes_O4[1].tolist() == [10, 5, 19.75, 15.75]
    assert short.labels_O.tolist() == [2, 1, 0]


def test_no_objects_at_all() -> None:
    objects = objects_of([Target.empty()] * 2, (64, 80), (16, 20))
    assert objects.image_O.shape == (0,)
    assert cells_of(objects.boxes_O4[:, :2], SIZE).shape == (0, 2)
    assert last_in_cell(objects.image_O, torch.zeros(0, 2, dtype=torch.int64), 2, SIZE).shape == (0,)


def test_cells_and_their_values() -> None:
    cells = cells_of(torch.tensor([[0.0, 0.9], [16.99, 12.0], [17.0, 13.0]]), SIZE)
    assert cells.tolist() == [[0, 0], [16, 12], [16, 12]]
    image = torch.tensor([0, 1, 1])
    assert last_in_cell(image, cells, 2, SIZE).tolist() == [1, 0, 1]
    maps = torch.rand(2, 3, *SIZE)
    assert torch.equal(at_cells(maps, image, cells)[1], maps[1, :, 12, 16])
