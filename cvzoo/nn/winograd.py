"""3x3 convolutions on a CPU with a quarter of the multiplications (1509.09308, F(4x4, 3x3)).

They pay for large maps of many channels, or for many small ones.
A tile of 6 x 6 cells gives 4 x 4 outputs. Seen in another basis (that of polynomials' values at 0, 1, -1, 2, -2 and
infinity) tile and kernel are multiplied number by number: 36 products for each pair of channels instead of 144.
Shape suffixes: N images, T tiles, C channels in, O channels out, 36 numbers of a tile, V of them in the other basis.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import conv_flop_count, register_flop_formula

from cvzoo.nn.layers import ConvNorm
from cvzoo.ops.transfer import on_device

INPUT = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
KERNEL = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
OUTPUT = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)
"""The changes of basis along one axis."""
AT_ONCE = 128
"""Tiles that are worked on while their numbers stay in the cache."""
CHANNELS, TILES = 256, 256
"""With fewer of them there is nothing to gain: the kernel must be brought to the other basis, too."""


class WinogradConv(ConvNorm):
    """ConvNorm of 3x3, fast on a CPU in single precision where it pays, and else the usual convolution."""

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        if torch.compiler.is_compiling() or not _pays(x, conv):
            return super().forward(x)
        y = Winograd.apply(x, conv.weight)
        assert isinstance(y, Tensor)
        return self.norm_and_relu(y if conv.bias is None else y + conv.bias[:, None, None])


def _pays(x: Tensor, conv: nn.Conv2d) -> bool:
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    simple = conv.kernel_size == (3, 3) and conv.stride == conv.dilation == conv.padding == (1, 1) and conv.groups == 1
    tiles = len(x) * -(-x.shape[2] // 4) * -(-x.shape[3] // 4)
    return plain and simple and min(conv.in_channels, conv.out_channels) >= CHANNELS and tiles >= TILES


class Winograd(torch.autograd.Function):
    """(N, C, H, W) and a kernel (O, C, 3, 3) to (N, O, H, W), padded by one cell of 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolution(x, weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        (grad,) = grad_outputs
        needs_x, needs_weight = ctx.needs_input_grad
        grad_x = _convolved(grad, _kernel(weight.flip(2, 3))) if needs_x else None
        return grad_x, _weight_gradient(x, grad) if needs_weight else None


@torch.library.custom_op("cvzoo::winograd", mutates_args=())
def _convolution(x_NCHW: Tensor, weight_OC33: Tensor) -> Tensor:
    """An operation of its own, whose FLOPs are counted as those of every convolution, not its fewer products."""
    return _convolved(x_NCHW, _kernel(weight_OC33).transpose(1, 2))


@register_flop_formula(torch.ops.cvzoo.winograd)
def _flops(x_NCHW: list[int], weight_OC33: list[int], *, out_shape: list[int], **_: Any) -> int:
    return conv_flop_count(x_NCHW, weight_OC33, out_shape)


def _kernel(weight_OC33: Tensor) -> Tensor:
    """(36, O, C)."""
    weight_9M = weight_OC33.permute(2, 3, 0, 1).reshape(9, -1)
    return (_basis(KERNEL, weight_9M) @ weight_9M).view(36, *weight_OC33.shape[:2])


def _convolved(x_NCHW: Tensor, kernel_VCO: Tensor) -> Tensor:
    back, y_NHWO = _basis(OUTPUT, x_NCHW), x_NCHW.new_empty(*_tiled(x_NCHW), kernel_VCO.shape[2])
    cells = _cells(y_NHWO)
    for part, x_VTC in _tiles(x_NCHW):
        y_16M = back @ torch.bmm(x_VTC, kernel_VCO).view(36, -1)
        cells[part] = y_16M.view(cells[part].shape)
    return y_NHWO[:, : x_NCHW.shape[2], : x_NCHW.shape[3]].permute(0, 3, 1, 2)


def _weight_gradient(x_NCHW: Tensor, grad_NOHW: Tensor) -> Tensor:
    back = _basis(OUTPUT, grad_NOHW).T
    height, width = _tiled(x_NCHW)[1:]
    grad_NHWO = F.pad(
        grad_NOHW.permute(0, 2, 3, 1), (0, 0, 0, width - grad_NOHW.shape[3], 0, height - grad_NOHW.shape[2])
    )
    cells = _cells(grad_NHWO)
    sum_VOC = x_NCHW.new_zeros(36, grad_NOHW.shape[1], x_NCHW.shape[1])
    for part, x_VTC in _tiles(x_NCHW):
        grad_VTO = (back @ cells[part].reshape(16, -1)).view(36, -1, grad_NOHW.shape[1])
        sum_VOC.baddbmm_(grad_VTO.transpose(1, 2), x_VTC)
    weight_9M = _basis(KERNEL, sum_VOC).T @ sum_VOC.view(36, -1)
    return weight_9M.view(3, 3, *sum_VOC.shape[1:]).permute(2, 3, 0, 1)


def _tiles(x_NCHW: Tensor) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
    """Some at a time: where they are in `_cells`, and their numbers (36, T, C) in the other basis."""
    images, height, width = _tiled(x_NCHW)
    padding = (0, 0, 1, width + 1 - x_NCHW.shape[3], 1, height + 1 - x_NCHW.shape[2])
    tiles = F.pad(x_NCHW.permute(0, 2, 3, 1), padding).unfold(1, 6, 4).unfold(2, 6, 4).permute(4, 5, 0, 1, 2, 3)
    rows, columns = height // 4, width // 4
    images_at_once, rows_at_once = max(AT_ONCE // (rows * columns), 1), max(AT_ONCE // columns, 1)
    forth = _basis(INPUT, x_NCHW)
    for image, row in product(range(0, images, images_at_once), range(0, rows, rows_at_once)):
        part = slice(None), slice(None), slice(image, image + images_at_once), slice(row, row + rows_at_once)
        yield part, (forth @ tiles[part].reshape(36, -1)).view(36, -1, x_NCHW.shape[1])


def _tiled(x_NCHW: Tensor) -> tuple[int, int, int]:
    """Images, height and width of whole tiles."""
    return len(x_NCHW), -(-x_NCHW.shape[2] // 4) * 4, -(-x_NCHW.shape[3] // 4) * 4


def _cells(y_NHWO: Tensor) -> Tensor:
    """(4, 4, N, H / 4, W / 4, O): a view of the tiles' cells, each kind of cell by itself."""
    return y_NHWO.unflatten(2, (-1, 4)).unflatten(1, (-1, 4)).permute(2, 4, 0, 1, 3, 5)


def _basis(axis: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    """The change of basis along both axes."""
    matrix = on_device(axis, like.device, like.dtype)
    return torch.kron(matrix, matrix)
