"""Masks as one polygon: it holds the middles of the mask's pixels and no others."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cvzoo.data.outlines import single_outline
from cvzoo.ops import rle


def holds(polygon_P2: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) uint8: whether a line to the right from near a pixel's middle crosses the polygon oddly often."""
    y, x = np.mgrid[:height, :width] + np.array([0.5003, 0.5007])[:, None, None]
    x1, y1 = polygon_P2.T[:, :, None, None]
    x2, y2 = np.roll(polygon_P2, -1, 0).T[:, :, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    return (crossed.sum(0) % 2).astype(np.uint8)


@settings(max_examples=60)
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)))
def test_bitmaps_with_parts_and_holes(bitmap: np.ndarray) -> None:
    if not bitmap.any():
        return
    outline = single_outline(rle.encode(bitmap), bitmap.shape)
    assert (holds(outline, *bitmap.shape) == bitmap).all()
    rows, columns = np.nonzero(bitmap)
    assert outline.min(0).tolist() == [columns.min(), rows.min()]
    assert outline.max(0).tolist() == [columns.max() + 1, rows.max() + 1]


def test_polygons_are_bridged_and_stay_inside() -> None:
    square, other = np.array([1, 1, 4, 1, 4, 4, 1, 4.0]), np.array([6, 2, 12, 2, 12, 5, 6, 5.0])
    outline = single_outline([square, other], (6, 9))
    wanted = np.zeros((6, 9), np.uint8)
    wanted[1:4, 1:4] = wanted[2:5, 6:9] = 1
    assert (holds(outline, 6, 9) == wanted).all()
    assert outline[:, 0].max() == 9
    assert single_outline([square], (6, 9)).flatten().tolist() == square.tolist()


def test_straight_lines_have_no_points_between_their_ends() -> None:
    bitmap = np.zeros((40, 60), np.uint8)
    bitmap[5:30, 10:50] = 1
    assert len(single_outline(rle.encode(bitmap), (40, 60))) == 8  # corners are cut
