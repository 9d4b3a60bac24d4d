"""Cascade R-CNN, with masks or without (Cai and Vasconcelos, 1712.00726).

A box head that is trained on good proposals only needs good proposals: each stage refines the boxes of the one before
and is trained on those that overlap an object by ever more. Its parts are those of every R-CNN, in `parts/rcnn/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from cvzoo.fields import ClassId, Count, NotNegative, Share
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import flat
from cvzoo.ops.boxes import Weights, limits_of, longer_than
from cvzoo.parts.rcnn.box_head import BoxHead, BoxHeadConfig, BoxOutput, Sampled, class_probabilities
from cvzoo.parts.rcnn.detector import TwoStage
from cvzoo.parts.rcnn.mask_head import MaskHead, MaskHeadConfig
from cvzoo.parts.rcnn.regions import build_body
from cvzoo.parts.rcnn.rpn import RPNConfig
from cvzoo.structures import AnswerKind, Batch, Boxes, Prediction, Size, size_of


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What sets one stage apart."""

    positive_from: Share
    """Boxes with this IoU or more are foreground of the stage."""
    box_weights: Weights
    """What the stage's deltas (dx, dy, dw, dh) are multiplied by; they shrink from stage to stage."""
    loss_weight: NotNegative = 1.0
    """Weight of the stage's losses."""


STAGES = (
    StageConfig(positive_from=0.5, box_weights=(10.0, 10.0, 5.0, 5.0)),
    StageConfig(positive_from=0.6, box_weights=(20.0, 20.0, 10.0, 10.0)),
    StageConfig(positive_from=0.7, box_weights=(30.0, 30.0, 15.0, 15.0)),
)


@dataclass(frozen=True, kw_only=True)
class CascadeRCNNConfig:
    """Hyper-parameters; the defaults are detectron2's with torchvision's ResNet-50."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes without the background."""
    backbone: BodyConfig = field(default_factory=ResNetConfig)
    """The network that turns an image into feature maps, C2 to C5."""
    fpn: FPNConfig = field(default_factory=lambda: FPNConfig(first_level=2, extra="pool"))
    """The pyramid, P2 to P6."""
    pixels: Pixels = IMAGENET
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    rpn: RPNConfig = field(default_factory=lambda: RPNConfig(post_nms_train=2000))
    """First stage: proposals."""
    box_head: BoxHeadConfig = field(default_factory=lambda: BoxHeadConfig(class_agnostic=True))
    """What the heads of all stages have in common."""
    stages: tuple[StageConfig, ...] = STAGES
    """Thresholds and weights of each stage of the cascade."""
    gradient_scale: NotNegative = 1 / 3
    """Share of each stage's gradient that reaches the features it pools (detectron2, cvpods); mmdetection weights the
    losses instead."""
    resample: bool = False
    """Each stage adds the ground truth and draws its own sample (mmdetection); else the first one's stays."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """What of all stages makes the score of a detection; `logits` in mmdetection."""
    mask_head: MaskHeadConfig | None = None
    """The mask branch; None: boxes only."""
    mask_stages: Count = 1
    """How many stages have a mask branch: the first (detectron2, cvpods), or every one (mmdetection)."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""

    def __post_init__(self) -> None:
        if not self.box_head.class_agnostic:
            raise ValueError("model.box-head.class-agnostic must be True: a stage passes one box per proposal on")
        if not self.stages:
            raise ValueError("model.stages must hold one stage at least")
        if not 1 <= self.mask_stages <= len(self.stages):
            count = len(self.stages)
            raise ValueError(f"model.mask-stages is 1 to {count}, the number of stages, not {self.mask_stages}")

    def build(self) -> CascadeRCNN:
        return CascadeRCNN(self)


class CascadeRCNN(TwoStage[CascadeRCNNConfig]):
    """The whole detector; see the model protocol in docs/models.md."""

    def __init__(self, config: CascadeRCNNConfig) -> None:
        super().__init__(config, *build_body(config.backbone, config.fpn))
        of_stage = [
            replace(config.box_head, positive_from=stage.positive_from, box_weights=stage.box_weights)
            for stage in config.stages
        ]
        of_mask = [config.mask_head] * config.mask_stages if config.mask_head else []
        width, classes = self.region_channels, config.num_classes
        self.box_heads = cast("Sequence[BoxHead]", nn.ModuleList(BoxHead(head, width, classes) for head in of_stage))
        self.predicts_masks = config.mask_head is not None
        self.mask_heads = cast("Sequence[MaskHead]", nn.ModuleList(MaskHead(head, width, classes) for head in of_mask))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        images = self.config.pixels(batch.images, batch.sizes)
        maps = self.maps(images)
        canvas = size_of(images)
        boxes = self.rpn.proposals(maps, batch.sizes, canvas)
        losses = self.rpn.losses(maps, batch, canvas)
        for k, stage in enumerate(self.config.stages):
            sampled = self.sample(k, boxes, batch)
            boxes = [s.boxes_R4 for s in sampled]
            pooled = self.regions(maps, boxes, self.config.box_head.pool)
            if pooled.requires_grad:
                pooled.register_hook(lambda gradient: gradient * self.config.gradient_scale)
            outputs = self.box_heads[k](pooled)
            found = self.box_heads[k].losses(outputs, sampled)
            if k < len(self.mask_heads):
                found |= self._mask_losses(k, maps, sampled, batch, canvas)
            losses |= {f"{name}_{k}": stage.loss_weight * loss for name, loss in found.items()}
            if k + 1 < len(self.config.stages):
                boxes = self.refined(k, outputs, sampled, batch)
        return losses

    def sample(self, k: int, boxes: list[Tensor], batch: Batch) -> list[Sampled]:
        if k == 0 or self.config.resample:
            return self.box_heads[k].sample(boxes, batch, self.config.class_ids)
        return self.box_heads[k].label(boxes, batch, self.config.class_ids)

    @torch.no_grad()
    def refined(self, k: int, outputs: BoxOutput, sampled: list[Sampled], batch: Batch) -> list[Tensor]:
        """What stage k makes of its boxes; NaN for empty ones, or for the truth if the next stage adds it anew."""
        boxes_R4, image_R = flat([s.boxes_R4 for s in sampled])
        limits_R4 = limits_of(batch.sizes, boxes_R4.device)[image_R, 0]
        refined_R4 = self.box_heads[k].refine(outputs.deltas, boxes_R4, limits_R4)
        refined = refined_R4.split([len(s.boxes_R4) for s in sampled])
        if self.config.resample:
            goes = [s.is_truth_R for s in sampled]
        else:
            goes = [~longer_than(boxes, 0.0) for boxes in refined]
        return [boxes.masked_fill(own.unsqueeze(1), torch.nan) for boxes, own in zip(refined, goes)]

    def _mask_losses(
        self, k: int, maps: list[Tensor], sampled: list[Sampled], batch: Batch, canvas: Size
    ) -> dict[str, Tensor]:
        head = self.mask_heads[k]
        regions = self.regions(maps, [s.boxes_R4[s.foreground_F] for s in sampled], head.config.pool)
        return head.losses(regions, sampled, batch, canvas)

    def cascade(self, maps: list[Tensor], boxes: list[Tensor], batch: Batch) -> tuple[list[BoxOutput], list[Tensor]]:
        """The outputs of every stage, each on what the stage before made of the boxes; and the last one's boxes."""
        boxes_R4, image_R = flat(boxes)
        limits_R4 = limits_of(batch.sizes, boxes_R4.device)[image_R, 0]
        outputs, boxes_R4 = self.cascade_at(maps, boxes_R4, image_R, limits_R4)
        return outputs, list(boxes_R4.split([len(own) for own in boxes]))

    def cascade_at(
        self, maps: list[Tensor], boxes_R4: Tensor, image_R: Tensor, limits_R4: Tensor
    ) -> tuple[list[BoxOutput], Tensor]:
        """`cascade` of boxes of those images, which reach to these limits."""
        outputs: list[BoxOutput] = []
        for k, head in enumerate(self.box_heads):
            if k > 0:
                boxes_R4 = self.box_heads[k - 1].refine(outputs[-1].deltas, boxes_R4, limits_R4)
            outputs.append(head(self.regions_at(maps, boxes_R4, image_R, self.config.box_head.pool)))
        return outputs, boxes_R4

    def scores(self, outputs: list[BoxOutput]) -> Tensor:
        """(R, K) probabilities of the classes, from the outputs of all stages."""
        if self.config.average == "logits":
            return class_probabilities(torch.stack([o.logits.float() for o in outputs]).mean(dim=0))
        return torch.stack([o.scores() for o in outputs]).mean(dim=0)

    @torch.no_grad()
    def detections(self, batch: Batch) -> tuple[list[Prediction], list[Tensor]]:
        """In network pixels, labelled by network output; and the maps, for `masks`."""
        images = self.config.pixels(batch.images, batch.sizes)
        maps = self.maps(images)
        proposals = self.rpn.proposals(maps, batch.sizes, size_of(images))
        outputs, boxes = self.cascade(maps, proposals, batch)
        return self.box_heads[-1].decode(self.scores(outputs), outputs[-1].deltas, boxes, batch.sizes), maps

    def scored(self, maps: list[Tensor], boxes_NP4: Tensor, limits_N14: Tensor) -> Boxes:
        boxes_R4, image_R = flat(boxes_NP4)
        outputs, boxes_R4 = self.cascade_at(maps, boxes_R4, image_R, limits_N14[image_R, 0])
        return self.box_heads[-1].candidates(self.scores(outputs), outputs[-1].deltas, boxes_R4.view_as(boxes_NP4))

    def masks_at(self, maps: list[Tensor], boxes_D4: Tensor, image_D: Tensor, labels_D: Tensor) -> Tensor:
        """The mean of all mask branches."""
        found = [
            head.probabilities(self.regions_at(maps, boxes_D4, image_D, head.config.pool), labels_D)
            for head in self.mask_heads
        ]
        return torch.stack(found).mean(dim=0)
