"""From aligned to natural masks of sliding windows (TensorMask, 1903.12174, sections 4.3 and 4.4).

In the aligned representation the V x U channels of a cell are what the V x U windows that cover the cell say of it; in
the natural one they are the mask of the cell's own window. The swap also makes masks `scale` times finer and windows
`scale` times sparser, by linear interpolation along all four axes:

    y' = scale * y + v - V'/2 + 1/2,   v' = (v + 1/2) / scale - 1/2   for v in 0..V' - 1 with V' = scale * V

and likewise along x and u. Whatever lies outside, along any axis, is the constant `pad`.
What is asked for are the masks of some cells, so that a loss or a detector pays for the windows that it reads.
On CUDA a Triton kernel does the same (`swap_align2nat_triton.py`).
Shape suffixes: N images, V = U sides of a mask, C = V * U channels, H W cells, P windows, S = V' side of their masks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cvzoo.ops.kernels import triton_kernels

CHUNK = 1 << 18
"""So many pixels of masks are computed at a time, which bounds the memory that indices need."""


def swap_align2nat(x_NCHW: Tensor, scale: int, pad: float = -6.0) -> Tensor:
    """(N, C * scale^2, ceil(H / scale), ceil(W / scale)): the natural masks of all windows, rows of a mask slowest."""
    grid = (len(x_NCHW), *(-(-side // scale) for side in x_NCHW.shape[2:]))
    steps = [torch.arange(length, device=x_NCHW.device) for length in grid]
    image_P, row_P, column_P = (place.flatten() for place in torch.meshgrid(*steps, indexing="ij"))
    masks_PSS = swap_align2nat_at(x_NCHW, image_P, row_P, column_P, scale, pad)
    return masks_PSS.view(*grid, -1).permute(0, 3, 1, 2)


def swap_align2nat_at(
    x_NCHW: Tensor, image_P: Tensor, row_P: Tensor, column_P: Tensor, scale: int, pad: float = -6.0
) -> Tensor:
    """(P, S, S): the natural masks of P windows, given by image and by cell of the map that is `scale` times coarser.

    Computed in float32 or better. Gradients flow to `x_NCHW`, once.
    """
    if math.isqrt(x_NCHW.shape[1]) ** 2 != x_NCHW.shape[1]:
        raise ValueError(f"the channels of aligned masks are those of a square window, not {x_NCHW.shape[1]}")
    places_3P = torch.stack([image_P, row_P, column_P])
    if torch.compiler.is_exporting():  # a graph cannot loop over chunks of which it does not know the number
        return _masks_of_all(x_NCHW, places_3P, scale, pad)
    return _Swap.apply(x_NCHW, places_3P, scale, pad)  # type: ignore[return-value]


class _Corner(NamedTuple):
    """What one of an axis' corners contributes: a channel and a cell of the aligned map."""

    index_PS: Tensor
    """Where it lies in a flat (N, H, W, C) map, as far as this axis goes."""
    weight_PS: Tensor
    """0 where it lies outside."""


class _Axis(NamedTuple):
    """Channels and cells along y or along x."""

    side: int
    length: int
    channel_stride: int
    cell_stride: int


def _corners(cell_P: Tensor, axis: _Axis, scale: int, dtype: torch.dtype) -> list[_Corner]:
    """The corners along one axis of the masks: one channel or two, times one cell or two."""
    side = axis.side * scale
    step_S = torch.arange(side, device=cell_P.device, dtype=cell_P.dtype)
    # 2 * scale times the channel, and twice the cell, are whole numbers: nothing is lost by rounding
    channels = _neighbours(2 * step_S + 1 - scale, 2 * scale, scale == 1, dtype)
    cells = _neighbours(2 * (scale * cell_P[:, None] + step_S) - side + 1, 2, side % 2 == 1, dtype)
    found = []
    for channel_S, channel_weight_S in channels:
        for cell_PS, cell_weight_PS in cells:
            inside_PS = _inside(channel_S, axis.side) & _inside(cell_PS, axis.length)
            channel_index_S = channel_S.clamp(0, axis.side - 1) * axis.channel_stride
            index_PS = channel_index_S + cell_PS.clamp(0, axis.length - 1) * axis.cell_stride
            found.append(_Corner(index_PS, channel_weight_S * cell_weight_PS * inside_PS))
    return found


def _neighbours(place: Tensor, unit: int, whole: bool, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """The whole numbers on both sides of `place / unit` and their weights; the lower ones alone if all are `whole`."""
    low = place.div(unit, rounding_mode="floor")
    share = (place - low * unit).to(dtype) / unit
    return [(low, 1 - share)] if whole else [(low, 1 - share), (low + 1, share)]


def _inside(place: Tensor, length: int) -> Tensor:
    return (place >= 0) & (place < length)


class _Windows(NamedTuple):
    """Some of the windows, and their corners along y and along x."""

    rows: slice
    down: list[_Corner]
    across: list[_Corner]


def _chunks(size: torch.Size, places_3P: Tensor, scale: int, dtype: torch.dtype) -> Iterator[_Windows]:
    """The windows, some at a time."""
    chunk = max(CHUNK // (math.isqrt(size[1]) * scale) ** 2, 1)
    integer = torch.int32 if size.numel() < 2**31 else torch.int64  # half the memory of indices
    for start in range(0, places_3P.shape[1], chunk):
        rows = slice(start, start + chunk)
        yield _Windows(rows, *_down_and_across(size, places_3P[:, rows].to(integer), scale, dtype))


def _down_and_across(
    size: torch.Size, places_3P: Tensor, scale: int, dtype: torch.dtype
) -> tuple[list[_Corner], list[_Corner]]:
    """Windows' corners along y, counted from the first image's first cell, and along x."""
    _, channels, height, width = size
    side = math.isqrt(channels)
    y, x = _Axis(side, height, side, width * channels), _Axis(side, width, 1, channels)
    image_P, row_P, column_P = places_3P
    first_P1 = (image_P * channels * height * width).unsqueeze(1)
    down = [corner._replace(index_PS=corner.index_PS + first_P1) for corner in _corners(row_P, y, scale, dtype)]
    return down, _corners(column_P, x, scale, dtype)


def _masks_of_all(x_NCHW: Tensor, places_3P: Tensor, scale: int, pad: float) -> Tensor:
    """(P, S, S): all masks at once."""
    dtype = torch.promote_types(x_NCHW.dtype, torch.float32)
    out_PSS = _padding(x_NCHW, places_3P, scale, pad, dtype)
    flat_X = x_NCHW.permute(0, 2, 3, 1).reshape(-1)
    _write(out_PSS, flat_X, *_down_and_across(x_NCHW.shape, places_3P, scale, dtype), pad)
    return out_PSS


def _padding(x_NCHW: Tensor, places_3P: Tensor, scale: int, pad: float, dtype: torch.dtype) -> Tensor:
    """(P, S, S): masks of which nothing is known yet."""
    side = math.isqrt(x_NCHW.shape[1]) * scale
    return x_NCHW.new_full((places_3P.shape[1], side, side), pad, dtype=dtype)


def _write(out_PSS: Tensor, flat_X: Tensor, down: list[_Corner], across: list[_Corner], pad: float) -> None:
    """What the flat map says of the masks, over the padding."""
    out_PSS.addcmul_(_covered(down).unsqueeze(2), _covered(across).unsqueeze(1), value=-pad)
    for v in down:
        line_PSS = torch.zeros_like(out_PSS)
        for u in across:
            values = flat_X.index_select(0, _index(v, u)).view_as(line_PSS)
            line_PSS.addcmul_(values.to(out_PSS.dtype), u.weight_PS.unsqueeze(1))
        out_PSS.addcmul_(line_PSS, v.weight_PS.unsqueeze(2))


def _index(down: _Corner, across: _Corner) -> Tensor:
    """(P * S * S,): where a pair of corners lies in the flat map."""
    return (down.index_PS.unsqueeze(2) + across.index_PS.unsqueeze(1)).flatten()


def _covered(corners: list[_Corner]) -> Tensor:
    """(P, S): the weight that is not the pad's."""
    return torch.stack([corner.weight_PS for corner in corners]).sum(dim=0)


class _Swap(torch.autograd.Function):
    """`swap_align2nat_at` and its adjoint. Keeps nothing but the windows' places; indices are computed again."""

    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, places_3P: Tensor, scale: int, pad: float) -> Tensor:
        ctx.save_for_backward(places_3P)
        ctx.size, ctx.scale, ctx.dtype = x_NCHW.shape, scale, x_NCHW.dtype
        dtype = torch.promote_types(x_NCHW.dtype, torch.float32)
        side = math.isqrt(x_NCHW.shape[1])
        if (kernels := triton_kernels("swap_align2nat", x_NCHW)) is not None:
            return kernels.forward(x_NCHW.permute(0, 2, 3, 1), places_3P, side, scale, pad)
        flat_X = x_NCHW.permute(0, 2, 3, 1).reshape(-1)
        out_PSS = _padding(x_NCHW, places_3P, scale, pad, dtype)
        for rows, down, across in _chunks(x_NCHW.shape, places_3P, scale, dtype):
            _write(out_PSS[rows], flat_X, down, across, pad)
        return out_PSS

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None, None, None]:
        (places_3P,) = ctx.saved_tensors
        grad_PSS = grad_outputs[0]
        images, channels, height, width = ctx.size
        if (kernels := triton_kernels("swap_align2nat", grad_PSS)) is not None:
            sizes = (images, height, width), math.isqrt(channels), ctx.scale
            grad_NHWC = kernels.backward(grad_PSS, places_3P, *sizes)
        else:
            grad_NHWC = grad_PSS.new_zeros(images, height, width, channels)
            for rows, down, across in _chunks(ctx.size, places_3P, ctx.scale, grad_PSS.dtype):
                for v in down:
                    line_PSS = grad_PSS[rows] * v.weight_PS.unsqueeze(2)
                    for u in across:
                        values = (line_PSS * u.weight_PS.unsqueeze(1)).flatten()
                        grad_NHWC.view(-1).index_add_(0, _index(v, u), values)
        return grad_NHWC.permute(0, 3, 1, 2).to(ctx.dtype), None, None, None
