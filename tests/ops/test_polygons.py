"""Polygons in many boxes at once are what COCO's rasteriser makes of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cvzoo.ops.masks import MIN_SIDE, to_bitmap
from cvzoo.ops.polygons import draw_polygons


def outline(rng: np.random.Generator, kind: int) -> np.ndarray:
    """Any, round, on whole pixels, or with corners that come twice."""
    count = int(rng.integers(3, 40))
    if kind == 0:
        return rng.uniform(-60, 160, 2 * count)
    angle = np.sort(rng.uniform(0, 2 * np.pi, count))
    radius = rng.uniform(5, 60) * rng.uniform(0.7, 1.3, count)
    points = rng.uniform(20, 80, 2) + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    if kind == 1:
        return points.reshape(-1)
    return (points.round() if kind == 2 else points.repeat(2, axis=0)).reshape(-1)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("side", [14, 28, 7])
def test_every_pixel_is_cocos(side: int, threads: int) -> None:
    rng = np.random.default_rng(side)
    polygons = [[outline(rng, (n + part) % 4) for part in range(n % 4)] for n in range(60)]
    corner = rng.uniform(-20, 90, (200, 2)).round(rng.integers(0, 3))
    extent = rng.uniform(0, 80, (200, 2)) * (rng.uniform(size=(200, 1)) < 0.95)
    origin, end = corner.astype(np.float32).astype(float), (corner + extent).astype(np.float32).astype(float)
    factors = side / np.maximum(end - origin, MIN_SIDE)
    objects = rng.integers(0, len(polygons), 200)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = draw_polygons(polygons, objects, origin, factors, side)
    finally:
        torch.set_num_threads(before)
    for number, mine, start, factor in zip(objects, found, origin, factors):
        moved = [((part.reshape(-1, 2) - start) * factor).reshape(-1) for part in polygons[number]]
        np.testing.assert_array_equal(mine, to_bitmap(moved, (side, side)))
    assert 0.05 < found.mean() < 0.95


def test_no_regions_and_no_polygons() -> None:
    none = np.zeros((0, 2))
    assert draw_polygons([], np.zeros(0, int), none, none, 28).shape == (0, 28, 28)
    assert not draw_polygons([[]], np.zeros(2, int), np.zeros((2, 2)), np.ones((2, 2)), 28).any()
