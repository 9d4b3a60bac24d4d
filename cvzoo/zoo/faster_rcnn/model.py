"""Faster R-CNN, with a feature pyramid, on C4 or on a dilated C5 (Ren et al., 1506.01497; Lin et al., 1612.03144).

Backbone and pyramid; a region proposal network finds about a thousand boxes that may hold an object; a box head pools
the features under each and says which class it is and where exactly it lies. The stages are in `parts/rcnn/`.
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
from cvzoo.parts.rcnn.box_head import BoxHead, BoxHeadConfig
from cvzoo.parts.rcnn.detector import TwoStage
from cvzoo.parts.rcnn.regions import build_body, check_body
from cvzoo.parts.rcnn.rpn import RPNConfig
from cvzoo.structures import AnswerKind, Batch, size_of


@dataclass(frozen=True, kw_only=True)
class FasterRCNNConfig:
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
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same. torchvision has 90 outputs."""

    def __post_init__(self) -> None:
        check_body(self.backbone, self.fpn)

    def build(self) -> FasterRCNN:
        return FasterRCNN(self)


class FasterRCNN(TwoStage[FasterRCNNConfig]):
    """The whole detector; see the model protocol in docs/models.md."""

    def __init__(self, config: FasterRCNNConfig) -> None:
        super().__init__(config, *build_body(config.backbone, config.fpn))
        self.box_head = BoxHead(config.box_head, self.region_channels, config.num_classes)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        c = self.config
        images = c.pixels(batch.images, batch.sizes)
        maps = self.maps(images)
        canvas = size_of(images)
        proposals = self.rpn.proposals(maps, batch.sizes, canvas)
        sampled = self.box_head.sample(proposals, batch, c.class_ids)
        outputs = self.box_head(self.regions(maps, [s.boxes_R4 for s in sampled], c.box_head.pool))
        return self.rpn.losses(maps, batch, canvas) | self.box_head.losses(outputs, sampled)
