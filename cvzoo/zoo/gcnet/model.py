"""GCNet: Global Context Networks for semantic segmentation (Cao et al., 1904.11492, 2012.13375).

Non-local networks let every cell look at all others, and find that all of them look at the same ones. One weighted mean
of the whole map, transformed and added to every cell, does as well. The same block in the body of a Mask R-CNN
is `ResNetConfig.context_ratio`.

Shape suffixes: N images, K classes, H W pixels or cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from cvzoo.fields import Count, Needs, Positive, Share
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.context import ContextBlock
from cvzoo.nn.layers import ConvNorm, Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.parts.semantic.head import DILATED, UNPADDED, AuxiliaryConfig, Classifier
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.parts.semantic.segmenter import Segmenter
from cvzoo.structures import AnswerKind


@dataclass(frozen=True, kw_only=True)
class GCNetConfig:
    """Hyper-parameters; the defaults are mmsegmentation's."""

    answer: ClassVar[AnswerKind] = "label_maps"

    num_classes: Count = 19
    """Classes the network scores."""
    backbone: BodyConfig = DILATED
    """The network that turns an image into feature maps, C2 to C5."""
    pixels: Pixels = UNPADDED
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    channels: Count = 512
    """Channels of the head's convolutions."""
    ratio: Positive = 0.25
    """The context block narrows to this share of the channels."""
    norm: Norm = "batch"
    """Norm of the heads."""
    norm_groups: Annotated[Count, Needs("norm=group")] = 32
    """Groups of the heads' group norms; must divide the channels of each convolution."""
    dropout: Share = 0.1
    """Share of the channels that are dropped before the classifier."""
    align_corners: bool = False
    """Resize so that the centres of corner cells stay in place (mmsegmentation's 769x769 crops)."""
    aux: AuxiliaryConfig | None = field(default_factory=AuxiliaryConfig)
    """The auxiliary head; None without."""
    loss: PixelLossConfig = field(default_factory=PixelLossConfig)
    """Cross-entropy of the pixels."""

    def build(self) -> Segmenter:
        backbone = self.backbone.build()
        return Segmenter(self, backbone, GCHead(self, backbone.channels[3]))


class GCHead(nn.Module):
    """A context block between two convolutions of C5, merged with it and classified."""

    def __init__(self, config: GCNetConfig, in_channels: int) -> None:
        super().__init__()
        c = config
        after: dict[str, Any] = {"norm": c.norm, "norm_groups": c.norm_groups, "relu": True}
        self.before = ConvNorm(in_channels, c.channels, **after)
        self.context = ContextBlock(c.channels, c.ratio)
        self.after = ConvNorm(c.channels, c.channels, **after)
        self.merge = ConvNorm(in_channels + c.channels, c.channels, **after)
        self.classifier = Classifier(c.channels, c.num_classes, c.dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        c5 = features[-1]
        x = self.after(self.context(self.before(c5)))
        return self.classifier(self.merge(torch.cat([c5, x], dim=1)))
