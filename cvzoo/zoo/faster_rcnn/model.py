"""Faster R-CNN, with a feature pyramid or on C4 (Ren et al., 1506.01497; Lin et al., 1612.03144).

Backbone and pyramid; a region proposal network finds about a thousand boxes that may hold an object; a box head pools
the features under each and says which class it is and where exactly it lies. The stages are in `rcnn/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cvzoo.models.rcnn.box_head import BoxHead, BoxHeadConfig
from cvzoo.models.rcnn.regions import build_body, channels, check_body, feature_maps, region_features
from cvzoo.models.rcnn.rpn import RPN, RPNConfig, RPNOutput
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.ops.detect import to_original
from cvzoo.structures import Batch, Prediction, size_of


@dataclass(frozen=True, kw_only=True)
class FasterRCNNConfig:
    """Hyper-parameters; the defaults are detectron2's with torchvision's ResNet-50."""

    num_classes: int = 80
    """Classes without the background."""
    backbone: ResNetConfig | TimmConfig = field(default_factory=ResNetConfig)
    """The body."""
    fpn: FPNConfig | None = field(default_factory=lambda: FPNConfig(first_level=2, extra="pool"))
    """The pyramid, P2 to P6; None is C4: proposals from C4, and the ResNet's last stage on every region."""
    pixels: Pixels = IMAGENET
    """Pixel statistics of the backbone's weights."""
    rpn: RPNConfig = field(default_factory=RPNConfig)
    """First stage."""
    box_head: BoxHeadConfig = field(default_factory=BoxHeadConfig)
    """Second stage."""
    class_ids: tuple[int, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same. torchvision has 90 outputs."""

    def __post_init__(self) -> None:
        check_body(self.backbone, self.fpn)

    def build(self) -> FasterRCNN:
        return FasterRCNN(self)


class FasterRCNN(nn.Module):
    """The whole detector; see the model protocol in docs/models.md."""

    def __init__(self, config: FasterRCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone, self.neck = build_body(config.backbone, config.fpn)
        map_channels, region_channels = channels(config.backbone, config.fpn)
        self.rpn = RPN(config.rpn, map_channels)
        self.box_head = BoxHead(config.box_head, region_channels, config.num_classes)

    def maps(self, images_N3HW: Tensor) -> list[Tensor]:
        """[P2, ..., P6], or [C4], of normalised, padded images."""
        return feature_maps(self.backbone, self.neck, images_N3HW)

    def raw(self, images_N3HW: Tensor) -> RPNOutput:
        """RPN outputs for normalised, padded images: a pure tensor function."""
        return self.rpn(self.maps(images_N3HW))

    def regions(self, maps: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """(R, C, S, S): the features of the boxes of each image."""
        return region_features(self.backbone, self.neck, maps, boxes, self.config.box_head.pool)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        maps, canvas = self.maps(images), size_of(images)
        proposals = self.rpn.proposals(maps, batch.sizes, canvas)
        sampled = self.box_head.sample(proposals, batch, self.config.class_ids)
        outputs = self.box_head(self.regions(maps, [s.boxes_R4 for s in sampled]))
        return self.rpn.losses(maps, batch, canvas) | self.box_head.losses(outputs, sampled)

    @torch.no_grad()
    def detections(self, batch: Batch) -> tuple[list[Prediction], list[Tensor]]:
        """In network pixels, labelled by network output; and the maps."""
        images = self.config.pixels(batch.images, batch.sizes)
        maps = self.maps(images)
        proposals = self.rpn.proposals(maps, batch.sizes, size_of(images))
        outputs = self.box_head(self.regions(maps, proposals))
        return self.box_head.decode(outputs.scores(), outputs.deltas, proposals, batch.sizes), maps

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        detect, class_ids = self.config.box_head.detect, self.config.class_ids
        found = zip(self.detections(batch)[0], batch.sizes, batch.original_sizes)
        return [to_original(f, detect, size, original, class_ids) for f, size, original in found]

    def for_inference(self) -> nn.Module:
        """An equal, faster model that cannot be trained."""
        return optimise_for_inference(self)
