"""What all systems of semantic segmentation are: a body, and a head that scores the classes of its cells.

The head is what a system invented; the file of the system has it. Shape suffixes: N images, H W pixels or cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cvzoo.nn.bodies import Body
from cvzoo.nn.model import Model
from cvzoo.parts.semantic.head import ConvHead, SemanticOutput
from cvzoo.parts.semantic.logits import SemanticConfig, label_maps_of, label_maps_on_canvas, semantic_losses
from cvzoo.structures import Batch, LabelMaps, Segmentation, Size, Target, size_of


class Segmenter(Model):
    """The whole network; see the model protocol in docs/models.md."""

    def __init__(self, config: SemanticConfig, backbone: Body, head: nn.Module) -> None:
        """`head` makes logits of [C2, C3, C4, C5]."""
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.head = head
        self.aux_head = None
        if config.aux is not None:
            self.aux_head = ConvHead(
                backbone.channels[2],
                config.aux.channels,
                config.num_classes,
                norm=config.norm,
                norm_groups=config.norm_groups,
                dropout=config.aux.dropout,
            )

    def raw(self, images_N3HW: Tensor) -> SemanticOutput:
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

    def infer(self, images_N3HW: Tensor, sizes_N2: Tensor) -> LabelMaps:
        images_N3HW = self.config.pixels.in_graph(images_N3HW, sizes_N2)
        return label_maps_on_canvas(self.raw(images_N3HW), sizes_N2, size_of(images_N3HW), self.config)

    def losses(self, raw: SemanticOutput, targets: list[Target], canvas: Size) -> dict[str, Tensor]:
        """`loss_seg` of the head, `loss_aux` of the auxiliary one."""
        return semantic_losses(raw, targets, canvas, self.config)

    def decode(
        self, raw: SemanticOutput, sizes: list[Size], original_sizes: list[Size], canvas: Size
    ) -> list[Segmentation]:
        """The label map of each image in original pixels."""
        return label_maps_of(raw, sizes, original_sizes, canvas, self.config)
