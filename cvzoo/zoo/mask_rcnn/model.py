"""Mask R-CNN, with a feature pyramid, on C4 or on a dilated C5 (He et al., 1703.06870).

The two stages of 1506.01497 with a third branch: in training it learns the masks of the foreground proposals, in
inference it runs on the detections. The stages are in `parts/rcnn/`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from cvzoo.fields import ClassId, Count
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.rcnn.box_head import BoxHead, BoxHeadConfig, foreground_of
from cvzoo.parts.rcnn.detector import TwoStage
from cvzoo.parts.rcnn.mask_head import MaskHead, MaskHeadConfig
from cvzoo.parts.rcnn.regions import build_body, check_body, ends_at_c4
from cvzoo.parts.rcnn.rpn import RPNConfig
from cvzoo.structures import AnswerKind, Batch, size_of


@dataclass(frozen=True, kw_only=True)
class MaskRCNNConfig:
    """Hyper-parameters; the defaults are detectron2's with torchvision's ResNet-50."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes without the background."""
    backbone: BodyConfig = field(default_factory=ResNetConfig)
    """The network that turns an image into feature maps, C2 to C5."""
    fpn: FPNConfig | None = field(default_factory=lambda: FPNConfig(first_level=2, extra="pool"))
    """The pyramid, P2 to P6; None is C4: proposals from C4, and the ResNet's last stage on every region; or a dilated
    C5, where the backbone's output stride is 16."""
    pixels: Pixels = IMAGENET
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    rpn: RPNConfig = field(default_factory=RPNConfig)
    """First stage: proposals."""
    box_head: BoxHeadConfig = field(default_factory=BoxHeadConfig)
    """Second stage: class and box of each proposal."""
    mask_head: MaskHeadConfig = field(default_factory=MaskHeadConfig)
    """The mask branch: the pixels of each detection."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same. torchvision has 90 outputs."""

    def __post_init__(self) -> None:
        check_body(self.backbone, self.fpn)
        if ends_at_c4(self.backbone, self.fpn) and self.mask_head.pool != self.box_head.pool:
            raise ValueError("model.mask-head.pool: on C4 boxes and masks share features; set it as box-head.pool")

    def build(self) -> MaskRCNN:
        return MaskRCNN(self)


class MaskRCNN(TwoStage[MaskRCNNConfig]):
    """The whole detector; see the model protocol in docs/models.md."""

    predicts_masks = True

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__(config, *build_body(config.backbone, config.fpn))
        self.box_head = BoxHead(config.box_head, self.region_channels, config.num_classes)
        self.mask_head = MaskHead(config.mask_head, self.region_channels, config.num_classes)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        c = self.config
        images = c.pixels(batch.images, batch.sizes)
        maps = self.maps(images)
        canvas = size_of(images)
        proposals = self.rpn.proposals(maps, batch.sizes, canvas)
        sampled = self.box_head.sample(proposals, batch, c.class_ids)
        regions = self.regions(maps, [s.boxes_R4 for s in sampled], c.box_head.pool)
        if self.ends_at_c4:  # boxes and masks share the features of their regions
            of_masks = regions[foreground_of(sampled)]
        else:
            of_masks = self.regions(maps, [s.boxes_R4[s.foreground_F] for s in sampled], c.mask_head.pool)
        losses = self.rpn.losses(maps, batch, canvas) | self.box_head.losses(self.box_head(regions), sampled)
        return losses | self.mask_head.losses(of_masks, sampled, batch, canvas)

    def masks_at(self, maps: list[Tensor], boxes_D4: Tensor, image_D: Tensor, labels_D: Tensor) -> Tensor:
        regions = self.regions_at(maps, boxes_D4, image_D, self.config.mask_head.pool)
        return self.mask_head.probabilities(regions, labels_D)
