"""Where the cells of a pyramid lie in the input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.ops.anchors import AnchorConfig, pyramid_anchors
from cvzoo.ops.points import PointConfig, cells_of_image, per_level, pyramid_points

CPU = torch.device("cpu")
STRIDES = (8, 16, 32)
side = st.integers(1, 200)
OFFSETS = [0.0, 0.25, 0.5]


def grids_of(size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """The maps of a network that rounds up at every stride."""
    return tuple((-(-size[0] // stride), -(-size[1] // stride)) for stride in STRIDES)


@settings(max_examples=30)
@given(size=st.tuples(side, side), offset=st.sampled_from(OFFSETS))
def test_points_lie_in_their_cells(size: tuple[int, int], offset: float) -> None:
    levels = pyramid_points(PointConfig(strides=STRIDES, offset=offset), grids_of(size), size, CPU)
    for points, (rows, columns), stride in zip(levels, grids_of(size), STRIDES):
        cells = [(x * stride, y * stride) for y in range(rows) for x in range(columns)]
        assert torch.equal(points, torch.tensor(cells) + offset * stride)


@settings(max_examples=30)
@given(size=st.tuples(side, side), offset=st.sampled_from(OFFSETS))
def test_steps_may_come_from_the_input(size: tuple[int, int], offset: float) -> None:
    """The step is input // cells, which need not be the stride, nor the same along both axes."""
    config = PointConfig(strides=STRIDES, offset=offset, stride_from_input=True)
    for points, (rows, columns) in zip(pyramid_points(config, grids_of(size), size, CPU), grids_of(size)):
        x, y = points.view(rows, columns, 2).unbind(-1)
        step_y, step_x = size[0] // rows, size[1] // columns
        assert torch.equal(x, ((torch.arange(columns) + offset) * step_x).expand(rows, columns))
        assert torch.equal(y, ((torch.arange(rows) + offset) * step_y)[:, None].expand(rows, columns))
        assert points.amin() >= 0
        assert x.amax() < size[1]
        assert y.amax() < size[0]


def test_steps_of_torchvisions_800_by_1216() -> None:
    """P6 and P7 have 13 x 19 and 7 x 10 cells, 61 x 64 and 114 x 121 pixels apart."""
    config = PointConfig(strides=(64, 128), offset=0.0, stride_from_input=True)
    p6, p7 = pyramid_points(config, ((13, 19), (7, 10)), (800, 1216), CPU)
    assert p6[19 + 1].tolist() == [64, 61]
    assert p7[10 + 1].tolist() == [121, 114]


@settings(max_examples=30)
@given(size=st.tuples(side, side), offset=st.sampled_from(OFFSETS), from_input=st.booleans())
def test_points_are_the_centres_of_anchors(size: tuple[int, int], offset: float, from_input: bool) -> None:
    shared = {"strides": STRIDES, "offset": offset, "stride_from_input": from_input}
    anchors = AnchorConfig(sizes=((16, 20), (32, 40), (64, 80)), ratios=((0.5, 1.0),), **shared)
    points = pyramid_points(PointConfig(**shared), grids_of(size), size, CPU)
    for at, boxes in zip(points, pyramid_anchors(anchors, grids_of(size), size, CPU)):
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        torch.testing.assert_close(centres, at.repeat_interleave(4, dim=0), atol=1e-4, rtol=1e-6)


def test_per_level_repeats_a_levels_value_for_its_rows() -> None:
    levels = [torch.zeros(3, 2), torch.zeros(0, 2), torch.zeros(2, 2)]
    assert per_level((8, 16, 32), levels).tolist() == [8, 8, 8, 32, 32]


@settings(max_examples=30)
@given(
    size=st.tuples(side, side),
    more=st.tuples(st.integers(0, 100), st.integers(0, 100)),
    divisor=st.sampled_from([1, 16, 32]),
    per_cell=st.integers(1, 3),
)
def test_cells_of_an_image(size: tuple[int, int], more: tuple[int, int], divisor: int, per_cell: int) -> None:
    """Those whose top-left corner lies in the image, padded on its own."""
    canvas = tuple(-(-(own + extra) // divisor) * divisor for own, extra in zip(size, more))
    grids = grids_of(canvas)  # pyright: ignore[reportArgumentType]
    height, width = (next(n for n in range(own, own + divisor) if n % divisor == 0) for own in size)
    expected = []
    for stride, (rows, columns) in zip(STRIDES, grids):
        for y in range(rows):
            for x in range(columns):
                expected += [y * stride < height and x * stride < width] * per_cell
    assert cells_of_image(STRIDES, grids, size, divisor, per_cell, CPU).tolist() == expected
    whole = cells_of_image(STRIDES, grids_of((height, width)), size, divisor, per_cell, CPU)
    assert whole.all(), "without padding of the batch every cell is the image's"


@pytest.mark.parametrize("size", [(100, 70), (128, 96)])
def test_how_many_cells(size: tuple[int, int]) -> None:
    """(100, 70) is padded to (128, 96): 16 x 12, 8 x 6 and 4 x 3 cells, on whatever canvas."""
    found = cells_of_image(STRIDES, grids_of((256, 320)), size, 32, 9, CPU)
    assert found.sum() == 9 * (16 * 12 + 8 * 6 + 4 * 3)
