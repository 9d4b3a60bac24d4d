"""RoIAlign over the levels of a pyramid on CUDA: a program for each row of bins of each region, channels last.

torchvision's kernel wants channels first in float32, and level by level the regions that are on it, for which the
program must wait. Here every level looks at all regions, and leaves those alone that are not its own.
Shape suffixes: N images, L levels, R regions, S bins per side, C channels, H W cells.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from cvzoo.ops.launch_triton import blocks_of, launch, power_of_2


class Regions(NamedTuple):
    """Where to look."""

    boxes_R4: Tensor
    """In pixels of the input."""
    image_R: Tensor
    """Whose they are."""
    level_R: Tensor
    """Which map each is pooled from."""


class Pooling(NamedTuple):
    """How regions are sampled; see `RoIPoolConfig`."""

    strides: tuple[int, ...]
    size: int
    sampling: int
    aligned: bool


@triton.jit
def _axis(low, high, scale, size: tl.constexpr, sampling: tl.constexpr, aligned: tl.constexpr):
    """Where a region begins, how long a bin is, and how many samples it has, along one axis, in cells."""
    start = low * scale - (0.5 if aligned else 0.0)
    length = high * scale - (0.5 if aligned else 0.0) - start
    if not aligned:
        length = tl.maximum(length, 1.0)
    samples = tl.full((), sampling, tl.int32) if sampling else tl.ceil(length / size).to(tl.int32)
    return start, length / size, samples


@triton.jit
def _neighbours(place, cells):
    """The two cells around a place along one axis, the weight of the second, and whether it lies on the map at all."""
    inside = (place >= -1) & (place <= cells)
    place = tl.minimum(tl.maximum(place, 0.0), cells - 1.0)
    low = place.to(tl.int32)
    return low, tl.minimum(low + 1, cells - 1), place - low, inside


@triton.jit
def _pool(
    x, boxes, images, levels, out, level, scale, height, width, channels, back: tl.constexpr, size: tl.constexpr,
    sampling: tl.constexpr, aligned: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Averages the samples of each bin; with `back`, hands the gradient `out` of a bin to the cells of `x`."""
    region = tl.program_id(0).to(tl.int64)
    if tl.load(levels + region) == level:
        box = boxes + region * 4
        x0, step_x, columns = _axis(tl.load(box), tl.load(box + 2), scale, size, sampling, aligned)
        y0, step_y, rows = _axis(tl.load(box + 1), tl.load(box + 3), scale, size, sampling, aligned)
        channel = tl.program_id(2) * block + tl.arange(0, block)
        known = channel < channels
        first = tl.load(images + region) * height
        y0 += tl.program_id(1) * step_y
        share = 1 / tl.maximum(rows * columns, 1).to(tl.float32)
        for across in range(size):
            own = out + ((region * size + tl.program_id(1)) * size + across) * channels + channel
            total = tl.load(own, known & back, 0.0).to(tl.float32) * share
            for row in range(rows):
                low_y, high_y, part_y, inside_y = _neighbours(y0 + (row + 0.5) * step_y / rows, height)
                for column in range(columns):
                    at_x = x0 + across * step_x + (column + 0.5) * step_x / columns
                    low_x, high_x, part_x, inside_x = _neighbours(at_x, width)
                    inside = channel < tl.where(inside_y & inside_x, channels, 0)
                    upper = x + (first + low_y) * width * channels + channel
                    lower = x + (first + high_y) * width * channels + channel
                    left, right = low_x * channels, high_x * channels
                    if back:
                        tl.atomic_add(upper + left, total * (1 - part_y) * (1 - part_x), inside)
                        tl.atomic_add(upper + right, total * (1 - part_y) * part_x, inside)
                        tl.atomic_add(lower + left, total * part_y * (1 - part_x), inside)
                        tl.atomic_add(lower + right, total * part_y * part_x, inside)
                    else:
                        above = tl.load(upper + left, inside, 0.0).to(tl.float32) * (1 - part_x)
                        above += tl.load(upper + right, inside, 0.0).to(tl.float32) * part_x
                        below = tl.load(lower + left, inside, 0.0).to(tl.float32) * (1 - part_x)
                        below += tl.load(lower + right, inside, 0.0).to(tl.float32) * part_x
                        total += above * (1 - part_y) + below * part_y
            if not back:
                tl.store(own, total * share, known)


def _launch(x_NHWC: Tensor, where: Regions, out_RSSC: Tensor, level: int, how: Pooling, back: bool) -> None:
    """Writes the part of `out` that is pooled from this level; with `back`, adds the gradient of `x` up."""
    _, height, width, channels = x_NHWC.shape
    block = min(power_of_2(channels), 256)
    grid = len(out_RSSC), how.size, blocks_of(channels, block)
    if out_RSSC.numel():
        sizes = level, 1 / how.strides[level], height, width, channels
        options: Any = {"size": how.size, "sampling": how.sampling, "aligned": how.aligned, "block": block}
        launch(_pool, grid, x_NHWC, *where, out_RSSC, *sizes, back=back, **options)


class RoIAlign(torch.autograd.Function):
    """(R, C, S, S), channels last and in the maps' dtype: the features of regions, from L maps (N, C, H, W).

    Gradients are added up in float32, in no fixed order.
    """

    @staticmethod
    def forward(ctx: Any, where: Regions, how: Pooling, *maps: Tensor) -> Tensor:
        where = Regions(where.boxes_R4.float().contiguous(), where.image_R.contiguous(), where.level_R.contiguous())
        ctx.save_for_backward(*where)
        ctx.how, ctx.shapes = how, [x.permute(0, 2, 3, 1).shape for x in maps]
        out_RSSC = maps[0].new_zeros(len(where.boxes_R4), how.size, how.size, maps[0].shape[1])
        for level, x in enumerate(maps):
            _launch(x.permute(0, 2, 3, 1).contiguous(), where, out_RSSC, level, how, back=False)
        return out_RSSC.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        where = Regions(*ctx.saved_tensors)
        grad_RSSC = grad_outputs[0].permute(0, 2, 3, 1).contiguous()
        grads = []
        for level, shape in enumerate(ctx.shapes):
            grad_NHWC = grad_RSSC.new_zeros(shape, dtype=torch.float32)
            _launch(grad_NHWC, where, grad_RSSC, level, ctx.how, back=True)
            grads.append(grad_NHWC.to(grad_RSSC.dtype).permute(0, 3, 1, 2))
        return None, None, *grads
