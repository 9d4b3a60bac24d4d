"""Faster R-CNN with a feature pyramid (Ren et al., 1506.01497; Lin et al., 1612.03144).

Backbone and pyramid; a region proposal network finds about a thousand boxes that may hold an object; a box head pools
the features under each and says which class it is and where exactly it lies. The two stages are in `rcnn/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cvzoo.models.rcnn.box_head import BoxHead, BoxHeadConfig, BoxOutput
from cvzoo.models.rcnn.rpn import RPN, RPNConfig, RPNOutput
from cvzoo.nn.fpn import FPN, FPNConfig
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import roi_pool
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.structures import Batch, Prediction, size_of


@dataclass(frozen=True, kw_only=True)
class FasterRCNNConfig:
    """Hyper-parameters; the defaults are detectron2's with torchvision's ResNet-50."""

    num_classes: int = 80
    """Classes without the background."""
    backbone: ResNetConfig | TimmConfig = field(default_factory=ResNetConfig)
    """The body."""
    fpn: FPNConfig = field(default_factory=lambda: FPNConfig(first_level=2, extra="pool"))
    """The pyramid, P2 to P6."""
    pixels: Pixels = IMAGENET
    """Pixel statistics of the backbone's weights."""
    rpn: RPNConfig = field(default_factory=RPNConfig)
    """First stage."""
    box_head: BoxHeadConfig = field(default_factory=BoxHeadConfig)
    """Second stage."""
    class_ids: tuple[int, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same. torchvision has 90 outputs."""

    def build(self) -> FasterRCNN:
        return FasterRCNN(self)


class FasterRCNN(nn.Module):
    """The whole detector; see the model protocol in docs/models.md."""

    def __init__(self, config: FasterRCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = config.backbone.build()
        self.neck = FPN(config.fpn, self.backbone.channels)
        self.rpn = RPN(config.rpn, config.fpn.channels)
        self.box_head = BoxHead(config.box_head, config.fpn.channels, config.num_classes)

    def features(self, images_N3HW: Tensor) -> list[Tensor]:
        """[P2, ..., P6] of normalised, padded images."""
        return self.neck(self.backbone(images_N3HW))

    def raw(self, images_N3HW: Tensor) -> RPNOutput:
        """RPN outputs for normalised, padded images: a pure tensor function."""
        return self.rpn(self.features(images_N3HW))

    def box_outputs(self, features: list[Tensor], boxes: list[Tensor]) -> BoxOutput:
        """Box-head outputs for the boxes of each image."""
        return self.box_head(roi_pool(features, boxes, self.config.box_head.pool))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        canvas = size_of(images)
        features = self.features(images)
        with torch.no_grad():  # the RPN learns from the anchors it samples, not through its proposals
            proposals = [p.boxes for p in self.rpn.propose(self.rpn(features), batch.sizes, canvas)]
        sampled = self.box_head.sample(proposals, batch, self.config.class_ids)
        outputs = self.box_outputs(features, [s.boxes_R4 for s in sampled])
        return self.rpn.losses(features, batch, canvas) | self.box_head.losses(outputs, sampled)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        images = self.config.pixels(batch.images, batch.sizes)
        features = self.features(images)
        proposals = [p.boxes for p in self.rpn.propose(self.rpn(features), batch.sizes, size_of(images))]
        outputs = self.box_outputs(features, proposals)
        return self.box_head.decode(outputs, proposals, batch.sizes, batch.original_sizes, self.config.class_ids)

    def for_inference(self) -> nn.Module:
        """An equal, faster model that cannot be trained."""
        return optimise_for_inference(self)
