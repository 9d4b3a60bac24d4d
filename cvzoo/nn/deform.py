"""Deformable convolution (1703.06211): a 3x3 kernel whose taps are moved by offsets that depend on the cell.

Shape suffixes: N images, C channels, O output channels, T = 9 taps, H W cells, R = N * H * W.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import deform_conv2d


def deform_convs(maps: list[Tensor], offsets_NDHW: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """3x3 deformable convolutions of several (N, C, H, W) maps with the same offsets, stride 1 and padding 1.

    Args:
        offsets_NDHW: (N, 18, H, W), y before x for each tap, in cells.
        weights: an (O, C, 3, 3) kernel for each map.
    """
    if offsets_NDHW.device.type != "cpu":
        return [deform_conv2d(x, offsets_NDHW.to(x.dtype), w.to(x.dtype), padding=1) for x, w in zip(maps, weights)]
    cell, share = _taps(offsets_NDHW)
    return [_convolve(x, cell, share, weight) for x, weight in zip(maps, weights)]


def _convolve(x_NCHW: Tensor, cell: Tensor, share: Tensor, weight_OCTT: Tensor) -> Tensor:
    """The taps as weighted sums of rows of a table, many times faster than torchvision's kernel on a CPU."""
    batch, channels, height, width = x_NCHW.shape
    rows_RC = x_NCHW.permute(0, 2, 3, 1).reshape(-1, channels)
    taps = F.embedding_bag(cell, rows_RC, mode="sum", per_sample_weights=share.to(rows_RC.dtype))
    kernel = weight_OCTT.permute(0, 2, 3, 1).flatten(1)
    out_RO = F.linear(taps.view(-1, kernel.shape[1]), kernel)
    return out_RO.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _taps(offsets_NDHW: Tensor) -> tuple[Tensor, Tensor]:
    """(R * T, 4): the cells around each tap, as rows of the table of all cells, and how much of each it takes."""
    batch, _, height, width = offsets_NDHW.shape
    device = offsets_NDHW.device
    offsets_NHWT2 = offsets_NDHW.float().permute(0, 2, 3, 1).unflatten(-1, (9, 2))
    reach = torch.arange(-1, 2, device=device)
    tap_T2 = torch.cartesian_prod(reach, reach)
    start_HW12 = torch.stack(
        torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"), dim=-1
    ).unsqueeze(2)
    place = offsets_NHWT2 + (start_HW12 + tap_T2)
    low = place.detach().floor()
    fraction_y, fraction_x = (place - low).unbind(-1)
    low_y, low_x = low.long().unbind(-1)
    first_N111 = (torch.arange(batch, device=device) * (height * width)).view(-1, 1, 1, 1)
    cells, shares = [], []
    for y, share_y in ((low_y, 1 - fraction_y), (low_y + 1, fraction_y)):
        for x, share_x in ((low_x, 1 - fraction_x), (low_x + 1, fraction_x)):
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            cells.append(first_N111 + y.clamp(0, height - 1) * width + x.clamp(0, width - 1))
            shares.append(share_y * share_x * inside)
    return torch.stack(cells, dim=-1).flatten(0, 3), torch.stack(shares, dim=-1).flatten(0, 3)
