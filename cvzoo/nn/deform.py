"""Deformable convolution: a 3x3 kernel whose taps are moved by offsets that depend on the cell.

DCN (1703.06211); DCNv2 (1811.11168) weights the taps, too.

Shape suffixes: N images, C channels, O output channels, T = 9 taps, D = 2 * T, H W cells of the output.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

TAPS = 9
Deform = Literal["v1", "v2"]
"""`v1` moves the taps of a kernel, `v2` weights them, too."""


class DeformConv(nn.Conv2d):
    """A 3x3 convolution that computes its offsets, and with `v2` its weights of taps, from its own input."""

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, bias: bool = False, kind: Deform = "v2"
    ) -> None:
        super().__init__(in_channels, out_channels, 3, stride, padding=1, bias=bias)
        self.offset = nn.Conv2d(in_channels, (3 if kind == "v2" else 2) * TAPS, 3, stride, padding=1)
        start_plain(self)

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        field = self.offset(x)
        offsets, share = field[:, : 2 * TAPS], field[:, 2 * TAPS :]
        share = share.sigmoid() if share.shape[1] else None
        (out,) = deform_convs([x], offsets, [self.weight], self.stride[0], share)
        return out if self.bias is None else out + self.bias[:, None, None]


def start_plain(module: nn.Module) -> None:
    """Let all deformable convolutions in a module begin without offsets, and with half of every tap where `v2`."""
    for layer in module.modules():
        if isinstance(layer, DeformConv):
            nn.init.zeros_(layer.offset.weight)
            nn.init.zeros_(layer.offset.bias)  # type: ignore[arg-type]


def deform_convs(
    maps: list[Tensor],
    offsets_NDHW: Tensor,
    weights: list[Tensor],
    stride: int = 1,
    share_NTHW: Tensor | None = None,
) -> list[Tensor]:
    """3x3 deformable convolutions of several (N, C, ...) maps with the same offsets, padding 1.

    Args:
        offsets_NDHW: y before x for each tap, in cells of the maps.
        weights: an (O, C, 3, 3) kernel for each map.
        share_NTHW: how much each tap counts (DCNv2); None is 1.
    """
    if offsets_NDHW.device.type != "cpu":
        taps = offsets_NDHW, share_NTHW
        return [_kernel(x, weight, stride, *taps) for x, weight in zip(maps, weights)]
    cell, part = _taps(offsets_NDHW, maps[0].shape[2], maps[0].shape[3], stride, share_NTHW)
    height, width = offsets_NDHW.shape[2:]
    return [_convolve(x, cell, part, weight, height, width) for x, weight in zip(maps, weights)]


def _kernel(x: Tensor, weight: Tensor, stride: int, offsets: Tensor, share: Tensor | None) -> Tensor:
    """torchvision's, in the map's precision."""
    share = None if share is None else share.to(x.dtype)
    return deform_conv2d(
        x, offsets.to(x.dtype), weight.to(x.dtype), stride=(stride, stride), padding=(1, 1), mask=share
    )


def _convolve(x: Tensor, cell: Tensor, part: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """The taps as weighted sums of rows of a table, many times faster than torchvision's kernel on a CPU."""
    rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    taps = F.embedding_bag(cell, rows, mode="sum", per_sample_weights=part.to(rows.dtype))
    # as a 1x1 convolution, which runs several times faster than the same matrix product here
    kernel = weight.permute(0, 2, 3, 1).flatten(1)[:, :, None, None]
    return F.conv2d(taps.view(len(x), height, width, -1).permute(0, 3, 1, 2), kernel)


def _taps(
    offsets_NDHW: Tensor, rows: int, columns: int, stride: int, share_NTHW: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(N * H * W * T, 4): the cells around each tap, as rows of the table of all cells, and the part each one has.

    The maps have `rows` and `columns`; what lies outside them is zero.
    """
    batch, _, height, width = offsets_NDHW.shape
    device = offsets_NDHW.device
    offsets_NHWT2 = offsets_NDHW.float().permute(0, 2, 3, 1).unflatten(-1, (TAPS, 2))
    reach = torch.arange(-1, 2, device=device)
    grid = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    start_HWT2 = (torch.stack(grid, dim=-1) * stride).unsqueeze(2) + torch.cartesian_prod(reach, reach)
    place = offsets_NHWT2 + start_HWT2
    low = place.detach().floor()
    fraction_y, fraction_x = (place - low).unbind(-1)
    low_y, low_x = low.long().unbind(-1)
    first_N111 = (torch.arange(batch, device=device) * (rows * columns)).view(-1, 1, 1, 1)
    cells, parts = [], []
    for y, part_y in ((low_y, 1 - fraction_y), (low_y + 1, fraction_y)):
        for x, part_x in ((low_x, 1 - fraction_x), (low_x + 1, fraction_x)):
            inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
            cells.append(first_N111 + y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1))
            parts.append(part_y * part_x * inside)
    cell, part = torch.stack(cells, dim=-1), torch.stack(parts, dim=-1)
    if share_NTHW is not None:
        part = part * share_NTHW.float().permute(0, 2, 3, 1).unsqueeze(-1)
    return cell.flatten(0, 3), part.flatten(0, 3)
