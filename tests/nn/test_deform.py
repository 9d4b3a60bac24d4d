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

Size = tuple[int, int]
SIZES: list[Size] = [(1, 1), (1, 5), (4, 1), (3, 7), (6, 4)]
NAMES = ("map 0", "map 1", "kernel 0", "kernel 1", "offsets", "shares")


def leaves(
    size: Size, seed: int, reach: float, step: float, stride: int = 1, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Two maps, two kernels, their offsets (normal times `reach`, in multiples of `step`) and the taps' shares."""
    generator = torch.Generator().manual_seed(seed)
    out = [(side - 1) // stride + 1 for side in size]
    shapes = [(2, 3, *size), (2, 4, *size), (5, 3, 3, 3), (2, 4, 3, 3), (2, 18, *out), (2, 9, *out)]
    *others, offsets, shares = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    offsets = offsets * reach
    if step:
        offsets = (offsets / step).round() * step
    return [x.to(dtype).requires_grad_() for x in (*others, offsets, shares.sigmoid())]


def assert_equal_to_torchvision(ours: list[Tensor], stride: int, shared: bool) -> None:
    theirs = [x.detach().clone().requires_grad_() for x in ours]
    found = deform_convs(ours[:2], ours[4], ours[2:4], stride, ours[5] if shared else None)
    share = theirs[5] if shared else None
    wanted = [deform_conv2d(theirs[i], theirs[4], theirs[2 + i], None, stride, 1, mask=share) for i in range(2)]
    for mine, other in zip(found, wanted):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)
    upstream = [torch.randn_like(x) for x in wanted]
    torch.autograd.backward(found, upstream)
    torch.autograd.backward(wanted, upstream)
    for name, mine, other in zip(NAMES, ours, theirs):
        torch.testing.assert_close(mine.grad, other.grad, atol=2e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@settings(max_examples=60, deadline=None)
@given(
    size=st.sampled_from(SIZES),
    seed=st.integers(0, 2**16),
    reach=st.sampled_from([0.0, 0.3, 1.0, 3.0, 100.0, 1e6]),
    step=st.sampled_from([0.0, 0.5, 1.0]),
    stride=st.sampled_from([1, 2]),
    shared=st.booleans(),
)
def test_values_and_gradients_are_torchvisions(
    size: Size, seed: int, reach: float, step: float, stride: int, shared: bool
) -> None:
    """Taps between cells, exactly on them, exactly one cell outside, and far outside."""
    assert_equal_to_torchvision(leaves(size, seed, reach, step, stride), stride, shared)


@pytest.mark.parametrize("size", SIZES)
def test_float64_maps_stay_so(size: Size) -> None:
    """Offsets are single precision all the same."""
    assert_equal_to_torchvision(leaves(size, 3, 1.0, 0.0, dtype=torch.float64), 1, shared=True)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_without_offsets_it_is_a_convolution(size: Size, stride: int) -> None:
    *maps_and_kernels, offsets, _ = leaves(size, 0, 0.0, 0.0, stride)
    found = deform_convs(maps_and_kernels[:2], offsets, maps_and_kernels[2:], stride)
    for mine, x, kernel in zip(found, maps_and_kernels[:2], maps_and_kernels[2:]):
        torch.testing.assert_close(mine, F.conv2d(x, kernel, stride=stride, padding=1), atol=1e-5, rtol=1e-5)


def test_offsets_come_y_before_x() -> None:
    """All taps moved one row down see the map that is moved one row up."""
    x, _, kernel, *_ = leaves((4, 6), 0, 0.0, 0.0)
    offsets = torch.zeros(2, 9, 2, 4, 6)
    offsets[:, :, 0] = 1
    (found,) = deform_convs([x], offsets.flatten(1, 2), [kernel])
    moved = F.conv2d(F.pad(x, (1, 1, 1, 1)), kernel, padding=(1, 0))[:, :, 2:]
    torch.testing.assert_close(found, moved, atol=1e-5, rtol=1e-5)


def test_far_taps_see_nothing_and_pull_nothing() -> None:
    x, _, kernel, _, offsets, _ = leaves((3, 5), 0, 0.0, 0.0)
    with torch.no_grad():
        offsets += torch.tensor([1e9, -1e9]).repeat(9).view(1, 18, 1, 1)
    (found,) = deform_convs([x], offsets, [kernel])
    found.sum().backward()
    assert (found == 0).all()
    for leaf in (x, kernel, offsets):
        assert leaf.grad is not None
        assert (leaf.grad == 0).all()
