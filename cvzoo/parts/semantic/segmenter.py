"""What all systems of semantic segmentation are: a body, and a head that scores the classes of its cells.

The head is what a system invented; the file of the system has it. Shape suffixes: N images, H W pixels or cells.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cvzoo.models.semantic.head import FCNHead, SemanticOutput
from cvzoo.models.semantic.pixels import SemanticConfig, decode, semantic_losses
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.structures import Batch, Segmentation, Size, Target, size_of


class Segmenter(nn.Module):
    """The whole network; see the model protocol in docs/models.md."""

    def __init__(self, config: SemanticConfig, backbone: Any, head: nn.Module) -> None:
        """`backbone` has the attribute `channels`, of C2 to C5; `head` makes logits of [C2, C3, C4, C5]."""
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.head = head
        self.aux_head = None
        if config.aux is not None:
            c4, aux = backbone.channels[2], config.aux
            self.aux_head = FCNHead(c4, aux.channels, config.num_classes, norm=config.norm, dropout=aux.dropout)

    def raw(self, images_N3HW: Tensor) -> SemanticOutput:
        """Logits for normalised, padded images: a pure tensor function."""
        features = self.backbone(images_N3HW)
        aux = self.aux_head(features[:3]) if self.training and self.aux_head is not None else None
        return SemanticOutput(self.head(features), aux)

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
