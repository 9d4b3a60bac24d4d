"""All levels of a pyramid in one map (1901.02446, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from cvzoo.nn.layers import Norm
from cvzoo.nn.winograd import WinogradConv
from cvzoo.ops.resize import resize
from cvzoo.structures import size_of


class PyramidMerge(nn.Module):
    """Levels, each convolved and doubled until it is as fine as the finest one; their sum through a 1x1 convolution."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        out_channels: int,
        doublings: Sequence[int],
        *,
        norm: Norm | None = None,
        norm_groups: int = 32,
    ) -> None:
        """`doublings` says of each level how often it is doubled; before each time, or once without, it is convolved
        to `channels`."""
        super().__init__()
        after: dict[str, Any] = {"norm": norm, "norm_groups": norm_groups, "relu": True}
        self.doublings = tuple(doublings)
        self.levels = nn.ModuleList(
            nn.ModuleList(WinogradConv(channels if i else in_channels, channels, **after) for i in range(max(count, 1)))
            for count in doublings
        )
        self.out = nn.Conv2d(channels, out_channels, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(N, out_channels, H, W), as high and wide as the finest of the maps, which come finest first."""
        merged = None
        for convs, count, x in zip(self.levels, self.doublings, maps, strict=True):
            assert isinstance(convs, nn.ModuleList)
            for conv in convs:
                x = conv(x)
                if count:
                    x = resize(x, (2 * x.shape[2], 2 * x.shape[3]))
            x = resize(x, size_of(maps[0]))  # an odd map has been doubled once too often
            merged = x if merged is None else merged + x
        assert merged is not None
        return self.out(merged)
