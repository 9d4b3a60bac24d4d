"""What reads a map of features cell by cell: scores of the classes, sizes, offsets."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Branch(nn.Module):
    """A 3x3 convolution, ReLU, and a 1x1 convolution to so many numbers of each cell; neither has a norm."""

    def __init__(self, in_channels: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.out = nn.Conv2d(channels, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.relu(self.conv(x), inplace=True))
