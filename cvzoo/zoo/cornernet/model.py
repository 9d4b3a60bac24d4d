"""CornerNet: Detecting Objects as Paired Keypoints (Law and Deng, 1808.01244).

No anchors: an object is found by its top-left and its bottom-right corner. Corner pooling lets a corner, which usually
lies outside the object, see the object's sides. Two corners make a box where their tags are alike.

Shape suffixes: N images, K classes, O objects of all images, X their corners of both kinds, H W cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.fields import ClassId, Count, Fraction, Needs, NotNegative
from cvzoo.nn.hourglass import HourglassConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.ops.boxes import flip_boxes
from cvzoo.ops.class_ids import classes_of
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.soft_nms import SoftNMSConfig, soft_nms
from cvzoo.parts.heatmap.detector import HeatmapDetector, joined, soft_suppressed
from cvzoo.parts.heatmap.frame import Frame
from cvzoo.parts.heatmap.heat import Point
from cvzoo.parts.heatmap.loss import heatmap_loss, peaks_in
from cvzoo.parts.heatmap.targets import GaussianConfig, Objects, at_cells, cells_of, draw, last_in_cell, objects_of
from cvzoo.structures import AnswerKind, Batch, Boxes, Prediction, Size, Target, size_of
from cvzoo.zoo.cornernet.head import CornerOutput, PairHead, PairOutput
from cvzoo.zoo.cornernet.pairs import boxes_between, corners_in
from cvzoo.zoo.cornernet.tags import TagLoss, tag_losses

UNPADDED = replace(IMAGENET, divisor=1)
"""In training images are cropped to sides that the hourglass halves to whole cells."""


@dataclass(frozen=True, kw_only=True)
class CornerNetConfig:
    """Hyper-parameters; the defaults are the paper's as mmdetection trains them."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes the network scores."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""
    backbone: HourglassConfig = field(default_factory=HourglassConfig)
    """The network that turns an image into one map of each hourglass."""
    pixels: Pixels = UNPADDED
    """How pixels are normalised and padded; belongs to the weights."""
    pool_channels: Count = 128
    """Channels that corner pooling pools."""
    branch_channels: Count = 256
    """Channels of the 3x3 convolution before each output."""
    head_norm: Norm = "batch"
    """Norm around corner pooling."""
    head_norm_groups: Annotated[Count, Needs("head_norm=group")] = 32
    """Groups of the group norms around corner pooling; must divide their channels."""
    prior: Fraction = 0.1
    """Score that every class starts from."""

    gaussian: GaussianConfig = field(default_factory=lambda: GaussianConfig(round_up=True))
    """How far around a corner a cell is forgiven for taking itself for one."""
    focal_alpha: NotNegative = 2.0
    """How strongly cells that are classified well are discounted."""
    focal_gamma: NotNegative = 4.0
    """How strongly cells near a corner are discounted."""
    focal_clamp: NotNegative = 0.0
    """Probabilities in the loss of the heat maps are kept so far from 0 and 1; the published repository has 0.0001."""
    focal_epsilon: NotNegative = 0.0
    """Added to probabilities, as rounded, before the logarithms of the heat maps' loss (mmdetection: 1e-12, which
    bounds a cell's loss); 0 takes exact logarithms."""
    heat_weight: NotNegative = 1.0
    """Weight of the heat maps' loss: the mean of both kinds of corners, summed over hourglasses."""
    offset_weight: NotNegative = 1.0
    """Weight of the offsets' loss: the mean of both kinds of corners, summed over hourglasses."""
    offsets_of: Literal["cells", "objects"] = "cells"
    """The offset loss is the mean over cells with a corner, each of which learns one object's (mmdetection), or over
    objects (the published repository)."""
    tags: TagLoss = field(default_factory=TagLoss)
    """How tags of one object are pulled together and those of different objects pushed apart."""

    frame: Frame | None = field(default_factory=lambda: Frame(mask=127, extra=0, around="mean"))
    """Inference: each image lies in the middle of a canvas; None: padded as in training."""
    corners: Count = 100
    """So many top-left and bottom-right corners of an image, over all classes, are paired."""
    peak_kernel: Count = 3
    """A corner is the highest cell in a window of so many cells."""
    tag_distance: NotNegative = 0.5
    """Corners whose tags differ by more than this belong to different objects."""
    pairs: Count = 1000
    """At most this many pairs of corners per image go to soft-NMS."""
    clip: Literal["all", "left_top"] = "all"
    """Move corners outside the image onto its border: on all sides, or at the left and top only (mmdetection)."""
    nms: SoftNMSConfig = field(default_factory=SoftNMSConfig)
    """What overlapping boxes of a class do to each other's scores."""
    detections: Count = 100
    """At most this many detections per image."""

    def build(self) -> CornerNet:
        return CornerNet(self)


class CornerNet(HeatmapDetector[PairOutput]):
    """The whole detector; see the model protocol in docs/models.md."""

    config: CornerNetConfig

    def __init__(self, config: CornerNetConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = config.backbone.build()
        self.head = PairHead(
            self.backbone.channels,
            config.num_classes,
            pooled=config.pool_channels,
            branch=config.branch_channels,
            norm=config.head_norm,
            norm_groups=config.head_norm_groups,
            prior=config.prior,
        )

    def raw(self, images_N3HW: Tensor) -> PairOutput:
        return self.head(self.backbone(images_N3HW))

    def heat(self, raw: PairOutput) -> dict[Point, Tensor]:
        return {"top_left": raw.top_left.heat[-1], "bottom_right": raw.bottom_right.heat[-1]}

    def heat_targets(self, objects: Objects, images: int, size: Size) -> tuple[Tensor, Tensor]:
        """(N, K, H, W) of each kind of corner: 1 at the corners, and less around them."""
        c = self.config
        maps = images * c.num_classes
        corners_X2 = torch.cat(objects.boxes_O4.split(2, dim=1))
        radius_O = c.gaussian.radius((objects.boxes_O4[:, 2:] - objects.boxes_O4[:, :2]).flip(1))
        map_O = objects.image_O * c.num_classes + objects.labels_O
        of_both = torch.cat([map_O, map_O + maps])
        heat = draw(cells_of(corners_X2, size), radius_O.repeat(2), of_both, 2 * maps, size)
        top_left, bottom_right = heat.view(2, images, c.num_classes, *size)
        return top_left, bottom_right

    def losses(self, raw: PairOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """`loss_heat`, `loss_offset`, and of the tags `loss_pull` and `loss_push`."""
        c = self.config
        size = size_of(raw.top_left.heat[-1])
        objects = objects_of(targets, canvas, size, c.class_ids)
        focal = c.focal_alpha, c.focal_gamma, c.focal_clamp, c.focal_epsilon
        heat, offset = [], []
        kinds = zip(raw, self.heat_targets(objects, len(targets), size), objects.boxes_O4.split(2, dim=1))
        for maps, target_NKHW, corner_O2 in kinds:
            count = mean_over_processes(peaks_in(target_NKHW)).clamp(min=1)
            peak_O = objects.peaks(cells_of(corner_O2, size))
            heat += [heatmap_loss(x, target_NKHW, peak_O, *focal) / count for x in maps.heat]
            offset.append(self._offset_loss(maps, objects.image_O, corner_O2, size))
        pull, push = tag_losses(raw.top_left.tag, raw.bottom_right.tag, objects, len(targets), c.tags)
        return {
            "loss_heat": c.heat_weight * torch.stack(heat).sum() / 2,
            "loss_offset": c.offset_weight * torch.stack(offset).sum() / 2,
            "loss_pull": pull,
            "loss_push": push,
        }

    def _offset_loss(self, maps: CornerOutput, image_O: Tensor, corner_O2: Tensor, size: Size) -> Tensor:
        """(): smooth L1 of where in its cell a corner lies, summed over hourglasses."""
        cells_O2 = cells_of(corner_O2, size)
        share_O = torch.ones_like(corner_O2[:, 0])
        if self.config.offsets_of == "cells":
            share_O = last_in_cell(image_O, cells_O2, len(maps.heat[0]), size)
        count = mean_over_processes(share_O.sum()).clamp(min=1)
        truth_O2 = corner_O2 - cells_O2
        found = [at_cells(x, image_O, cells_O2) for x in maps.offset]
        losses_O2 = torch.stack([F.smooth_l1_loss(x, truth_O2, reduction="none") for x in found]).sum(dim=0)
        return (losses_O2 * share_O[:, None]).sum() / count

    def seen(self, batch: Batch, mirrored: bool) -> Prediction:
        """With the mirror image, the candidates of both compete."""
        images, corners = self.placed(batch)
        where = batch.sizes, batch.original_sizes, size_of(images)
        found = self.candidates(self.raw(images), *where, corners)
        if mirrored:
            (top, left), (_, width) = (corners or [(0, 0)])[0], batch.sizes[0]
            from_right = top, images.shape[3] - left - width
            (other,) = self.candidates(self.raw(images.flip(-1)), *where, [from_right])
            found.append(replace(other, boxes=flip_boxes(other.boxes, batch.original_sizes[0][1])))
        return joined(found)

    def boxes(self, raw: PairOutput, sizes_N2: Tensor, canvas: Size, begins_N2: Tensor) -> Boxes:
        """The best pairs of corners of each image."""
        c = self.config
        one, other = (corners_in(maps, c.corners, c.peak_kernel, canvas) for maps in raw)
        limits_N2 = sizes_N2.flip(1) if c.clip == "all" else None
        return boxes_between(one, other, begins_N2, limits_N2, c.tag_distance, c.pairs)

    def suppressed_batch(self, candidates: Boxes) -> Boxes:
        c = self.config
        return soft_suppressed(candidates, c.nms, c.detections)

    def suppressed(self, candidates: Prediction, scales: int = 1) -> Prediction:
        c = self.config
        candidates = candidates[torch.where(candidates.scores >= 0)[0]]
        kept = soft_nms(candidates.boxes, candidates.scores, c.nms, c.detections, candidates.labels)
        labels = classes_of(candidates.labels[kept.rows], c.class_ids)
        found = Prediction(candidates.boxes[kept.rows], kept.scores, labels)
        return found[torch.where(found.labels >= 0)[0]]
