"""Batch norm that does not move, a shortcut and ReLU on CUDA: one pass over the map forwards, one backwards.

Shape suffixes: N images, C channels, H W cells; maps lie in memory as (N * H * W, C).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from cvzoo.ops.launch_triton import blocks_of, launch, power_of_2

BLOCK = 4096
"""Numbers of a map that one program reads."""


@triton.jit
def _places(cells, channels, rows: tl.constexpr, columns: tl.constexpr):
    """Where the numbers of this program lie in a map, which of them there are, and their channels."""
    cell = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
    channel = tl.program_id(1) * columns + tl.arange(0, columns)
    inside = (cell < cells)[:, None] & (channel < channels)[None, :]
    return cell[:, None] * channels + channel[None, :], inside, channel


@triton.jit
def _factor(weight, var, channel, channels, eps):
    """What the norm multiplies these channels by."""
    var_C = tl.load(var + channel, channel < channels, 1.0).to(tl.float32)
    return tl.load(weight + channel, channel < channels, 0.0).to(tl.float32) / tl.sqrt(var_C + eps)


@triton.jit
def _forward(
    x, shortcut, weight, bias, mean, var, cells, channels, eps, added: tl.constexpr, relu: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """Writes over `x`."""
    place, inside, channel = _places(cells, channels, rows, columns)
    scale = _factor(weight, var, channel, channels, eps)
    shift = tl.load(bias + channel, channel < channels, 0.0).to(tl.float32)
    shift -= tl.load(mean + channel, channel < channels, 0.0).to(tl.float32) * scale
    y = tl.load(x + place, inside, 0.0).to(tl.float32) * scale[None, :] + shift[None, :]
    if added:
        y += tl.load(shortcut + place, inside, 0.0).to(tl.float32)
    if relu:
        y = tl.where(y < 0, 0.0, y)  # NaN stays NaN, which a maximum would hide
    tl.store(x + place, y, inside)


@triton.jit
def _backward(
    grad, y, weight, var, grad_x, grad_shortcut, cells, channels, eps, added: tl.constexpr, relu: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    place, inside, channel = _places(cells, channels, rows, columns)
    upstream = tl.load(grad + place, inside, 0.0).to(tl.float32)
    if relu:
        upstream = tl.where(tl.load(y + place, inside, 0.0) <= 0, 0.0, upstream)
    if added:
        tl.store(grad_shortcut + place, upstream, inside)
    tl.store(grad_x + place, upstream * _factor(weight, var, channel, channels, eps)[None, :], inside)


def _launch(kernel: Any, maps: tuple[Tensor, ...], eps: float, added: bool, relu: bool) -> None:
    """`maps` are the kernel's tensors, a map (N, C, H, W) first."""
    channels = maps[0].shape[1]
    cells = maps[0].numel() // max(channels, 1)
    if not cells * channels:
        return
    columns = min(power_of_2(channels), 256)
    rows = BLOCK // columns
    grid = blocks_of(cells, rows), blocks_of(channels, columns)
    launch(kernel, grid, *maps, cells, channels, eps, warps=8, added=added, relu=relu, rows=rows, columns=columns)


class FrozenNorm(torch.autograd.Function):
    """relu(norm(x) + shortcut) in the memory of `x`; without a shortcut or ReLU if so asked.

    Maps are (N, C, H, W) in channels_last memory; `norm` is the weight, bias, mean and variance (C,) of the channels.
    Keeps the output, which the next layer keeps anyway, for the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shortcut: Tensor | None, norm: tuple[Tensor, ...], eps: float, relu: bool
    ) -> Tensor:
        weight, bias, mean, var = norm
        added = shortcut is not None
        other = shortcut.to(x.dtype).contiguous(memory_format=torch.channels_last) if shortcut is not None else x
        _launch(_forward, (x, other, weight, bias, mean, var), eps, added, relu)
        ctx.save_for_backward(weight, var, *([x] if relu else []))
        ctx.eps, ctx.added, ctx.relu = eps, added, relu
        ctx.mark_dirty(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor | None, None, None, None]:
        weight, var, *kept = ctx.saved_tensors
        grad = grad_outputs[0].contiguous(memory_format=torch.channels_last)
        grad_x = torch.empty_like(grad)
        grad_shortcut = torch.empty_like(grad) if ctx.added and ctx.relu else grad
        maps = grad, kept[0] if ctx.relu else grad, weight, var, grad_x, grad_shortcut
        _launch(_backward, maps, ctx.eps, ctx.added and ctx.relu, ctx.relu)
        return grad_x, grad_shortcut if ctx.added else None, None, None, None
