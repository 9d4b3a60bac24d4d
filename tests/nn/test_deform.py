"""Deformable convolution as weighted bags of cells is torchvision's, gradients included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import deform_conv2d

from cvzoo.nn.deform import deform_convs

SIZES = [(1, 1), (1, 5), (4, 1), (3, 7), (6, 4)]


def leaves(size: tuple[int, int], seed: int, dtype: torch.dtype, reach: float, step: float) -> list[Tensor]:
    """Two pairs of maps and kernels, and their offsets: normal times `reach`, rounded to multiples of `step`."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(2, 3, *size), (2, 4, *size), (5, 3, 3, 3), (2, 4, 3, 3), (2, 18, *size)]
    *others, offsets = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    offsets = offsets * reach
    if step:
        offsets = (offsets / step).round() * step
    return [x.to(dtype).requires_grad_() for x in (*others, offsets)]


def assert_equal_to_torchvision(size: tuple[int, int], seed: int, dtype: torch.dtype, reach: float, step: float) -> None:
    ours, theirs = leaves(size, seed, dtype, reach, step), leaves(size, seed, dtype, reach, step)
    found = deform_convs(ours[:2], ours[4], ours[2:4])
    wanted = [deform_conv2d(theirs[i], theirs[4], theirs[2 + i], padding=1) for i in range(2)]
    generator = torch.Generator().manual_seed(seed + 1)
    upstream = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(dtype) for x in wanted]
    torch.autograd.backward(found, upstream)
    torch.autograd.backward(wanted, upstream)
    for mine, other in zip(found, wanted):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)
    for name, mine, other in zip(("map 0", "map 1", "kernel 0", "kernel 1", "offsets"), ours, theirs):
        torch.testing.assert_close(mine.grad, other.grad, atol=2e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from(SIZES),
    seed=st.integers(0, 2**16),
    reach=st.sampled_from([0.0, 0.3, 1.0, 3.0, 100.0, 1e6]),
    step=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_values_and_gradients_are_torchvisions(size: tuple[int, int], seed: int, reach: float, step: float) -> None:
    """Taps between cells, exactly on them, exactly one cell outside, where half a tap counts, and far outside."""
    assert_equal_to_torchvision(size, seed, torch.float32, reach, step)


@pytest.mark.parametrize("size", SIZES)
def test_float64_maps_stay_so(size: tuple[int, int]) -> None:
    """Offsets are single precision all the same."""
    assert_equal_to_torchvision(size, 3, torch.float64, 1.0, 0.0)


@pytest.mark.parametrize("size", SIZES)
def test_without_offsets_it_is_a_convolution(size: tuple[int, int]) -> None:
    *maps_and_kernels, offsets = leaves(size, 0, torch.float32, 0.0, 0.0)
    found = deform_convs(maps_and_kernels[:2], offsets, maps_and_kernels[2:])
    for mine, x, kernel in zip(found, maps_and_kernels[:2], maps_and_kernels[2:]):
        torch.testing.assert_close(mine, F.conv2d(x, kernel, padding=1), atol=1e-5, rtol=1e-5)


def test_offsets_come_y_before_x() -> None:
    """All taps moved one row down see the map that is moved one row up."""
    x, _, kernel, *_ = leaves((4, 6), 0, torch.float32, 0.0, 0.0)
    offsets = torch.zeros(2, 9, 2, 4, 6)
    offsets[:, :, 0] = 1
    (found,) = deform_convs([x], offsets.flatten(1, 2), [kernel])
    moved = F.conv2d(F.pad(x, (1, 1, 1, 1)), kernel, padding=(1, 0))[:, :, 2:]  # row i of the map is row i + 1 here
    torch.testing.assert_close(found, moved, atol=1e-5, rtol=1e-5)


def test_far_taps_see_nothing_and_pull_nothing() -> None:
    x, _, kernel, _, offsets = leaves((3, 5), 0, torch.float32, 0.0, 0.0)
    with torch.no_grad():
        offsets += torch.tensor([1e9, -1e9]).repeat(9).view(1, 18, 1, 1)
    (found,) = deform_convs([x], offsets, [kernel])
    found.sum().backward()
    assert (found == 0).all()
    for leaf in (x, kernel, offsets):
        assert leaf.grad is not None
        assert (leaf.grad == 0).all()
