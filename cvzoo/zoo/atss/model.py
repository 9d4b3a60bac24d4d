"""ATSS: Bridging the Gap Between Anchor-based and Anchor-free Detection (Zhang et al., 1912.02424).

The head of 1904.01355 on one anchor per cell. What makes the difference is who learns what: every object sets its own
IoU threshold, from the mean and the spread of the IoUs of the anchors nearest to it.

Shape suffixes: N images, L levels, M anchors of all levels, P positive anchors of all images, K classes, H W cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.fields import ClassId, Count, Fraction, Natural, Needs, NotNegative
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.anchors import AnchorConfig, anchors_of, per_anchor
from cvzoo.ops.assigners import Match, match_adaptive, point_distances, targets_of_batch
from cvzoo.ops.boxes import Weights, decode_boxes
from cvzoo.ops.detect import DetectConfig
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.losses import centreness_of, focal_loss_of_levels, iou_loss
from cvzoo.ops.points import cut_to_image
from cvzoo.parts.dense.detections import candidates_of_anchors
from cvzoo.parts.dense.detector import DenseDetector
from cvzoo.parts.dense.head import DenseHead, DenseOutput
from cvzoo.structures import AnswerKind, Boxes, Size, Target, size_of

ANCHORS = AnchorConfig(sizes=((64,), (128,), (256,), (512,), (1024,)), ratios=((1.0,),))
"""One square of eight strides in every cell."""


@dataclass(frozen=True, kw_only=True)
class ATSSConfig:
    """Hyper-parameters; the defaults are mmdetection's with torchvision's ResNet-50."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes the network scores."""
    backbone: BodyConfig = field(default_factory=ResNetConfig)
    """The network that turns an image into feature maps, C2 to C5."""
    fpn: FPNConfig = field(default_factory=lambda: FPNConfig(extra_relu=False))
    """The pyramid, P3 to P7."""
    pixels: Pixels = IMAGENET
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    anchors: AnchorConfig = ANCHORS
    """The anchors of each cell, level by level."""
    tower_convs: Natural = 4
    """3x3 convolutions in each tower."""
    tower_norm: Norm | None = "group"
    """Norm in the towers."""
    tower_norm_groups: Annotated[Count, Needs("tower_norm=group")] = 32
    """Groups of the towers' group norms; must divide their channels."""
    prior: Fraction = 0.01
    """Score that every class starts from."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""

    nearest: Count = 9
    """So many anchors of each level, the nearest to an object's centre, are candidates for it."""
    box_weights: Weights = (10.0, 10.0, 5.0, 5.0)
    """What the regressed deltas (dx, dy, dw, dh) are multiplied by."""
    focal_alpha: NotNegative = 0.25
    """Weight of positives in the focal loss; negatives have 1 minus that."""
    focal_gamma: NotNegative = 2.0
    """How strongly well-classified anchors are discounted."""
    box_loss_weight: NotNegative = 2.0
    """Weight of the box loss, 1 - GIoU of the decoded boxes."""

    candidates: Count = 1000
    """At most this many (anchor, class) pairs per level go to NMS."""
    detect: DetectConfig = field(default_factory=lambda: DetectConfig(nms_threshold=0.6, drop_first=True))
    """Which scored boxes become detections."""

    def build(self) -> ATSS:
        return ATSS(self)


class ATSS(DenseDetector[ATSSConfig, DenseOutput]):
    """The whole detector; see the model protocol in docs/models.md."""

    def __init__(self, config: ATSSConfig) -> None:
        super().__init__(config)
        self.head = DenseHead(
            config.fpn.channels,
            config.num_classes,
            convs=config.tower_convs,
            norm=config.tower_norm,
            norm_groups=config.tower_norm_groups,
            prior=config.prior,
            centreness="box",
            scaled_levels=len(config.anchors.strides),
        )

    def matches(self, raw: DenseOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> list[Match]:
        """What each anchor of each image learns; those of cells beyond an image's own padded size learn nothing."""
        c = self.config
        anchors = anchors_of(self.config.anchors, raw.logits, canvas)
        grids = tuple(size_of(x) for x in raw.logits)
        total = sum(map(len, anchors))
        rows = torch.arange(total, device=anchors[0].device).split([len(level) for level in anchors])
        matches = []
        for target, size in zip(targets, sizes):
            cells = c.anchors.strides, grids, size, c.pixels.divisor
            match = match_adaptive(cut_to_image(anchors, *cells), target.boxes, c.nearest)
            matches.append(match.spread(torch.cat(cut_to_image(rows, *cells)), total))
        return matches

    def losses(self, raw: DenseOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """`loss_cls` over all anchors of the images, `loss_box` and `loss_centreness` over the positive ones."""
        c = self.config
        matches = self.matches(raw, targets, sizes, canvas)
        labels_NM, image_P, anchor_P, truth_P4 = targets_of_batch(matches, targets, c.class_ids)
        anchors_P4 = torch.cat(anchors_of(c.anchors, raw.logits, canvas))[anchor_P]
        deltas_P4 = torch.cat([per_anchor(x, 4) for x in raw.deltas], dim=1)[image_P, anchor_P]
        centreness_P = torch.cat([x.flatten(1) for x in raw.centreness], dim=1)[image_P, anchor_P]
        true_centreness_P = centreness_of(point_distances((anchors_P4[:, :2] + anchors_P4[:, 2:]) / 2, truth_P4))
        counts_N = torch.stack([match.positive_A.sum() for match in matches])
        count = mean_over_processes(counts_N.clamp(min=1).sum())
        box_count = mean_over_processes(true_centreness_P.sum()).clamp(min=1)
        cls_N = focal_loss_of_levels(raw.logits, labels_NM, c.num_classes, c.focal_alpha, c.focal_gamma)
        boxes_P4 = decode_boxes(deltas_P4, anchors_P4, c.box_weights, clamp_shrinking=True)
        box_P = iou_loss(boxes_P4, truth_P4, "giou") * true_centreness_P
        centreness = F.binary_cross_entropy_with_logits(centreness_P.float(), true_centreness_P, reduction="sum")
        return {
            "loss_cls": cls_N.sum() / count,
            "loss_box": c.box_loss_weight * box_P.sum() / box_count,
            "loss_centreness": centreness / count,
        }

    def candidates(self, raw: DenseOutput, canvas: Size) -> Boxes:
        """Anchors that may become detections, moved."""
        return candidates_of_anchors(raw, self.config, canvas, clamp_shrinking=True)
