"""Four maps from the one map of a plain transformer: ViTDet's simple feature pyramid (2203.16527, section 3).

A pyramid network after it takes each map through its own 1x1 and 3x3 convolution, as the paper does; ours adds its way
from the coarse maps to the fine ones, which the paper found to change nothing.
"""

from __future__ import annotations

from collections import OrderedDict

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn


class PlainPyramid(nn.Module):
    """(N, C, H/16, W/16) to maps at strides 4, 8, 16 and 32 of C/4, C/2, C and C channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.channels = (quarter, half, channels, channels)
        self.stride4 = nn.Sequential(
            OrderedDict(
                up1=nn.ConvTranspose2d(channels, half, 2, stride=2),
                norm=LayerNorm2d(half),
                act=nn.GELU(),
                up2=nn.ConvTranspose2d(half, quarter, 2, stride=2),
            )
        )
        self.stride8 = nn.ConvTranspose2d(channels, half, 2, stride=2)
        self.stride32 = nn.MaxPool2d(2)

    def forward(self, x_NChw: Tensor) -> list[Tensor]:
        return [self.stride4(x_NChw), self.stride8(x_NChw), x_NChw, self.stride32(x_NChw)]
