"""What lets a cell of a feature map know its surroundings: pooled regions, dilated convolutions, the whole image.

Shape suffixes: N images, C channels, H W cells, P = H * W, Q those of every second row and column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.nn.layers import ConvNorm, Norm
from cvzoo.ops.pool import halved
from cvzoo.ops.resize import resize
from cvzoo.structures import Size, size_of


class Fuse(ConvNorm):
    """ConvNorm of a map beside tiny ones, each resized to its size, that are never resized.

    Resizing and convolving are linear: what the convolution makes of a tiny map is a sum over its cells, each of which
    weighs the same wherever its values are. That costs a hundredth of convolving thousands of copies of few cells.
    """

    def forward(self, x: Tensor, tiny: Sequence[Tensor] = (), align_corners: bool = False) -> Tensor:
        """What the base class makes of cat([x, *resized tiny]); `tiny` are (N, C, h, w)."""
        conv = self.conv
        weight, *tiny_weights = conv.weight.split([part.shape[1] for part in (x, *tiny)], dim=1)
        y = F.conv2d(x, weight, conv.bias, padding=conv.padding)
        if tiny:
            shares_PR = torch.cat([_shares(part, size_of(x), size_of(weight), align_corners) for part in tiny], dim=1)
            sums = [torch.einsum("nihw,oikl->nhwklo", *pair).flatten(1, 4) for pair in zip(tiny, tiny_weights)]
            y += (shares_PR @ torch.cat(sums, dim=1)).transpose(1, 2).unflatten(2, size_of(x))
        return self.norm_and_relu(y)


def _shares(tiny: Tensor, size: Size, kernel: Size, align_corners: bool) -> Tensor:
    """(P, h * w * kernel) of each cell of `tiny`, resized to `size`, in what every offset of the kernel sees."""
    height, width = size_of(tiny)
    units = torch.eye(height * width, dtype=tiny.dtype, device=tiny.device).view(1, height * width, height, width)
    return F.unfold(resize(units, size, align_corners), kernel, padding=kernel[0] // 2)[0].t()


class PyramidPooling(nn.Module):
    """Averages of the map over coarse grids: of 1x1, 2x2, 3x3 and 6x6 regions in 1612.01105."""

    def __init__(
        self, in_channels: int, channels: int, bins: tuple[int, ...], *, norm: Norm, norm_groups: int = 32
    ) -> None:
        """Every average has `channels`."""
        super().__init__()
        self.bins = bins
        after: dict[str, Any] = {"norm": norm, "norm_groups": norm_groups, "relu": True}
        self.branches = nn.ModuleList(ConvNorm(in_channels, channels, 1, **after) for _ in bins)

    def forward(self, x_NCHW: Tensor) -> list[Tensor]:
        """(N, channels, b, b) of each level b."""
        if torch.compiler.is_exporting():
            averages_by_level = averages(x_NCHW, self.bins)
        else:
            averages_by_level = [F.adaptive_avg_pool2d(x_NCHW, bins) for bins in self.bins]
        return [branch(own) for own, branch in zip(averages_by_level, self.branches)]


def averages(x_NCHW: Tensor, levels: Sequence[int]) -> list[Tensor]:
    """What `F.adaptive_avg_pool2d` gives for so many bins, as one product.

    The exporter to ONNX writes that one for the size that was traced, whatever comes.
    """
    cells_BP = []
    for bins in levels:
        rows_BH, columns_BW = (_shares_of_bins(side, bins, x_NCHW) for side in size_of(x_NCHW))
        cells_BP.append((rows_BH[:, None, :, None] * columns_BW[:, None]).flatten(2).flatten(0, 1))
    found_NCB = x_NCHW.flatten(2) @ torch.cat(cells_BP).T
    squares = found_NCB.split([bins * bins for bins in levels], dim=2)
    return [own.unflatten(2, (bins, bins)) for own, bins in zip(squares, levels)]


def _shares_of_bins(side: int, bins: int, like: Tensor) -> Tensor:
    """(bins, side): what each cell along an axis counts in the average of each bin; bins may share a cell."""
    bin_B1 = torch.arange(bins, device=like.device)[:, None]
    first_B1, end_B1 = bin_B1 * side // bins, (bin_B1 * side + side + bins - 1) // bins
    cell_H = torch.arange(side, device=like.device)
    return (((cell_H >= first_B1) & (cell_H < end_B1)) / (end_B1 - first_B1)).to(like.dtype)


class AtrousDepthwise(ConvNorm):
    """A dilated 3x3 convolution of each channel, with norm and ReLU.

    On the CPU it runs as a plain convolution of each of the d x d maps of every d-th cell, some channels at a time.
    The values are the same; oneDNN's dilated depthwise kernels take up to ten times as long.
    """

    AT_ONCE = 256
    """Channels whose rearranged cells stay in the cache."""

    def __init__(self, channels: int, dilation: int, norm: Norm, *, norm_groups: int = 32) -> None:
        after: dict[str, Any] = {"norm": norm, "norm_groups": norm_groups, "relu": True}
        super().__init__(channels, channels, dilation=dilation, groups=channels, **after)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        if x.device.type != "cpu" or torch.compiler.is_exporting():
            return super().forward(x)
        parts = [self._conv(x, slice(i, i + self.AT_ONCE)) for i in range(0, x.shape[1], self.AT_ONCE)]
        return self.norm_and_relu(torch.cat(parts, dim=1))

    def _conv(self, x: Tensor, part: slice) -> Tensor:
        conv = self.conv
        d = self.conv.dilation[0]
        (height, width) = size_of(x)
        weight = conv.weight[part]
        bias = None if conv.bias is None else conv.bias[part]
        x = F.pad(x[:, part].permute(0, 2, 3, 1), (0, 0, 0, -width % d, 0, -height % d))
        cells = x.unflatten(2, (-1, d)).unflatten(1, (-1, d)).permute(0, 2, 4, 1, 3, 5)  # N d d h w C
        y = F.conv2d(cells.flatten(0, 2).permute(0, 3, 1, 2), weight, bias, padding=1, groups=len(weight))
        cells = y.permute(0, 2, 3, 1).unflatten(0, (-1, d, d)).permute(0, 3, 1, 4, 2, 5)  # N h d w d C
        return cells.flatten(3, 4).flatten(1, 2)[:, :height, :width].permute(0, 3, 1, 2)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: one cell, 3x3 cells at several dilations, all cells; fused (1706.05587, 3.3)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dilations: tuple[int, ...],
        *,
        norm: Norm,
        norm_groups: int = 32,
        separable_convs: bool = False,
        pool_norm: bool = True,
        pool_window: Size | None = None,
        fuse_kernel: Literal[1, 3] = 1,
        fuse_norm: bool = True,
        dropout: float = 0.0,
        align_corners: bool = False,
    ) -> None:
        """All branches and the output have `channels`.

        Args:
            pool_norm: a norm in the pooling branch; a bias otherwise.
            pool_window: the pooling branch averages over windows of so many cells; None is the whole map.
            fuse_norm: a norm in the fusing convolution; else it has neither norm nor bias.
            dropout: share of the output's values that are dropped in training.
        """
        super().__init__()
        self.pool_window, self.align_corners = pool_window, align_corners
        after: dict[str, Any] = {"norm": norm, "norm_groups": norm_groups, "relu": True}
        self.point = ConvNorm(in_channels, channels, 1, **after)
        self.atrous = nn.ModuleList()
        for d in dilations:
            if separable_convs:
                point = ConvNorm(in_channels, channels, 1, **after)
                self.atrous.append(nn.Sequential(AtrousDepthwise(in_channels, d, norm, norm_groups=norm_groups), point))
            else:
                self.atrous.append(ConvNorm(in_channels, channels, dilation=d, **after))
        after_pool: dict[str, Any] = after | {"norm": norm if pool_norm else None}
        self.pooled = ConvNorm(in_channels, channels, 1, **after_pool)
        after_fuse: dict[str, Any] = after if fuse_norm else {"relu": True, "bias": False}
        self.fuse = Fuse((len(dilations) + 2) * channels, channels, fuse_kernel, **after_fuse)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        parts = [self.point(x_NCHW), *(conv(x_NCHW) for conv in self.atrous)]
        pooled = self.pooled(self._average(x_NCHW))
        if self.pool_window is None:
            x = self.fuse(torch.cat(parts, dim=1), [pooled])
        else:
            x = self.fuse(torch.cat([*parts, resize(pooled, size_of(x_NCHW), self.align_corners)], dim=1))
        return self.dropout(x)

    def _average(self, x_NCHW: Tensor) -> Tensor:
        if self.pool_window is None:
            return x_NCHW.mean(dim=(2, 3), keepdim=True)
        height, width = size_of(x_NCHW)
        window = min(self.pool_window[0], height), min(self.pool_window[1], width)
        return F.avg_pool2d(x_NCHW, window, stride=1)


class ContextBlock(nn.Module):
    """Global context: a weighted mean of all cells, transformed and added to each of them (1904.11492, figure 4d).

    It starts as the identity.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        """The transform narrows to `ratio` of the channels."""
        super().__init__()
        hidden = int(channels * ratio + 1e-6)  # cut off as the reference does, but for rounding errors of a read ratio
        self.attention = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.LayerNorm([hidden, 1, 1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
        )
        self.start_as_identity()

    def start_as_identity(self) -> None:
        nn.init.kaiming_normal_(self.attention.weight)
        last = self.transform[-1]
        assert isinstance(last, nn.Conv2d)
        for parameter in (self.attention.bias, last.weight, last.bias):
            nn.init.zeros_(parameter)  # type: ignore[arg-type]

    def forward(self, x_NCHW: Tensor) -> Tensor:
        share_NP = self.attention(x_NCHW).flatten(1).softmax(dim=1)
        mean_NC1 = x_NCHW.flatten(2) @ share_NP.unsqueeze(2).to(x_NCHW.dtype)
        return x_NCHW + self.transform(mean_NC1.unsqueeze(3))


class NonLocal(nn.Module):
    """Every cell adds a mean of all cells, weighted by how alike they are (1711.07971, embedded Gaussian, figure 2).

    Only every second row and column is looked at (section 3.3). It starts as the identity.
    """

    def __init__(self, channels: int, *, norm_groups: int = 32) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.query, self.key, self.value = (nn.Conv2d(channels, hidden, 1) for _ in range(3))
        self.out = ConvNorm(hidden, channels, 1, norm="group", norm_groups=norm_groups, bias=True)
        assert isinstance(self.out.norm, nn.GroupNorm)
        nn.init.zeros_(self.out.norm.weight)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        maps = self.query(x_NCHW), halved(self.key(x_NCHW), 2), halved(self.value(x_NCHW), 2)
        query_NPC, key_NQC, value_NQC = (cells.flatten(2).transpose(1, 2) for cells in maps)
        seen_NPC = F.scaled_dot_product_attention(query_NPC, key_NQC, value_NQC, scale=1.0)
        return x_NCHW + self.out(seen_NPC.transpose(1, 2).unflatten(2, size_of(x_NCHW)))
