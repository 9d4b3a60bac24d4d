"""FCOS: Fully Convolutional One-Stage Object Detection (Tian et al., 1904.01355; improved: 2006.09214).

No anchors: every location of a pyramid scores the classes and regresses its distances to the four sides of the object
it lies in. Each level handles objects of its own size, and a centre-ness branch plays down locations near a border.

Shape suffixes: N images, L levels, M locations of all levels, P locations in an object, of all images, K classes,
H W cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.fields import ClassId, Count, Fraction, Natural, Needs, NotNegative, Positive
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.anchors import per_anchor
from cvzoo.ops.assigners import Match, match_locations, point_distances, targets_of_batch
from cvzoo.ops.detect import DetectConfig, gather_rows
from cvzoo.ops.distributed import mean_over_processes, moving_count
from cvzoo.ops.losses import centreness_of, focal_loss_of_levels, iou_loss
from cvzoo.ops.points import PointConfig, per_level, points_of
from cvzoo.parts.dense.detections import ScoreRule, candidates_of
from cvzoo.parts.dense.detector import DenseDetector
from cvzoo.parts.dense.head import DenseHead, DenseOutput
from cvzoo.structures import AnswerKind, Boxes, Size, Target


@dataclass(frozen=True, kw_only=True)
class FCOSConfig:
    """Hyper-parameters; the defaults are the first paper's with torchvision's ResNet-50."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes the network scores."""
    backbone: BodyConfig = field(default_factory=ResNetConfig)
    """The network that turns an image into feature maps, C2 to C5."""
    fpn: FPNConfig = field(default_factory=FPNConfig)
    """The pyramid, P3 to P7."""
    pixels: Pixels = IMAGENET
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    points: PointConfig = field(default_factory=PointConfig)
    """The locations of each cell, level by level."""
    tower_convs: Natural = 4
    """3x3 convolutions in each tower."""
    tower_norm: Norm | None = "group"
    """Norm in the towers."""
    tower_norm_groups: Annotated[Count, Needs("tower_norm=group")] = 32
    """Groups of the towers' group norms; must divide their channels."""
    tower_bias: bool | None = True
    """Bias of the towers' convolutions; None: where there is no norm."""
    deform_last: bool = False
    """The last convolution of each tower is deformable (DCNv2)."""
    prior: Fraction = 0.01
    """Score that every class starts from."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same. torchvision has 91 outputs."""
    level_scales: bool = True
    """Each level multiplies its distances by a number it learns; detectron2's and torchvision's do not."""
    distance: Literal["exp", "relu"] = "exp"
    """What turns the box branch into distances: exp, in pixels, or ReLU, in strides (improved)."""
    centreness_on: Literal["cls", "box"] = "cls"
    """Tower of the centre-ness branch; the improved version has it on the box tower."""

    ranges: tuple[Positive, ...] = (64, 128, 256, 512)
    """A level learns objects whose farthest side from a location lies between its two bounds in pixels."""
    closed_ranges: bool = True
    """The bounds belong to the range (mmdetection), or to no level (detectron2, torchvision)."""
    centre_radius: Positive | None = None
    """Only locations within this many strides of an object's centre learn it (improved: 1.5); None: all inside it."""
    focal_alpha: NotNegative = 0.25
    """Weight of positives in the focal loss; negatives have 1 minus that."""
    focal_gamma: NotNegative = 2.0
    """How strongly well-classified locations are discounted."""
    box_loss: Literal["iou", "giou"] = "iou"
    """Loss of the boxes: -log IoU, or 1 - GIoU (improved)."""
    central_boxes: bool = True
    """Weight the box loss by the true centre-ness; detectron2 and torchvision do not."""
    normaliser: Literal["batch", "moving"] = "batch"
    """Losses are divided by the number of positives in the batch, or its moving average (detectron2)."""

    candidates: Count = 1000
    """At most this many (location, class) pairs per level go to NMS."""
    score: ScoreRule = "product"
    """How class score and centre-ness make a detection's score."""
    detect: DetectConfig = field(default_factory=lambda: DetectConfig(nms_threshold=0.6, drop_first=True))
    """Which scored boxes become detections."""

    def build(self) -> FCOS:
        return FCOS(self)


class FCOS(DenseDetector[FCOSConfig, DenseOutput]):
    """The whole detector; see the model protocol in docs/models.md."""

    positives: Tensor

    def __init__(self, config: FCOSConfig) -> None:
        super().__init__(config)
        self.head = DenseHead(
            config.fpn.channels,
            config.num_classes,
            convs=config.tower_convs,
            norm=config.tower_norm,
            norm_groups=config.tower_norm_groups,
            bias=config.tower_bias,
            deform_last=config.deform_last,
            prior=config.prior,
            centreness=config.centreness_on,
            scaled_levels=len(config.points.strides) if config.level_scales else 0,
        )
        self.register_buffer("positives", torch.tensor(300.0))  # the moving average starts at 300, as the reference's

    def distances(self, deltas: Tensor, stride: Tensor | float) -> Tensor:
        """Distances in pixels to the left, top, right and bottom side, from the box branch."""
        return deltas.float().exp() if self.config.distance == "exp" else deltas.float().relu() * stride

    def matches(self, raw: DenseOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> list[Match]:
        """What each location of each image learns."""
        c = self.config
        points = points_of(self.config.points, raw.logits, canvas)
        bounds = (0.0, *c.ranges, torch.inf)
        range_M2 = torch.stack([per_level(bounds[:-1], points), per_level(bounds[1:], points)], dim=1)
        where = torch.cat(points), per_level(c.points.strides, points), range_M2
        return [match_locations(*where, target.boxes, c.centre_radius, c.closed_ranges) for target in targets]

    def losses(self, raw: DenseOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """`loss_cls` over all locations, `loss_box` and `loss_centreness` over those in an object."""
        c = self.config
        points = points_of(self.config.points, raw.logits, canvas)
        matches = self.matches(raw, targets, sizes, canvas)
        labels_NM, image_P, row_P, boxes_P4 = targets_of_batch(matches, targets, c.class_ids)
        truth_P4 = point_distances(torch.cat(points)[row_P], boxes_P4)
        deltas_P4 = torch.cat([per_anchor(x, 4) for x in raw.deltas], dim=1)[image_P, row_P]
        distances_P4 = self.distances(deltas_P4, per_level(c.points.strides, points)[row_P, None])
        centreness_P = torch.cat([x.flatten(1) for x in raw.centreness], dim=1)[image_P, row_P]
        true_centreness_P = centreness_of(truth_P4)
        count, box_count = self._normalisers(true_centreness_P)
        cls_N = focal_loss_of_levels(raw.logits, labels_NM, c.num_classes, c.focal_alpha, c.focal_gamma)
        box_P = iou_loss(_around_origin(distances_P4), _around_origin(truth_P4), c.box_loss)
        box_P = box_P * true_centreness_P if c.central_boxes else box_P
        centreness = F.binary_cross_entropy_with_logits(centreness_P.float(), true_centreness_P, reduction="sum")
        return {
            "loss_cls": cls_N.sum() / count,
            "loss_box": box_P.sum() / box_count,
            "loss_centreness": centreness / count,
        }

    def _normalisers(self, centreness_P: Tensor) -> tuple[Tensor, Tensor]:
        """What the losses are divided by: the number of positives and, for the box loss, the sum of its weights."""
        count = centreness_P.new_full((), len(centreness_P))
        if self.config.normaliser == "moving":
            count = moving_count(self.positives, count, update=self.training)
        else:
            count = mean_over_processes(count).clamp(min=1)
        if not self.config.central_boxes:
            return count, count
        return count, mean_over_processes(centreness_P.sum()).clamp(min=1e-6)

    def candidates(self, raw: DenseOutput, canvas: Size) -> Boxes:
        """Locations that may become detections, with the boxes their distances make."""
        c = self.config
        points = points_of(self.config.points, raw.logits, canvas)

        def boxes_at(level: int, row_NP: Tensor) -> Tensor:
            deltas_NP4 = gather_rows(per_anchor(raw.deltas[level], 4), row_NP)
            left_top, right_bottom = self.distances(deltas_NP4, c.points.strides[level]).split(2, dim=-1)
            return torch.cat([points[level][row_NP] - left_top, points[level][row_NP] + right_bottom], dim=-1)

        return candidates_of(raw.logits, raw.centreness, boxes_at, c, c.score)


def _around_origin(distances_P4: Tensor) -> Tensor:
    """The boxes whose sides are so far from the origin."""
    left_top_P2, right_bottom_P2 = distances_P4.split(2, dim=1)
    return torch.cat([-left_top_P2, right_bottom_P2], dim=1)
