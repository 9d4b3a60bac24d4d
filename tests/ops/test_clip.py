"""Polygons cut to an image cover what the whole ones cover of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.ops.clip import clip_polygon, clipped_box
from cvzoo.ops.masks import to_bitmap

SIZE = (24, 32)
MARGIN = 16
WHOLE = st.integers(-MARGIN, 32 + MARGIN)
OUTLINES = st.lists(st.tuples(WHOLE, WHOLE), min_size=3, max_size=7, unique=True)


def covered(points: np.ndarray, finer: int = 4) -> np.ndarray:
    """Which places of a grid inside the image a polygon holds, by the even-odd rule."""
    y, x = ((np.arange(side * finer) + start) / finer for side, start in zip(SIZE, (0.513, 0.387)))
    inside = np.zeros((len(y), len(x)), bool)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, 0)):
        crosses = (y1 > y) != (y2 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
        inside ^= crosses[:, None] & (at[:, None] > x)
    return inside


@settings(max_examples=200)
@given(OUTLINES)
def test_the_same_places_are_covered_and_the_box_is_tight(outline: list[tuple[int, int]]) -> None:
    points = np.array(outline, np.float64)
    cut = clip_polygon(points, SIZE)
    assert ((cut >= -1e-9) & (cut <= np.array(SIZE[::-1]) + 1e-9)).all()
    before = covered(points)
    assert (before != covered(cut)).mean() < 1e-3 if len(cut) else not before.any()
    if before.any():
        rows, columns = np.flatnonzero(before.any(1)) / 4, np.flatnonzero(before.any(0)) / 4
        x1, y1, x2, y2 = clipped_box(cut, SIZE)
        assert x1 <= columns[0] + 0.25
        assert y1 <= rows[0] + 0.25
        assert x2 >= columns[-1]
        assert y2 >= rows[-1]


def test_a_box_leaves_out_the_corner_past_which_an_outline_is_joined() -> None:
    """The outline enters from the left, and goes round the corner above the image."""
    points = np.array([[-9, 10], [8, 10], [8, 15], [-10, 15], [-10, -6], [40, -6], [40, -5], [-9, -5]], np.float64)
    cut = clip_polygon(points, SIZE)
    assert clipped_box(cut, SIZE).tolist() == [0, 10, 8, 15]
    assert np.array_equal(
        to_bitmap([cut.reshape(-1)], SIZE), to_bitmap([np.array([0.0, 10, 8, 10, 8, 15, 0, 15])], SIZE)
    )


@pytest.mark.parametrize("points", [[[-9, -9], [-1, -9], [-5, -2]], [[40, 2], [50, 2], [50, 9]]])
def test_nothing_is_left_of_what_lies_outside(points: list[list[float]]) -> None:
    assert clip_polygon(np.array(points, np.float64), SIZE).shape == (0, 2)


def test_an_image_within_an_outline_is_covered_whole() -> None:
    cut = clip_polygon(np.array([[-50.0, -50], [99, -50], [99, 99], [-50, 99]]), SIZE)
    assert clipped_box(cut, SIZE).tolist() == [0, 0, 32, 24]
    assert to_bitmap([cut.reshape(-1)], SIZE).all()
