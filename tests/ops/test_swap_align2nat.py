"""The swap of aligned and natural masks against its definition, pixel by pixel, and against itself."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from cvzoo.ops import swap_align2nat as module
from cvzoo.ops.swap_align2nat import swap_align2nat, swap_align2nat_at


def literal(x_NCHW: Tensor, scale: int, pad: float) -> Tensor:
    """The formulas of the paper, a pixel at a time."""
    images, channels, height, width = x_NCHW.shape
    side = math.isqrt(channels)
    fine = side * scale
    out = torch.zeros(images, fine * fine, -(-height // scale), -(-width // scale), dtype=x_NCHW.dtype)

    def corners(place: float) -> list[tuple[int, float]]:
        low = math.floor(place)
        return [(low, 1 - (place - low)), (low + 1, place - low)]

    for n, v, u, y, x in itertools.product(range(images), range(fine), range(fine), *map(range, out.shape[2:])):
        places = [(v + 0.5) / scale - 0.5, (u + 0.5) / scale - 0.5]
        places += [scale * y + v - fine / 2 + 0.5, scale * x + u - fine / 2 + 0.5]
        total = 0.0
        for (cv, wv), (cu, wu), (cy, wy), (cx, wx) in itertools.product(*map(corners, places)):
            inside = 0 <= cv < side and 0 <= cu < side and 0 <= cy < height and 0 <= cx < width
            total += wv * wu * wy * wx * (x_NCHW[n, cv * side + cu, cy, cx].item() if inside else pad)
        out[n, v * fine + u, y, x] = total
    return out


@pytest.mark.parametrize(
    ("side", "scale", "size"),
    [(3, 1, (4, 3)), (2, 1, (3, 4)), (3, 2, (5, 4)), (2, 3, (4, 7)), (3, 3, (4, 5)), (1, 4, (2, 9))],
)
def test_values_are_the_definition(side: int, scale: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, side * side, *size, dtype=torch.float64)
    torch.testing.assert_close(swap_align2nat(x, scale, -2.5), literal(x, scale, -2.5), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("side", "scale"), [(3, 1), (2, 1), (2, 2), (3, 3)])
def test_the_gradient_is_the_adjoint(side: int, scale: int) -> None:
    x = torch.randn(1, side * side, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: swap_align2nat(x, scale, -6.0), (x,))


@pytest.mark.parametrize("chunk", [1, 100, 1 << 20])
def test_some_windows_are_those_of_all(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever order and however often they are asked for, and however many are computed at a time."""
    monkeypatch.setattr(module, "CHUNK", chunk)
    x = torch.randn(2, 9, 7, 6).to(memory_format=torch.channels_last).requires_grad_()
    image, row, column = torch.tensor([[1, 0, 1, 1], [3, 0, 0, 3], [2, 0, 1, 2]])
    everything = swap_align2nat(x, 2)
    some = swap_align2nat_at(x, image, row, column, 2)
    torch.testing.assert_close(some.flatten(1), everything[image, :, row, column])
    upstream = torch.randn_like(some)
    (found,) = torch.autograd.grad(some, x, upstream)
    (expected,) = torch.autograd.grad(everything[image, :, row, column], x, upstream.flatten(1))
    torch.testing.assert_close(found, expected)


def test_no_window_at_all() -> None:
    x = torch.randn(1, 4, 3, 3, requires_grad=True)
    nothing = torch.zeros(0, dtype=torch.int64)
    out = swap_align2nat_at(x, nothing, nothing, nothing, 2)
    assert out.shape == (0, 4, 4)
    out.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_half_precision_is_computed_in_single() -> None:
    x = torch.randn(1, 9, 5, 5)
    out = swap_align2nat(x.bfloat16().requires_grad_(), 2)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, swap_align2nat(x.bfloat16().float(), 2))


def test_channels_that_are_no_square_are_an_error() -> None:
    with pytest.raises(ValueError, match="a square window, not 8"):
        swap_align2nat(torch.zeros(1, 8, 2, 2), 1)


@pytest.mark.gpu
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("side", "scale"), [(3, 1), (2, 1), (3, 2), (2, 4)])
def test_cuda_gives_what_the_cpu_gives(side: int, scale: int, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fused:
        monkeypatch.setattr(module, "triton_kernels", lambda operation, x: None)
    x = torch.randn(2, side * side, 8, 6)
    results = []
    for device in ("cpu", "cuda"):
        leaf = x.to(device).requires_grad_()
        out = swap_align2nat(leaf, scale)
        out.square().sum().backward()
        assert leaf.grad is not None
        results.append((out.detach().cpu(), leaf.grad.cpu()))
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)
