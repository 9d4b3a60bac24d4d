"""Corner pooling against its definition, cell by cell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cvzoo.ops.corner_pool import Direction, corner_pool

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
TIMES_MAX_POOL = 3
"""So many times what a 3x3 max pooling takes."""


def by_definition(x: Tensor, direction: Direction) -> Tensor:
    """Each cell's maximum over the rest of its row or column."""
    out = torch.empty_like(x)
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            seen = {
                "top": x[:, :, row:, column],
                "bottom": x[:, :, : row + 1, column],
                "left": x[:, :, row, column:],
                "right": x[:, :, row, : column + 1],
            }[direction]
            out[:, :, row, column] = seen.amax(dim=2)
    return out


@settings(max_examples=20)
@given(
    shape=st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 9)] * 2),
    direction=st.sampled_from(DIRECTIONS),
    seed=st.integers(0, 99),
)
def test_values_and_gradients_are_those_of_the_definition(
    shape: tuple[int, ...], direction: Direction, seed: int
) -> None:
    torch.manual_seed(seed)
    x, upstream = torch.rand(shape, requires_grad=True), torch.rand(shape)
    found, expected = corner_pool(x, direction), by_definition(x, direction)
    assert torch.equal(found, expected)
    (mine,) = torch.autograd.grad((found * upstream).sum(), x)
    (theirs,) = torch.autograd.grad((expected * upstream).sum(), x)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_autocast_and_channels_last(direction: Direction) -> None:
    x = torch.rand(2, 3, 5, 7).to(memory_format=torch.channels_last)
    assert torch.equal(corner_pool(x, direction), by_definition(x, direction))
    assert corner_pool(x.bfloat16(), direction).dtype == torch.bfloat16


def seconds(step: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Of this process, forward and backward; the best of some tries."""
    times = []
    for _ in range(5):
        start = time.process_time()
        step(x).sum().backward()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_costs_little_more_than_a_max_pooling(direction: Direction) -> None:
    x = torch.rand(1, 64, 96, 96, requires_grad=True)
    pooling = seconds(lambda x: F.max_pool2d(x, 3, 1, 1), x)
    assert seconds(lambda x: corner_pool(x, direction), x) < TIMES_MAX_POOL * pooling
