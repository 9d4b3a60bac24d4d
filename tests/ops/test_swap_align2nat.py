"""The swap of aligned and natural masks against its definition, pixel by pixel, and against itself."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

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
        monkeypatch.setattr(module, "_kernel", lambda x: None)
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


INTERPRETED = """
import torch
from cvzoo.ops import swap_align2nat_triton as kernel
from cvzoo.ops.swap_align2nat import swap_align2nat_at

for side, scale, height, width in ((3, 1, 4, 5), (2, 1, 4, 5), (3, 2, 5, 4), (2, 3, 7, 6)):
    x = torch.randn(2, side * side, height, width, requires_grad=True)
    places = torch.tensor([[0, 1, 1], [0, (height - 1) // scale, 0], [0, 0, (width - 1) // scale]])
    out = swap_align2nat_at(x, *places, scale, -6.0)
    upstream = torch.randn_like(out)
    out.backward(upstream)
    found = kernel.forward(x.detach().permute(0, 2, 3, 1), places, side, scale, -6.0)
    grad = kernel.backward(upstream, places, (2, height, width), side, scale).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, out.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(grad, x.grad, atol=1e-5, rtol=0)
"""
COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from cvzoo.ops.swap_align2nat_triton import _swap

pointers = {"x": "*bf16", "places": "*i64", "out": "*fp32"}
numbers = {"pixels": "i64", "windows": "i32", "height": "i32", "width": "i32", "pad": "fp32"}
for back in (False, True):
    constants = {"side": 3, "scale": 2, "back": back, "block": 64}
    pointers["x"] = "*fp32" if back else "*bf16"
    signature = {**pointers, **numbers, **dict.fromkeys(constants, "constexpr")}
    compiled = triton.compile(ASTSource(_swap, signature, constants), target=GPUTarget("cuda", 90, 32))
    assert compiled.asm["cubin"]
"""


@pytest.mark.parametrize(("script", "interpreted"), [(INTERPRETED, "1"), (COMPILED, "0")], ids=["equal", "compiles"])
def test_the_kernel_for_cuda_without_one(script: str, interpreted: str, tmp_path: Path) -> None:
    """Interpreted it equals the CPU's; and it compiles for a GPU."""
    pytest.importorskip("triton")
    environment = {"TRITON_INTERPRET": interpreted, "TRITON_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
