"""PSPNet: Pyramid Scene Parsing Network (Zhao et al., 1612.01105).

What a pixel is depends on the scene: a boat is likelier than a car on a river. The last map of a dilated ResNet is put
beside its own averages over ever larger regions, up to the whole picture.

Shape suffixes: N images, K classes, H W pixels or cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cvzoo.models.semantic.head import (
    DILATED,
    UNPADDED,
    AuxiliaryConfig,
    Classifier,
    SemanticOutput,
    auxiliary_head,
)
from cvzoo.models.semantic.pixels import PixelLossConfig, decode, semantic_losses
from cvzoo.nn.context import Fuse, PyramidPooling
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.structures import Batch, Segmentation, Size, Target, size_of


@dataclass(frozen=True, kw_only=True)
class PSPNetConfig:
    """Hyper-parameters; the defaults are mmsegmentation's."""

    num_classes: int = 19
    """Classes the network scores."""
    backbone: ResNetConfig | TimmConfig = DILATED
    """The body."""
    pixels: Pixels = UNPADDED
    """Pixel statistics of the backbone's weights."""
    channels: int = 512
    """Of each level of the pyramid, and of the convolution that fuses them."""
    bins: tuple[int, ...] = (1, 2, 3, 6)
    """Regions along each side of the map, level by level."""
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

    def build(self) -> PSPNet:
        return PSPNet(self)


class PSPNet(nn.Module):
    """The whole network; see the model protocol in docs/models.md."""

    def __init__(self, config: PSPNetConfig) -> None:
        super().__init__()
        self.config = c = config
        self.backbone = c.backbone.build()
        _, _, c4, c5 = self.backbone.channels
        self.pyramid = PyramidPooling(c5, c.channels, c.bins, norm=c.norm)
        self.fuse = Fuse(c5 + len(c.bins) * c.channels, c.channels, norm=c.norm, relu=True)
        self.classifier = Classifier(c.channels, c.num_classes, c.dropout)
        self.aux_head = auxiliary_head(c.aux, c4, c.num_classes, c.norm)

    def raw(self, images_N3HW: Tensor) -> SemanticOutput:
        """Logits for normalised, padded images: a pure tensor function."""
        _, _, c4, c5 = self.backbone(images_N3HW)
        aux = self.aux_head(c4) if self.training and self.aux_head is not None else None
        x = self.fuse(c5, self.pyramid(c5), self.config.align_corners)
        return SemanticOutput(self.classifier(x), aux)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.losses(self.raw(images), batch.targets, size_of(images))

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Segmentation]:
        images = self.config.pixels(batch.images, batch.sizes)
        return self.decode(self.raw(images), batch.sizes, batch.original_sizes, size_of(images))

    def losses(self, raw: SemanticOutput, targets: list[Target], canvas: Size) -> dict[str, Tensor]:
        """`loss_seg` of the head, `loss_aux` of the auxiliary one."""
        return semantic_losses(raw, targets, canvas, self.config)

    def decode(
        self, raw: SemanticOutput, sizes: list[Size], original_sizes: list[Size], canvas: Size
    ) -> list[Segmentation]:
        """The label map of each image in original pixels."""
        return decode(raw, sizes, original_sizes, canvas, self.config)

    def for_inference(self) -> nn.Module:
        """An equal, faster model that cannot be trained."""
        return optimise_for_inference(self)
