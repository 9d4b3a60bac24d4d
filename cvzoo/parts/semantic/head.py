"""What ends a semantic segmentation network: the classifier, and a small convolutional head (1411.4038).

Shape suffixes: N images, C channels, K classes, H W cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cvzoo.fields import Count, NotNegative, Share
from cvzoo.nn.layers import ConvNorm, Norm
from cvzoo.nn.pixels import IMAGENET
from cvzoo.nn.resnet import ResNetConfig

DILATED = ResNetConfig(deep_stem=True, output_stride=8, norm="batch", frozen_stages=0)
"""The usual body: mmsegmentation's `r50-d8`, all of it trained."""
UNPADDED = replace(IMAGENET, divisor=1)
"""Any size is a canvas: what padding there is reaches every cell through averages over the whole map."""


class SemanticOutput(NamedTuple):
    """Raw outputs, as fine as the features they come from."""

    logits: Tensor
    """(N, K, H, W)."""
    aux: Tensor | None
    """(N, K, H, W) of the auxiliary head; None in inference, and of a model without one."""


@dataclass(frozen=True, kw_only=True)
class AuxiliaryConfig:
    """A second head, on C4, that only helps to train the body (1612.01105, section 3.3)."""

    channels: Count = 256
    """Channels of the auxiliary head's one convolution."""
    dropout: Share = 0.1
    """Share of the auxiliary head's channels that are dropped in training."""
    loss_weight: NotNegative = 0.4
    """Weight of the auxiliary head's loss."""


class Classifier(nn.Module):
    """A score per class for every cell; in training some channels are dropped first."""

    def __init__(self, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.conv = nn.Conv2d(channels, classes, 1)
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.zeros_(self.conv.get_parameter("bias"))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.conv(self.dropout(x_NCHW))


class ConvHead(nn.Module):
    """3x3 convolutions of the last map and the classifier; with `concat` another one sees their input and output."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        *,
        convs: int = 1,
        concat: bool = False,
        norm: Norm = "batch",
        norm_groups: int = 32,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        after: dict[str, Any] = {"norm": norm, "norm_groups": norm_groups, "relu": True}
        sources = [in_channels] + [channels] * (convs - 1)
        self.convs = nn.Sequential(*(ConvNorm(source, channels, **after) for source in sources))
        self.merge = ConvNorm(in_channels + channels, channels, **after) if concat else None
        self.classifier = Classifier(channels, classes, dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        x_NCHW = features[-1]
        y = self.convs(x_NCHW)
        if self.merge is not None:
            y = self.merge(torch.cat([x_NCHW, y], dim=1))
        return self.classifier(y)
