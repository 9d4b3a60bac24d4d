"""PSPNet: Pyramid Scene Parsing Network (Zhao et al., 1612.01105).

What a pixel is depends on the scene: a boat is likelier than a car on a river. The last map of a dilated ResNet is put
beside its own averages over ever larger regions, up to the whole image.

Shape suffixes: N images, K classes, H W pixels or cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn

from cvzoo.fields import Count, Needs, Share
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.context import Fuse, PyramidPooling
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.parts.semantic.head import DILATED, UNPADDED, AuxiliaryConfig, Classifier
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.parts.semantic.segmenter import Segmenter
from cvzoo.structures import AnswerKind


@dataclass(frozen=True, kw_only=True)
class PSPNetConfig:
    """Hyper-parameters; the defaults are mmsegmentation's."""

    answer: ClassVar[AnswerKind] = "label_maps"

    num_classes: Count = 19
    """Classes the network scores."""
    backbone: BodyConfig = DILATED
    """The network that turns an image into feature maps, C2 to C5."""
    pixels: Pixels = UNPADDED
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    channels: Count = 512
    """Channels of each level of the pyramid, and of the convolution that fuses them."""
    bins: tuple[Count, ...] = (1, 2, 3, 6)
    """Regions along each side of the map, level by level."""
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
        return Segmenter(self, backbone, PSPHead(self, backbone.channels[3]))


class PSPHead(nn.Module):
    """C5 beside its averages, fused and classified."""

    def __init__(self, config: PSPNetConfig, in_channels: int) -> None:
        super().__init__()
        c = config
        self.align_corners = c.align_corners
        after: dict[str, Any] = {"norm": c.norm, "norm_groups": c.norm_groups}
        self.pyramid = PyramidPooling(in_channels, c.channels, c.bins, **after)
        self.fuse = Fuse(in_channels + len(c.bins) * c.channels, c.channels, relu=True, **after)
        self.classifier = Classifier(c.channels, c.num_classes, c.dropout)

    def forward(self, features: list[Tensor]) -> Tensor:
        c5 = features[-1]
        return self.classifier(self.fuse(c5, self.pyramid(c5), self.align_corners))
