"""FCN: Fully Convolutional Networks for Semantic Segmentation (Long et al., 1411.4038), on a dilated ResNet.

Convolutions all the way: the classifier becomes a 1x1 convolution over the last map. Dilation keeps that map at a
stride of 8, where the paper fuses finer maps.

Shape suffixes: N images, K classes, H W pixels or cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cvzoo.models.semantic.head import DILATED, UNPADDED, AuxiliaryConfig, FCNHead
from cvzoo.models.semantic.pixels import PixelLossConfig
from cvzoo.models.semantic.segmenter import Segmenter
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig


@dataclass(frozen=True, kw_only=True)
class FCNConfig:
    """Hyper-parameters; the defaults are mmsegmentation's."""

    num_classes: int = 19
    """Classes the network scores."""
    backbone: ResNetConfig | TimmConfig = DILATED
    """The body."""
    pixels: Pixels = UNPADDED
    """Pixel statistics of the backbone's weights."""
    channels: int = 512
    """Of the head's convolutions."""
    convs: int = 2
    """3x3 convolutions of the head; torchvision has one."""
    concat: bool = True
    """Another convolution merges their output with C5; torchvision has none."""
    norm: Norm = "batch"
    """Of the heads."""
    dropout: float = 0.1
    """Share of the channels that are dropped before the classifier."""
    align_corners: bool = False
    """Resize so that the centres of corner cells stay in place (mmsegmentation's 769x769 crops)."""
    aux: AuxiliaryConfig | None = field(default_factory=AuxiliaryConfig)
    """The auxiliary head; None without."""
    loss: PixelLossConfig = field(default_factory=PixelLossConfig)
    """Cross-entropy of the pixels."""

    def build(self) -> Segmenter:
        backbone = self.backbone.build()
        options = {"convs": self.convs, "concat": self.concat, "norm": self.norm, "dropout": self.dropout}
        return Segmenter(self, backbone, FCNHead(backbone.channels[3], self.channels, self.num_classes, **options))
