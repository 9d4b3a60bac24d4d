"""DeepLab v3+: Encoder-Decoder with Atrous Separable Convolution (Chen et al., 1802.02611), and v3 (1706.05587).

Atrous spatial pyramid pooling looks around each cell at several dilations at once. v3 classifies what comes out;
v3+ first brings it to stride 4, beside low-level features that know where the edges are.

Shape suffixes: N images, K classes, H W pixels or cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from cvzoo.fields import Count, Natural, Needs, Share
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.context import ASPP
from cvzoo.nn.layers import ConvNorm, Norm, separable
from cvzoo.nn.pixels import Pixels
from cvzoo.ops.resize import resize
from cvzoo.parts.semantic.head import DILATED, UNPADDED, AuxiliaryConfig, Classifier
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.parts.semantic.segmenter import Segmenter
from cvzoo.structures import AnswerKind, size_of


@dataclass(frozen=True, kw_only=True)
class DeepLabV3PlusConfig:
    """Hyper-parameters; the defaults are mmsegmentation's."""

    answer: ClassVar[AnswerKind] = "label_maps"

    num_classes: Count = 19
    """Classes the network scores."""
    backbone: BodyConfig = DILATED
    """The network that turns an image into feature maps, C2 to C5."""
    pixels: Pixels = UNPADDED
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    channels: Count = 512
    """Channels of the decoder, and of ASPP unless that has its own; detectron2 and torchvision have 256."""
    aspp_channels: Count | None = None
    """Channels of ASPP's branches and of its output; None: as many as the decoder's."""
    dilations: tuple[Count, ...] = (12, 24, 36)
    """Dilations of ASPP's 3x3 convolutions; half of these at output stride 16."""
    separable: bool = True
    """The convolutions of ASPP (3x3) and decoder are depthwise ones followed by 1x1 (v3: not)."""
    fuse_kernel: Literal[1, 3] = 3
    """Side of the convolution that fuses ASPP's branches; 1 in the paper, detectron2 and torchvision."""
    pool_norm: bool = True
    """ASPP's pooling branch has a norm; detectron2's has a bias instead."""
    pool_window: tuple[Count, Count] | None = None
    """Cells that ASPP's pooling branch averages (detectron2: those of the training crop); None is the whole map."""
    aspp_dropout: Share = 0.0
    """Share of ASPP's outputs that are dropped (detectron2: 0.1, torchvision: 0.5)."""
    low_channels: Natural = 48
    """Channels of the low-level features, C2, in the decoder; 0 is v3, without them."""
    low_first: bool = False
    """The decoder sees the low-level features before ASPP's output (detectron2) instead of after it."""
    decoder_convs: Natural = 2
    """Convolutions of the decoder, before the classifier (v3: 0, torchvision's and detectron2's separable: 1)."""
    decoder_kernel: Literal[3, 5] = 3
    """Side of the decoder's convolutions; 5 in detectron2 where they are separable."""
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
        return Segmenter(self, backbone, DeepLabHead(self, backbone.channels))


class DeepLabHead(nn.Module):
    """ASPP on C5, and the decoder that brings it to C2."""

    def __init__(self, config: DeepLabV3PlusConfig, channels: tuple[int, ...]) -> None:
        """`channels` of C2 to C5."""
        super().__init__()
        c = config
        self.align_corners = c.align_corners
        self.low_first = c.low_first
        after: dict[str, Any] = {"norm": c.norm, "norm_groups": c.norm_groups}
        self.aspp = ASPP(
            channels[3],
            c.aspp_channels or c.channels,
            c.dilations,
            **after,
            separable_convs=c.separable,
            pool_norm=c.pool_norm,
            pool_window=c.pool_window,
            fuse_kernel=c.fuse_kernel,
            dropout=c.aspp_dropout,
            align_corners=c.align_corners,
        )
        self.low = ConvNorm(channels[0], c.low_channels, 1, relu=True, **after) if c.low_channels else None
        self.decoder = nn.Sequential()
        widths = [(c.aspp_channels or c.channels) + c.low_channels, *[c.channels] * c.decoder_convs]
        for source, width in pairwise(widths):
            if c.separable:
                self.decoder.append(separable(source, width, c.decoder_kernel, **after))
            else:
                self.decoder.append(ConvNorm(source, width, c.decoder_kernel, relu=True, **after))
        self.classifier = Classifier(widths[-1], c.num_classes, c.dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        c2 = features[0]
        c5 = features[-1]
        x = self.aspp(c5)
        if self.low is not None:
            parts = [resize(x, size_of(c2), self.align_corners), self.low(c2)]
            x = torch.cat(parts[::-1] if self.low_first else parts, dim=1)
        return self.classifier(self.decoder(x))
