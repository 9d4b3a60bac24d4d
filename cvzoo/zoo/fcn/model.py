"""FCN: Fully Convolutional Networks for Semantic Segmentation (Long et al., 1411.4038), on a dilated ResNet.

Convolutions all the way: the classifier becomes a 1x1 convolution over the last map. Dilation keeps that map at a
stride of 8, where the paper fuses finer maps.

Shape suffixes: N images, K classes, H W pixels or cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from cvzoo.fields import Count, Natural, Needs, Share
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.parts.semantic.head import DILATED, UNPADDED, AuxiliaryConfig, ConvHead
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.parts.semantic.segmenter import Segmenter
from cvzoo.structures import AnswerKind


@dataclass(frozen=True, kw_only=True)
class FCNConfig:
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
    convs: Natural = 2
    """3x3 convolutions of the head; torchvision has one."""
    concat: bool = True
    """Another convolution merges their output with C5; torchvision has none."""
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
        head = ConvHead(
            backbone.channels[3],
            self.channels,
            self.num_classes,
            convs=self.convs,
            concat=self.concat,
            norm=self.norm,
            norm_groups=self.norm_groups,
            dropout=self.dropout,
        )
        return Segmenter(self, backbone, head)
