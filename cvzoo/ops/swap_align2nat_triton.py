"""The swap of `swap_align2nat.py` on CUDA: a thread for each pixel of a mask, which reads its corners itself.

Shape suffixes: N images, H W cells, C channels, P windows, S side of their masks.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from cvzoo.ops.launch_triton import blocks_of, launch

BLOCK = 256


@triton.jit
def _share(share, up: tl.constexpr):
    """The weight of the upper or the lower neighbour of a place."""
    return share if up else 1 - share


@triton.jit
def _swap(
    x, places, out, pixels, windows, height, width, pad, side: tl.constexpr, scale: tl.constexpr, back: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Adds up the corners of each pixel; with `back`, hands the gradient `out` of a pixel to its corners in `x`."""
    fine: tl.constexpr = side * scale
    pixel = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    is_pixel = pixel < pixels
    window, v, u = pixel // (fine * fine), pixel // fine % fine, pixel % fine
    image = tl.load(places + window, is_pixel, 0)
    row = tl.load(places + windows + window, is_pixel, 0)
    column = tl.load(places + 2 * windows + window, is_pixel, 0)
    # twice the cell and 2 * scale times the channel are whole numbers; the latter is made positive to round down
    unit: tl.constexpr = 2 * scale
    y2, x2 = 2 * (scale * row + v) - fine + 1, 2 * (scale * column + u) - fine + 1
    v2, u2 = 2 * v + 1 + scale, 2 * u + 1 + scale
    upstream = tl.load(out + pixel, is_pixel & back, 0.0)
    share_y, share_x = (y2 & 1).to(upstream.dtype) / 2, (x2 & 1).to(upstream.dtype) / 2
    share_v, share_u = (v2 % unit).to(upstream.dtype) / unit, (u2 % unit).to(upstream.dtype) / unit
    total = tl.full((block,), 0.0, upstream.dtype)
    for corner in tl.static_range(16):  # pyright: ignore[reportGeneralTypeIssues]
        cell_y, cell_x = (y2 >> 1) + corner % 2, (x2 >> 1) + corner // 2 % 2
        channel_v, channel_u = v2 // unit - 1 + corner // 4 % 2, u2 // unit - 1 + corner // 8
        inside = is_pixel & (cell_y >= 0) & (cell_y < height) & (cell_x >= 0) & (cell_x < width)
        inside = inside & (channel_v >= 0) & (channel_v < side) & (channel_u >= 0) & (channel_u < side)
        weight = _share(share_y, corner % 2) * _share(share_x, corner // 2 % 2)
        weight = weight * _share(share_v, corner // 4 % 2) * _share(share_u, corner // 8)
        index = ((image * height + cell_y) * width + cell_x) * (side * side) + channel_v * side + channel_u
        if back:
            tl.atomic_add(x + index, weight * upstream, inside & (weight > 0))
        else:
            value = tl.load(x + index, inside, pad).to(upstream.dtype)
            total += weight * (value - pad)
    if not back:
        tl.store(out + pixel, total + pad, is_pixel)


def _launch(x_NHWC: Tensor, places_3P: Tensor, out_PSS: Tensor, side: int, scale: int, pad: float, back: bool) -> None:
    if not out_PSS.numel():
        return
    _, height, width, _ = x_NHWC.shape
    sizes = out_PSS.numel(), places_3P.shape[1], height, width
    grid = (blocks_of(out_PSS.numel(), BLOCK),)
    constants = {"side": side, "scale": scale, "back": back, "block": BLOCK}
    launch(_swap, grid, x_NHWC, places_3P.contiguous(), out_PSS, *sizes, pad, **constants)


def forward(x_NHWC: Tensor, places_3P: Tensor, side: int, scale: int, pad: float) -> Tensor:
    """(P, S, S): the natural masks of windows, in float32 or better."""
    dtype = torch.promote_types(x_NHWC.dtype, torch.float32)
    out_PSS = x_NHWC.new_empty(places_3P.shape[1], side * scale, side * scale, dtype=dtype)
    _launch(x_NHWC.contiguous(), places_3P, out_PSS, side, scale, pad, back=False)
    return out_PSS


def backward(grad_PSS: Tensor, places_3P: Tensor, size: tuple[int, int, int], side: int, scale: int) -> Tensor:
    """(N, H, W, C): the gradient of the aligned masks of N images of H x W cells."""
    grad_NHWC = grad_PSS.new_zeros(*size, side * side)
    _launch(grad_NHWC, places_3P, grad_PSS.contiguous(), side, scale, 0.0, back=True)
    return grad_NHWC
