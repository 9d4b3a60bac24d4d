import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path

from cvzoo.ops.outlines import outlines


def filled(parts, size):
    """The pixels whose centres lie in the polygons."""
    centres = np.stack(np.meshgrid(np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5), -1).reshape(-1, 2)
    covered = np.zeros(len(centres), bool)
    for outer, *holes in parts:
        inside = Path(outer).contains_points(centres)
        for hole in holes:
            inside &= ~Path(hole).contains_points(centres)
        covered |= inside
    return covered.reshape(size)


def area(ring):
    """Positive from the x axis to the y axis."""
    x, y = ring.T
    return (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 12), st.floats(0, 1))
def test_outlines_contain_the_pixels_and_no_others(seed, height, width, share):
    bitmap = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    parts = outlines(bitmap)
    assert (filled(parts, bitmap.shape) == bitmap).all()
    for outer, *holes in parts:
        assert area(outer) > 0
        assert all(area(hole) < 0 for hole in holes)
        assert all((ring[0] == ring[-1]).all() for ring in (outer, *holes))
        assert (outer >= 0).all()
        assert (outer <= (width, height)).all()


def test_a_ring_has_a_hole_and_what_lies_in_it_is_a_part_of_its_own():
    bitmap = np.zeros((9, 9), np.uint8)
    bitmap[1:8, 1:8] = 1
    bitmap[2:7, 2:7] = 0
    bitmap[4, 4] = 1
    assert sorted(len(rings) for rings in outlines(bitmap)) == [1, 2]
    assert outlines(np.zeros((4, 4), np.uint8)) == []
