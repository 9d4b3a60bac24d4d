"""Group norm and ReLU on CUDA, in the map's own precision and with its channels last.

PyTorch's copies such a map to channels first, and under autocast to float32. A program here computes the numbers of
one group of channels of one image.
Shape suffixes: N images, C channels, G groups of them, D = C / G channels of a group.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from cvzoo.ops.launch_triton import launch, power_of_2

BLOCK = 4096
"""Numbers of a group that a program reads at a time."""


@triton.jit
def _tile(start, cells, channels, groups, size: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr):
    """Where the numbers of this program's group in cells from `start` on lie in a map, and which of them there are."""
    image = (tl.program_id(0) // groups).to(tl.int64)
    cell, channel = start + tl.arange(0, rows), tl.arange(0, columns)
    place = (image * cells + cell[:, None]) * channels + tl.program_id(0) % groups * size + channel[None, :]
    return place, (cell < cells)[:, None] & (channel < size)[None, :]


@triton.jit
def _of_channels(values, groups, size: tl.constexpr, columns: tl.constexpr):
    """(1, D): the values of this program's channels."""
    channel = tl.arange(0, columns)[None, :]
    return tl.load(values + tl.program_id(0) % groups * size + channel, channel < size, 0.0).to(tl.float32)


@triton.jit
def _forward(
    x, weight, bias, out, mean, rstd, cells, channels, groups, eps, relu: tl.constexpr, size: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    count = 1.0 * cells * size
    place, inside = _tile(0, cells, channels, groups, size, rows, columns)
    # sums of distances to about the mean: those of squares lose the digits of a small variance
    about = tl.sum(tl.load(x + place, inside, 0.0).to(tl.float32)) / tl.minimum(count, float(rows * size))
    once = tl.zeros((rows, columns), tl.float32)
    twice = tl.zeros((rows, columns), tl.float32)
    for start in range(0, cells, rows):
        place, inside = _tile(start, cells, channels, groups, size, rows, columns)
        far = tl.where(inside, tl.load(x + place, inside, 0.0).to(tl.float32) - about, 0.0)
        once += far
        twice += far * far
    shift = tl.sum(once) / count
    own_mean = about + shift
    own_rstd = 1 / tl.sqrt(tl.sum(twice) / count - shift * shift + eps)
    tl.store(mean + tl.program_id(0), own_mean)
    tl.store(rstd + tl.program_id(0), own_rstd)
    scale = own_rstd * _of_channels(weight, groups, size, columns)
    offset = _of_channels(bias, groups, size, columns)
    for start in range(0, cells, rows):
        place, inside = _tile(start, cells, channels, groups, size, rows, columns)
        y = (tl.load(x + place, inside, 0.0).to(tl.float32) - own_mean) * scale + offset
        if relu:
            y = tl.where(y < 0, 0.0, y)  # NaN stays NaN, which a maximum would hide
        tl.store(out + place, y, inside)


@triton.jit
def _upstream(grad, out, place, inside, relu: tl.constexpr):
    """The gradient of what comes before ReLU."""
    upstream = tl.load(grad + place, inside, 0.0).to(tl.float32)
    if relu:
        upstream = tl.where(tl.load(out + place, inside, 0.0) <= 0, 0.0, upstream)
    return upstream


@triton.jit
def _backward(
    grad, x, out, weight, mean, rstd, grad_x, sums, cells, channels, groups, relu: tl.constexpr, size: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """`sums` (N, 2, C) are each image's share of the gradients of the weight and of the bias."""
    own_mean, own_rstd = tl.load(mean + tl.program_id(0)), tl.load(rstd + tl.program_id(0))
    moved = tl.zeros((rows, columns), tl.float32)
    total = tl.zeros((rows, columns), tl.float32)
    for start in range(0, cells, rows):
        place, inside = _tile(start, cells, channels, groups, size, rows, columns)
        upstream = _upstream(grad, out, place, inside, relu)
        moved += upstream * (tl.load(x + place, inside, 0.0).to(tl.float32) - own_mean) * own_rstd
        total += upstream
    of_weight, of_bias = tl.sum(moved, axis=0, keep_dims=True), tl.sum(total, axis=0, keep_dims=True)
    channel = tl.arange(0, columns)[None, :]
    own = sums + (tl.program_id(0) // groups * 2) * channels + tl.program_id(0) % groups * size + channel
    tl.store(own, of_weight, channel < size)
    tl.store(own + channels, of_bias, channel < size)
    scale = _of_channels(weight, groups, size, columns)
    count = 1.0 * cells * size
    along, level = tl.sum(of_weight * scale) / count, tl.sum(of_bias * scale) / count
    for start in range(0, cells, rows):
        place, inside = _tile(start, cells, channels, groups, size, rows, columns)
        normal = (tl.load(x + place, inside, 0.0).to(tl.float32) - own_mean) * own_rstd
        pulled = _upstream(grad, out, place, inside, relu) * scale
        tl.store(grad_x + place, (pulled - level - normal * along) * own_rstd, inside)


def _launch(kernel: Any, x: Tensor, groups: int, *arguments: Any, relu: bool) -> None:
    """`arguments` are the kernel's, up to the sizes of the map `x`, and its eps if it has one."""
    tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
    channels, size = x.shape[1], x.shape[1] // groups
    columns = power_of_2(size)
    rows = max(BLOCK // columns, 1)
    sizes = x.shape[2] * x.shape[3], channels, groups, *arguments[len(tensors) :]
    grid = (len(x) * groups,)
    launch(kernel, grid, *tensors, *sizes, warps=8, relu=relu, size=size, rows=rows, columns=columns)


class GroupNorm(torch.autograd.Function):
    """nn.GroupNorm of a map (N, C, H, W), and ReLU if asked. What comes out has the map's dtype, and channels last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, relu: bool) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        out = torch.empty_like(x)
        mean_NG, rstd_NG = x.new_empty(2, len(x), groups, dtype=torch.float32)
        if x.numel():
            _launch(_forward, x, groups, x, weight, bias, out, mean_NG, rstd_NG, eps, relu=relu)
        ctx.save_for_backward(x, weight, mean_NG, rstd_NG, *([out] if relu else []))
        ctx.groups = groups
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        x, weight, mean_NG, rstd_NG, *out = ctx.saved_tensors
        grad = grad_outputs[0].contiguous(memory_format=torch.channels_last)
        grad_x = torch.empty_like(x)
        sums_N2C = x.new_zeros(len(x), 2, x.shape[1], dtype=torch.float32)
        if x.numel():
            maps = grad, x, out[0] if out else grad, weight, mean_NG, rstd_NG, grad_x, sums_N2C
            _launch(_backward, x, ctx.groups, *maps, relu=bool(out))
        grad_weight, grad_bias = sums_N2C.sum(dim=0).to(weight.dtype)
        return grad_x, grad_weight, grad_bias, None, None, None
