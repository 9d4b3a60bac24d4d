"""FCN: Fully Convolutional Networks for Semantic Segmentation (Long et al., 1411.4038), on a dilated ResNet.

Convolutions all the way: the classifier becomes a 1x1 convolution over the last map. Dilation keeps that map at a
stride of 8, where the paper fuses finer maps.

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
    FCNHead,
    SemanticOutput,
    auxiliary_head,
)
from cvzoo.models.semantic.pixels import PixelLossConfig, decode, semantic_losses
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.structures import Batch, Segmentation, Size, Target, size_of


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

    def build(self) -> FCN:
        return FCN(self)


class FCN(nn.Module):
    """The whole network; see the model protocol in docs/models.md."""

    def __init__(self, config: FCNConfig) -> None:
        super().__init__()
        self.config = c = config
        self.backbone = c.backbone.build()
        _, _, c4, c5 = self.backbone.channels
        options = {"convs": c.convs, "concat": c.concat, "norm": c.norm, "dropout": c.dropout}
        self.head = FCNHead(c5, c.channels, c.num_classes, **options)
        self.aux_head = auxiliary_head(c.aux, c4, c.num_classes, c.norm)

    def raw(self, images_N3HW: Tensor) -> SemanticOutput:
        """Logits for normalised, padded images: a pure tensor function."""
        _, _, c4, c5 = self.backbone(images_N3HW)
        aux = self.aux_head(c4) if self.training and self.aux_head is not None else None
        return SemanticOutput(self.head(c5), aux)

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
