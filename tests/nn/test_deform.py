"""Deformable convolution as weighted bags of cells is torchvision's, gradients included."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import deform_conv2d

from cvzoo.nn.deform import DeformConv, deform_convs

Pair = tuple[int, int]
SIZES: list[Pair] = [(1, 1), (1, 5), (4, 1), (3, 7), (6, 4)]
NAMES = ("map 0", "map 1", "kernel 0", "kernel 1", "offsets", "shares")


class Shape(NamedTuple):
    """Of a convolution; the defaults are the plain one."""

    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Pair = (1, 1)
    dilation: Pair = (1, 1)
    groups: int = 1
    deform_groups: int = 1

    def out(self, size: Pair) -> Pair:
        numbers = zip(size, self.kernel, self.stride, self.padding, self.dilation)
        height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in numbers)
        return height, width


def small(low: int, high: int) -> st.SearchStrategy[Pair]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


SHAPES = st.builds(
    Shape,
    kernel=small(1, 4),
    stride=small(1, 3),
    padding=small(0, 4),
    dilation=small(1, 3),
    groups=st.sampled_from([1, 2, 4]),
    deform_groups=st.sampled_from([1, 2, 4]),
)
PLAIN = Shape()


def leaves(
    size: Pair, shape: Shape, seed: int = 0, reach: float = 0.0, step: float = 0.0, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Two maps, two kernels, their offsets (normal times `reach`, in multiples of `step`) and the taps' shares."""
    generator = torch.Generator().manual_seed(seed)
    taps = shape.deform_groups * shape.kernel[0] * shape.kernel[1]
    kernels = [(4, 4 // shape.groups, *shape.kernel), (12, 8 // shape.groups, *shape.kernel)]
    fields = [(2, 2 * taps, *shape.out(size)), (2, taps, *shape.out(size))]
    shapes = [(2, 4, *size), (2, 8, *size), *kernels, *fields]
    *others, offsets, shares = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    offsets = offsets * reach
    if step:
        offsets = (offsets / step).round() * step
    return [x.to(dtype).requires_grad_() for x in (*others, offsets, shares.sigmoid())]


def assert_equal_to_torchvision(ours: list[Tensor], shape: Shape, shared: bool) -> None:
    theirs = [x.detach().clone().requires_grad_() for x in ours]
    options = {"stride": shape.stride, "padding": shape.padding, "dilation": shape.dilation}
    groups = {"groups": shape.groups, "deform_groups": shape.deform_groups}
    found = deform_convs(ours[:2], ours[4], ours[2:4], share_NSHW=ours[5] if shared else None, **options, **groups)
    share = theirs[5] if shared else None
    wanted = [deform_conv2d(theirs[i], theirs[4], theirs[2 + i], mask=share, **options) for i in range(2)]
    for mine, other in zip(found, wanted):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)
    upstream = [torch.randn_like(x) for x in wanted]
    torch.autograd.backward(found, upstream)
    torch.autograd.backward(wanted, upstream)
    for name, mine, other in zip(NAMES, ours, theirs):
        torch.testing.assert_close(mine.grad, other.grad, atol=3e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@settings(max_examples=60)
@given(
    size=st.sampled_from(SIZES),
    seed=st.integers(0, 2**16),
    reach=st.sampled_from([0.0, 0.3, 1.0, 3.0, 100.0, 1e6]),
    step=st.sampled_from([0.0, 0.5, 1.0]),
    stride=small(1, 2),
    shared=st.booleans(),
)
def test_values_and_gradients_are_torchvisions(
    size: Pair, seed: int, reach: float, step: float, stride: Pair, shared: bool
) -> None:
    """Taps between cells, exactly on them, exactly one cell outside, and far outside."""
    shape = PLAIN._replace(stride=stride)
    assert_equal_to_torchvision(leaves(size, shape, seed, reach, step), shape, shared)


@settings(max_examples=150)
@given(
    size=small(1, 9),
    shape=SHAPES,
    seed=st.integers(0, 2**16),
    reach=st.sampled_from([0.0, 0.7, 3.0]),
    shared=st.booleans(),
)
def test_any_kernel_stride_padding_dilation_and_groups(
    size: Pair, shape: Shape, seed: int, reach: float, shared: bool
) -> None:
    if min(shape.out(size)) > 0:  # the kernel fits on the padded map
        assert_equal_to_torchvision(leaves(size, shape, seed, reach), shape, shared)


@pytest.mark.parametrize("size", SIZES)
def test_float64_maps_stay_so(size: Pair) -> None:
    """Offsets are single precision all the same."""
    assert_equal_to_torchvision(leaves(size, PLAIN, 3, 1.0, dtype=torch.float64), PLAIN, shared=True)


@settings(max_examples=60)
@given(size=small(1, 9), shape=SHAPES)
def test_without_offsets_it_is_a_convolution(size: Pair, shape: Shape) -> None:
    if min(shape.out(size)) <= 0:
        return
    *maps_and_kernels, offsets, _ = leaves(size, shape)
    options = {"stride": shape.stride, "padding": shape.padding, "dilation": shape.dilation, "groups": shape.groups}
    found = deform_convs(
        maps_and_kernels[:2], offsets, maps_and_kernels[2:], deform_groups=shape.deform_groups, **options
    )
    for mine, x, kernel in zip(found, maps_and_kernels[:2], maps_and_kernels[2:]):
        torch.testing.assert_close(mine, F.conv2d(x, kernel, **options), atol=1e-4, rtol=1e-4)


def test_padding_is_same_unless_told() -> None:
    shape = Shape(kernel=(5, 3), padding=(4, 2), dilation=(2, 2))
    x, _, kernel, _, offsets, _ = leaves((6, 7), shape, reach=1.0)
    (given_padding,) = deform_convs([x], offsets, [kernel], padding=(4, 2), dilation=2)
    (same,) = deform_convs([x], offsets, [kernel], dilation=2)
    assert torch.equal(given_padding, same)
    assert same.shape[2:] == x.shape[2:]


def test_offsets_come_y_before_x() -> None:
    """All taps moved one row down see the map that is moved one row up."""
    x, _, kernel, *_ = leaves((4, 6), PLAIN)
    offsets = torch.zeros(2, 9, 2, 4, 6)
    offsets[:, :, 0] = 1
    (found,) = deform_convs([x], offsets.flatten(1, 2), [kernel])
    moved = F.conv2d(F.pad(x, (1, 1, 1, 1)), kernel, padding=(1, 0))[:, :, 2:]
    torch.testing.assert_close(found, moved, atol=1e-5, rtol=1e-5)


def test_far_taps_see_nothing_and_pull_nothing() -> None:
    x, _, kernel, _, offsets, _ = leaves((3, 5), PLAIN)
    with torch.no_grad():
        offsets += torch.tensor([1e9, -1e9]).repeat(9).view(1, 18, 1, 1)
    (found,) = deform_convs([x], offsets, [kernel])
    found.sum().backward()
    assert (found == 0).all()
    for leaf in (x, kernel, offsets):
        assert leaf.grad is not None
        assert (leaf.grad == 0).all()


@pytest.mark.parametrize("kernel", [True, False])
def test_bfloat16_maps_leave_offsets_as_they_are(kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By torchvision's kernel, as on CUDA, and by our own: a quarter of the way from a 0 to a 1 is a quarter."""
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: kernel)
    x = (torch.arange(256) % 2).bfloat16().view(1, 1, 1, -1)
    offsets = torch.zeros(1, 2, 1, 256)
    offsets[:, 1] = 100.25
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = deform_convs([x], offsets, [torch.ones(1, 1, 1, 1)])
    assert found.dtype == torch.bfloat16
    assert found.flatten()[:154:2].eq(0.25).all()


def randomise(conv: DeformConv) -> DeformConv:
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.normal_(std=0.3)
    return conv


@pytest.mark.parametrize("kind", ["v1", "v2"])
@pytest.mark.parametrize("dilation", [None, 1, 3])
def test_the_module_reads_its_offsets_and_shares_off_its_input(kind: str, dilation: int | None) -> None:
    """A given dilation overrides that of both its convolutions."""
    conv = randomise(DeformConv(8, 12, 5, stride=2, dilation=2, groups=4, deform_groups=2, bias=True, kind=kind))
    x, spread = torch.randn(2, 8, 11, 9), dilation or 2
    field = F.conv2d(x, conv.offset.weight, conv.offset.bias, 2, 2 * spread, spread)
    assert field.shape[1] == (100 if kind == "v1" else 150)
    share = None if kind == "v1" else field[:, 100:].sigmoid()
    expected = deform_conv2d(x, field[:, :100], conv.weight, conv.bias, 2, 2 * spread, spread, share)
    torch.testing.assert_close(conv(x, dilation), expected, atol=1e-4, rtol=1e-4)


def test_channels_must_divide_into_deformable_groups() -> None:
    with pytest.raises(ValueError, match=r"6 channels .* 4 deformable groups; set deform-groups to a divisor of 6"):
        DeformConv(6, 8, deform_groups=4)
