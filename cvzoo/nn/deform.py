"""Deformable convolution: a convolution whose taps are moved by offsets that depend on the cell.

DCN (1703.06211); DCNv2 (1811.11168) weights the taps, too. Each of several deformable groups of channels can have
offsets and weights of its own.

Shape suffixes: N images, C channels, H W cells of the output, K L rows and columns of the kernel, T = K * L taps,
G deformable groups, S = G * T, D = 2 * S.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from cvzoo.structures import size_of

Deform = Literal["v1", "v2"]
"""`v1` moves the taps of a kernel, `v2` weights them, too."""

Pair = tuple[int, int]
"""Of rows, of columns."""


class DeformConv(nn.Conv2d):
    """A convolution that computes its offsets, and with `v2` its weights of taps, from its own input."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = False,
        kind: Deform = "v2",
    ) -> None:
        """Without a `padding` it is `same`. A second convolution, of the same shape, computes the offsets.

        Raises: ValueError when the input's channels do not divide into the groups.
        """
        if in_channels % deform_groups:
            raise ValueError(
                f"{in_channels} channels cannot be divided into {deform_groups} deformable groups; set deform-groups"
                f" to a divisor of {in_channels}"
            )
        padding = kernel // 2 * dilation if padding is None else padding
        super().__init__(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=bias)
        self.deform_groups = deform_groups
        self.moves = 2 * deform_groups * kernel**2
        shares = self.moves // 2 if kind == "v2" else 0
        self.offset = nn.Conv2d(in_channels, self.moves + shares, kernel, stride, padding, dilation)
        start_plain(self)

    def forward(self, input: Tensor, dilation: int | None = None) -> Tensor:
        """`dilation` overrides the convolution's own, with `same` padding."""
        field = dilated(self.offset, input, dilation)
        offsets = field[:, : self.moves]
        share = field[:, self.moves :]
        (out,) = deform_convs(
            [input],
            offsets,
            [self.weight],
            share_NSHW=share.sigmoid() if share.shape[1] else None,
            stride=self.stride,
            padding=_padding(self, dilation),
            dilation=self.dilation if dilation is None else dilation,
            groups=self.groups,
            deform_groups=self.deform_groups,
        )
        return out if self.bias is None else out + self.bias[:, None, None]


def dilated(conv: nn.Conv2d, x: Tensor, dilation: int | None) -> Tensor:
    """The convolution of x; `dilation` overrides the convolution's own, with `same` padding."""
    if dilation is None:
        return conv(x)
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, _padding(conv, dilation), dilation, conv.groups)


def _padding(conv: nn.Conv2d, dilation: int | None) -> Sequence[int]:
    if dilation is not None:
        return [side // 2 * dilation for side in conv.kernel_size]
    assert not isinstance(conv.padding, str)
    return conv.padding


def start_plain(module: nn.Module) -> None:
    """Let all deformable convolutions in a module begin without offsets, and with half of every tap where `v2`."""
    for layer in module.modules():
        if isinstance(layer, DeformConv):
            nn.init.zeros_(layer.offset.weight)
            nn.init.zeros_(layer.offset.get_parameter("bias"))


class _Shape(NamedTuple):
    """How a kernel lies on a map, in cells."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    deform_groups: int

    def taps(self, height: int, width: int, device: torch.device) -> Tensor:
        """(H, W, T, 2): row and column of each tap of each cell of the output, before it is moved."""
        places = []
        for cells, kernel, stride, padding, dilation in zip((height, width), *self[:4]):
            start = torch.arange(cells, device=device) * stride - padding
            places.append(start[:, None] + torch.arange(kernel, device=device) * dilation)
        y_HK, x_WL = places
        return torch.stack(torch.broadcast_tensors(y_HK[:, None, :, None], x_WL[None, :, None, :]), -1).flatten(2, 3)


def deform_convs(
    maps: list[Tensor],
    offsets_NDHW: Tensor,
    weights: list[Tensor],
    *,
    share_NSHW: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | None = None,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> list[Tensor]:
    """Deformable convolutions of several (N, C, ...) maps with the same offsets; torchvision's `deform_conv2d`.

    Args:
        offsets_NDHW: y before x for each tap, in cells of the maps; the deformable groups one after the other.
        weights: an (O, C / groups, K, L) kernel for each map.
        share_NSHW: how much each tap counts (DCNv2); None is 1.
        padding: None is `same`.
        groups: of the convolutions' channels.
        deform_groups: groups of a map's channels that have offsets of their own.
    """
    rows, columns = size_of(weights[0])
    spread = _pair(dilation)
    same = (rows // 2 * spread[0], columns // 2 * spread[1])
    shape = _Shape((rows, columns), _pair(stride), same if padding is None else _pair(padding), spread, deform_groups)
    assert offsets_NDHW.shape[1] == 2 * deform_groups * rows * columns
    assert all(x.shape[1] == groups * weight.shape[1] for x, weight in zip(maps, weights, strict=True))
    if offsets_NDHW.device.type != "cpu" or torch.compiler.is_exporting():
        return [_kernel(x, weight, offsets_NDHW, share_NSHW, shape) for x, weight in zip(maps, weights)]
    cell, part = _corners(offsets_NDHW, size_of(maps[0]), shape, share_NSHW)
    out = size_of(offsets_NDHW)
    return [_convolve(x, cell, part, weight, out, groups, deform_groups) for x, weight in zip(maps, weights)]


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, int):
        return value, value
    y, x = value
    return y, x


def _kernel(x: Tensor, weight: Tensor, offsets: Tensor, share: Tensor | None, shape: _Shape) -> Tensor:
    """torchvision's, in float32 or better: an offset in bfloat16 is off by parts of a cell."""
    wide = torch.promote_types(x.dtype, torch.float32)
    share = None if share is None else share.to(wide)
    stride, padding, dilation = shape.stride, shape.padding, shape.dilation
    out = deform_conv2d(x.to(wide), offsets.to(wide), weight.to(wide), None, stride, padding, dilation, share)
    return out.to(x.dtype)


def _convolve(
    x: Tensor, cell: Tensor, part: Tensor, weight: Tensor, out: Pair, groups: int, deform_groups: int
) -> Tensor:
    """The taps as weighted sums of rows of a table, many times faster than torchvision's kernel on a CPU."""
    batch, channels = x.shape[:2]
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels // deform_groups)
    taps = F.embedding_bag(cell, rows, mode="sum", per_sample_weights=part.to(rows.dtype))
    # tap after tap, in each group of the convolution: the order of its 1x1 kernel
    taps = taps.view(batch, *out, -1, groups, channels // groups).transpose(3, 4).flatten(3)
    # as a 1x1 convolution, which runs several times faster than the same matrix product here
    kernel = weight.permute(0, 2, 3, 1).flatten(1)[:, :, None, None]
    return F.conv2d(taps.permute(0, 3, 1, 2), kernel, groups=groups)


def _corners(offsets_NDHW: Tensor, size: Pair, shape: _Shape, share_NSHW: Tensor | None) -> tuple[Tensor, Tensor]:
    """(N * H * W * T * G, 4): the cells around each tap, as rows of a table, and the part each one has.

    The table has a row for every deformable group of channels of every cell of a map of `size`; what lies outside the
    map is zero.
    """
    groups = shape.deform_groups
    (rows, columns) = size
    device = offsets_NDHW.device
    offsets_NHWTG2 = _by_tap(offsets_NDHW, groups, 2)
    place = offsets_NHWTG2 + shape.taps(*size_of(offsets_NDHW), device).unsqueeze(3)
    low = place.detach().floor()
    fraction_y, fraction_x = (place - low).unbind(-1)
    low_y, low_x = low.long().unbind(-1)
    first_N1111 = (torch.arange(len(offsets_NDHW), device=device) * (rows * columns)).view(-1, 1, 1, 1, 1)
    group_G = torch.arange(groups, device=device)
    cells, parts = [], []
    for y, part_y in ((low_y, 1 - fraction_y), (low_y + 1, fraction_y)):
        for x, part_x in ((low_x, 1 - fraction_x), (low_x + 1, fraction_x)):
            inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
            cell = first_N1111 + y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)
            cells.append(cell * groups + group_G)
            parts.append(part_y * part_x * inside)
    cell, part = torch.stack(cells, dim=-1), torch.stack(parts, dim=-1)
    if share_NSHW is not None:
        part = part * _by_tap(share_NSHW, groups, 1)
    return cell.flatten(0, 4), part.flatten(0, 4)


def _by_tap(field: Tensor, groups: int, numbers: int) -> Tensor:
    """(N, G * T * numbers, H, W) to float32 (N, H, W, T, G, numbers)."""
    return field.float().permute(0, 2, 3, 1).unflatten(-1, (groups, -1, numbers)).transpose(3, 4)
