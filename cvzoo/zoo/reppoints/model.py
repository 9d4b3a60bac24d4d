"""RepPoints: Point Set Representation for Object Detection (Yang et al., 1904.11490).

Every location spreads nine points over the object near it, twice: the first set is judged by the box around it and
tells two deformable convolutions where to look; these classify the object and move the points to their final places.

Shape suffixes: N images, L levels, M locations of all levels, P positive ones of all images, D = 2 * 9 coordinates (y
before x), K classes, H W cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.fields import ClassId, Count, Fraction, Natural, Needs, NotNegative, Positive, Share
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.deform import deform_convs
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.towers import init_normal, logit, tower
from cvzoo.ops.anchors import per_anchor
from cvzoo.ops.assigners import Match, match_boxes, match_nearest, targets_of_batch
from cvzoo.ops.detect import DetectConfig, gather_rows
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.losses import focal_loss_of_levels, smooth_l1
from cvzoo.ops.points import PointConfig, cells_of_image, per_level, points_of
from cvzoo.parts.dense.detections import candidates_of
from cvzoo.parts.dense.detector import DenseDetector
from cvzoo.structures import AnswerKind, Boxes, Size, Target, size_of

PointsToBox = Literal["minmax", "partial_minmax", "moment", "grid"]
"""The box of a set of points (section 3.2): around all, around the first four, or from their mean and spread; or a box
is regressed, twice, and the points are a grid in it, which the paper compares with (table 1)."""
POINTS = 9
"""As many as a 3x3 kernel has taps."""


@dataclass(frozen=True, kw_only=True)
class RepPointsConfig:
    """Hyper-parameters; the defaults are the authors' with torchvision's ResNet-50."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes the network scores."""
    backbone: BodyConfig = field(default_factory=ResNetConfig)
    """The network that turns an image into feature maps, C2 to C5."""
    fpn: FPNConfig = field(
        default_factory=lambda: FPNConfig(extra_from="input", extra_relu=False, norm="group", extra_norm="group")
    )
    """The pyramid, P3 to P7."""
    pixels: Pixels = IMAGENET
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    points: PointConfig = field(default_factory=lambda: PointConfig(offset=0.0))
    """The locations of each cell, level by level."""
    tower_convs: Natural = 3
    """3x3 convolutions in each tower."""
    tower_norm: Norm | None = "group"
    """Norm in the towers."""
    tower_norm_groups: Annotated[Count, Needs("tower_norm=group")] = 32
    """Groups of the towers' group norms; must divide their channels."""
    prior: Fraction = 0.01
    """Score that every class starts from."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""
    points_to_box: PointsToBox = "moment"
    """How a set of points becomes a box."""
    transfer_gradient: NotNegative = 0.01
    """Share of its gradient that the learnt scale of the spread receives."""
    offset_gradient: NotNegative = 0.1
    """Share of the gradient that the first points receive through the deformable convolutions."""

    base_scale: Positive = 4.0
    """A box of this many strides belongs to that level; the unit of the box losses, too."""
    negative_below: Share = 0.4
    """Locations whose first box has a lower best IoU learn background; those between the thresholds learn no class."""
    positive_from: Share = 0.5
    """Locations whose first box has this IoU or more learn the object."""
    focal_alpha: NotNegative = 0.25
    """Weight of positives in the focal loss; negatives have 1 minus that."""
    focal_gamma: NotNegative = 2.0
    """How strongly well-classified locations are discounted."""
    smooth_l1_beta: NotNegative = 0.11
    """Where the smooth L1 loss of the boxes turns from quadratic to linear; 0 is L1."""
    init_loss_weight: NotNegative = 0.5
    """Weight of the loss on the first boxes."""

    candidates: Count = 1000
    """At most this many (location, class) pairs per level go to NMS."""
    detect: DetectConfig = field(default_factory=lambda: DetectConfig(drop_first=True))
    """Which scored boxes become detections."""

    def build(self) -> RepPoints:
        return RepPoints(self)


class RepPointsOutput(NamedTuple):
    """Raw outputs, level by level; points in strides from their location."""

    logits: list[Tensor]
    """L of (N, K, H, W)."""
    first: list[Tensor]
    """L of (N, D, H, W): the points before the deformable convolutions."""
    refined: list[Tensor]
    """L of (N, D, H, W): the points after them."""


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """x, which receives only this share of its gradient."""
    return factor * x + (1 - factor) * x.detach()


def grid_in(deltas_N4HW: Tensor, boxes_N4HW: Tensor) -> Tensor:
    """(N, D, H, W): 3 x 3 points, row by row, from corner to corner of xyxy boxes that deltas have moved."""
    low, high = boxes_N4HW.chunk(2, dim=1)
    move, grow = deltas_N4HW.float().chunk(2, dim=1)
    sides = (high - low).clamp(min=1e-6) * grow.exp()
    corner = (low + high) / 2 + (high - low).clamp(min=1e-6) * move - sides / 2
    steps_311 = torch.linspace(0, 1, 3, device=deltas_N4HW.device).view(3, 1, 1)
    x_N3HW, y_N3HW = (corner.unsqueeze(2) + sides.unsqueeze(2) * steps_311).unbind(1)
    return torch.stack([y_N3HW.repeat_interleave(3, dim=1), x_N3HW.repeat(1, 3, 1, 1)], dim=2).flatten(1, 2)


def corners_of(grid_NDHW: Tensor) -> Tensor:
    """(N, 4, H, W) xyxy: the box in which a grid lies."""
    y, x = grid_NDHW.unflatten(1, (POINTS, 2)).unbind(2)
    return torch.stack([x[:, 0], y[:, 0], x[:, -1], y[:, -1]], dim=1)


class RepPointsHead(nn.Module):
    """Two towers, the first points, and the two deformable convolutions that look at them (figure 2)."""

    def __init__(self, config: RepPointsConfig) -> None:
        super().__init__()
        channels = config.fpn.channels
        self.offset_gradient = config.offset_gradient
        groups = config.tower_norm_groups
        self.cls_tower = tower(channels, config.tower_convs, config.tower_norm, norm_groups=groups)
        self.box_tower = tower(channels, config.tower_convs, config.tower_norm, norm_groups=groups)
        self.first_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.grid_scale = config.base_scale if config.points_to_box == "grid" else None
        outputs = 2 * POINTS if self.grid_scale is None else 4
        self.first_out = nn.Conv2d(channels, outputs, 1)
        self.cls_kernel = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.cls_out = nn.Conv2d(channels, config.num_classes, 1)
        self.refine_kernel = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.refine_out = nn.Conv2d(channels, outputs, 1)
        self.transfer = nn.Parameter(torch.zeros(2)) if config.points_to_box == "moment" else None
        init_normal(self)
        nn.init.constant_(self.cls_out.get_parameter("bias"), logit(config.prior))
        for kernel in (self.cls_kernel, self.refine_kernel):
            nn.init.kaiming_uniform_(kernel, nonlinearity="relu")

    def forward(self, features: list[Tensor]) -> RepPointsOutput:
        reach = torch.arange(-1, 2, device=features[0].device)
        kernel_D11 = torch.cartesian_prod(reach, reach).view(-1, 1, 1)  # where a plain convolution would look
        output = RepPointsOutput([], [], [])
        for x in features:
            cls, box = self.cls_tower(x), self.box_tower(x)
            first = self.first_points(self.first_out(F.relu(self.first_conv(box), inplace=True)))
            offsets = scale_gradient(first.float(), self.offset_gradient) - kernel_D11
            cls, box = deform_convs([cls, box], offsets, [self.cls_kernel, self.refine_kernel])
            output.logits.append(self.cls_out(F.relu(cls, inplace=True)))
            output.first.append(first)
            output.refined.append(self.refined_points(self.refine_out(F.relu(box, inplace=True)), first.detach()))
        return output

    def first_points(self, out: Tensor) -> Tensor:
        """(N, D, H, W) from the first outputs: points, or deltas to a box of the level's size."""
        if self.grid_scale is None:
            return out
        half = self.grid_scale / 2
        return grid_in(out, out.new_tensor([-half, -half, half, half]).view(1, 4, 1, 1))

    def refined_points(self, out: Tensor, first: Tensor) -> Tensor:
        """(N, D, H, W) from the last outputs: moves of the first points, or deltas to the first box."""
        return out + first if self.grid_scale is None else grid_in(out, corners_of(first))


class RepPoints(DenseDetector[RepPointsConfig, RepPointsOutput]):
    """The whole detector; see the model protocol in docs/models.md."""

    def __init__(self, config: RepPointsConfig) -> None:
        super().__init__(config)
        self.head = RepPointsHead(config)

    def boxes(self, points_D: Tensor) -> Tensor:
        """(..., 4) xyxy around the location, in strides, of (..., D) points (section 3.2)."""
        y, x = points_D.float().unflatten(-1, (POINTS, 2)).unbind(-1)
        if self.config.points_to_box == "moment":
            transfer = self.head.transfer
            assert isinstance(transfer, nn.Parameter)
            xy = torch.stack([x, y], dim=-2)
            centre = xy.mean(dim=-1)
            variance = (xy - centre.unsqueeze(-1)).square().sum(dim=-1) / (POINTS - 1)
            spread = variance.clamp(min=1e-12).sqrt()  # the floor keeps its gradient finite where all points are one
            half = spread * scale_gradient(transfer, self.config.transfer_gradient).exp()
            return torch.cat([centre - half, centre + half], dim=-1)
        if self.config.points_to_box == "partial_minmax":
            y, x = y[..., :4], x[..., :4]
        return torch.stack([x.amin(dim=-1), y.amin(dim=-1), x.amax(dim=-1), y.amax(dim=-1)], dim=-1)

    def matches(
        self, raw: RepPointsOutput, targets: list[Target], sizes: list[Size], canvas: Size
    ) -> tuple[list[Match], list[Match]]:
        """Which locations spread their first points over an object, and what each learns from the IoU of its first box.

        Locations of cells beyond an image's own padded size learn nothing. An object that no first box overlaps claims
        all others, as in the reference.
        """
        c = self.config
        points = points_of(self.config.points, raw.logits, canvas)
        grids = tuple(size_of(x) for x in raw.logits)
        points_M2 = torch.cat(points)
        stride_M = per_level(c.points.strides, points)
        with torch.no_grad():
            first_NMD = torch.cat([per_anchor(x, 2 * POINTS) for x in raw.first], dim=1)
            boxes_NM4 = points_M2.repeat(1, 2) + stride_M[:, None] * self.boxes(first_NMD)
        first, refined = [], []
        for target, size, boxes_M4 in zip(targets, sizes, boxes_NM4):
            valid_M = cells_of_image(c.points.strides, grids, size, c.pixels.divisor, 1, points_M2.device)
            first.append(match_nearest(points_M2, stride_M, target.boxes, c.base_scale, valid_M))
            rule = c.negative_below, c.positive_from, "truth"
            refined.append(match_boxes(boxes_M4, target.boxes, *rule, valid_A=valid_M))
        return first, refined

    def losses(self, raw: RepPointsOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """`loss_first` on the first boxes, `loss_cls` and `loss_refined` on what becomes of them."""
        c = self.config
        first, refined = self.matches(raw, targets, sizes, canvas)
        loss_first, _, _ = self._box_loss(raw.first, first, targets, canvas)
        loss_refined, labels_NM, count = self._box_loss(raw.refined, refined, targets, canvas)
        cls_N = focal_loss_of_levels(raw.logits, labels_NM, c.num_classes, c.focal_alpha, c.focal_gamma)
        return {
            "loss_cls": cls_N.sum() / count,
            "loss_first": c.init_loss_weight * loss_first,
            "loss_refined": loss_refined,
        }

    def _box_loss(
        self, maps: list[Tensor], matches: list[Match], targets: list[Target], canvas: Size
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The error of the boxes around sets of points, in units of the level, what each location learns (see
        `targets_of_batch`), and the number the error was divided by.
        """
        c = self.config
        points = points_of(c.points, maps, canvas)
        labels_NM, image_P, row_P, truth_P4 = targets_of_batch(matches, targets, c.class_ids)
        stride_P1 = per_level(c.points.strides, points)[row_P, None]
        points_PD = torch.cat([per_anchor(x, 2 * POINTS) for x in maps], dim=1)[image_P, row_P]
        boxes_P4 = torch.cat(points)[row_P].repeat(1, 2) + stride_P1 * self.boxes(points_PD)
        unit_P1 = c.base_scale * stride_P1
        error_P4 = smooth_l1(boxes_P4 / unit_P1, truth_P4 / unit_P1, c.smooth_l1_beta)
        counts_N = torch.stack([match.positive_A.sum() for match in matches])
        count = mean_over_processes(counts_N.clamp(min=1).sum())
        return error_P4.sum() / count, labels_NM, count

    def candidates(self, raw: RepPointsOutput, canvas: Size) -> Boxes:
        """Locations that may become detections, with the boxes around their refined points."""
        c = self.config
        points = points_of(self.config.points, raw.logits, canvas)

        def boxes_at(level: int, row_NP: Tensor) -> Tensor:
            boxes_NP4 = self.boxes(gather_rows(per_anchor(raw.refined[level], 2 * POINTS), row_NP))
            return points[level][row_NP].repeat(1, 1, 2) + c.points.strides[level] * boxes_NP4

        return candidates_of(raw.logits, [], boxes_at, c)
