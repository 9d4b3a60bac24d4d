"""CenterNet: Objects as Points (Zhou et al., 1904.07850).

No anchors and no NMS: an object is the peak of its class' heat map at the centre of its box. At that cell the network
also tells the box's size, and how far the centre lies from the cell's corner.

Shape suffixes: N images, K classes, H W cells of the map, O objects of all images, P peaks of an image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from cvzoo.fields import ClassId, Count, NotNegative
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.deconv import DeconvConfig
from cvzoo.nn.dla_up import DLAUpConfig
from cvzoo.nn.hourglass import HourglassConfig
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.boxes import xyxy
from cvzoo.ops.class_ids import classes_of
from cvzoo.ops.distributed import mean_over_processes
from cvzoo.ops.soft_nms import SoftNMSConfig, soft_nms
from cvzoo.parts.heatmap.detector import HeatmapDetector, soft_suppressed
from cvzoo.parts.heatmap.frame import Frame, begun_at
from cvzoo.parts.heatmap.head import Branch
from cvzoo.parts.heatmap.heat import Point
from cvzoo.parts.heatmap.loss import heatmap_loss, peaks_in
from cvzoo.parts.heatmap.peaks import at_peaks, peaks, pixels_of_cell
from cvzoo.parts.heatmap.targets import GaussianConfig, at_cells, cells_of, draw, last_in_cell, objects_of
from cvzoo.structures import AnswerKind, Batch, Boxes, Prediction, Size, Target, size_of

AMONG_SCALES = SoftNMSConfig(extent=1.0)
"""What the authors merge several test scales by."""
START = math.log(0.1 / 0.9)
"""Logits that every class starts from: a score of 0.1."""


@dataclass(frozen=True, kw_only=True)
class CenterNetConfig:
    """Hyper-parameters; the defaults are mmdetection's with ResNet-18."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes the network scores."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""
    backbone: BodyConfig | HourglassConfig = field(
        default_factory=lambda: ResNetConfig(depth=18, norm="batch", frozen_stages=0)
    )
    """The network that turns an image into feature maps: C2 to C5, or one of each hourglass."""
    neck: DeconvConfig | DLAUpConfig | None = field(default_factory=DeconvConfig)
    """What brings C2 to C5 to the map where the objects are found, usually of stride 4: deconvolutions of C5, or the
    steps of deep layer aggregation; None with hourglasses, each of which gives such a map."""
    pixels: Pixels = IMAGENET
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    head_channels: Count = 64
    """Channels of the 3x3 convolution of each branch: scores, sizes, offsets."""

    gaussian: GaussianConfig = field(default_factory=GaussianConfig)
    """How far around an object's centre its heat map is warm in training."""
    margin: NotNegative = 0.0
    """Cells by which true boxes are clipped short of the map's right and bottom ends: a whole cell in the original
    repository, a quarter of one in cvpods, none in mmdetection."""
    focal_alpha: NotNegative = 2.0
    """How strongly well-scored cells are discounted in the loss of the heat maps."""
    focal_gamma: NotNegative = 4.0
    """How strongly cells near a centre are discounted as background in the loss of the heat maps."""
    clamp: NotNegative = 0.0
    """The loss of the heat maps keeps scores this far away from 0 and 1, without gradient beyond (original: 1e-4)."""
    size_weight: NotNegative = 0.1
    """Weight of the loss of the sizes."""
    offset_weight: NotNegative = 1.0
    """Weight of the loss of the offsets."""
    normaliser: Literal["peaks", "objects"] = "peaks"
    """Sizes and offsets are learnt by one object per cell and divided by the number of peaks in the heat maps
    (mmdetection), or by every object and divided by their number (original, cvpods)."""

    frame: Frame | None = None
    """Inference: each image lies in the middle of a canvas (all references); None: padded as in training."""
    peak_window: Count = 3
    """A peak is the highest cell of a square window of this many cells; odd."""
    detections: Count = 100
    """The best peaks of an image that become detections, whatever they score."""
    nms: SoftNMSConfig | None = None
    """What overlapping boxes of a class do to each other's scores; None: nothing, unless they come from several test
    scales."""
    clip: bool = True
    """Clip detected boxes to the image; the references leave them as they are."""

    def __post_init__(self) -> None:
        if isinstance(self.backbone, HourglassConfig) != (self.neck is None):
            raise ValueError("model.neck must be None with a backbone of hourglasses, and with no other one")
        if self.peak_window < 1 or self.peak_window % 2 == 0:
            raise ValueError(f"model.peak-window must be odd and positive, not {self.peak_window}")

    def build(self) -> CenterNet:
        return CenterNet(self)


class CenterNetOutput(NamedTuple):
    """What the head says of every cell."""

    logits: Tensor
    """(N, K, H, W)."""
    sizes: Tensor
    """(N, 2, H, W): width and height of a box in cells."""
    offsets: Tensor
    """(N, 2, H, W): x and y of its centre in its cell."""
    earlier: tuple[CenterNetOutput, ...] = ()
    """In training, what the heads of earlier hourglasses say."""


class Head(nn.Module):
    """Three branches on one map."""

    def __init__(self, in_channels: int, channels: int, classes: int) -> None:
        super().__init__()
        self.cls = Branch(in_channels, channels, classes)
        self.size = Branch(in_channels, channels, 2)
        self.offset = Branch(in_channels, channels, 2)
        nn.init.constant_(self.cls.out.get_parameter("bias"), START)
        for branch in (self.size, self.offset):
            for conv in (branch.conv, branch.out):
                nn.init.normal_(conv.weight, std=0.001)
                nn.init.zeros_(conv.get_parameter("bias"))

    def forward(self, x: Tensor) -> CenterNetOutput:
        return CenterNetOutput(self.cls(x), self.size(x), self.offset(x))


class Truth(NamedTuple):
    """What the cells of a batch learn."""

    heat_NKHW: Tensor
    peak_O: tuple[Tensor, ...]
    """The index of the objects' cells in it."""
    image_O: Tensor
    """The image each object is in."""
    cells_O2: Tensor
    """Of the objects' centres, x and y."""
    sizes_O2: Tensor
    """Width and height in cells."""
    offsets_O2: Tensor
    counted_O: Tensor
    """1 for objects that learn size and offset, 0 for others."""


class CenterNet(HeatmapDetector[CenterNetOutput]):
    """The whole detector; see the model protocol in docs/models.md."""

    config: CenterNetConfig

    def __init__(self, config: CenterNetConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone = config.backbone.build()
        self.neck = None if config.neck is None else config.neck.build(backbone.channels)
        maps = backbone.channels if self.neck is None else (self.neck.channels,)
        *earlier, self.head = (Head(channels, config.head_channels, config.num_classes) for channels in maps)
        self.earlier = nn.ModuleList(earlier)

    def raw(self, images_N3HW: Tensor) -> CenterNetOutput:
        """In training of all maps, else of the last one."""
        maps = self.backbone(images_N3HW)
        maps = maps if self.neck is None else [self.neck(maps)]
        found = self.head(maps[-1])
        if not self.training:
            return found
        return found._replace(earlier=tuple(head(x) for head, x in zip(self.earlier, maps)))

    def heat(self, raw: CenterNetOutput) -> dict[Point, Tensor]:
        return {"centre": raw.logits}

    def truth(self, targets: list[Target], canvas: Size, map_size: Size) -> Truth:
        """What maps of `map_size` learn."""
        c = self.config
        objects = objects_of(targets, canvas, map_size, c.class_ids, c.margin)
        left_top_O2, right_bottom_O2 = objects.boxes_O4.split(2, dim=1)
        centres_O2, sizes_O2 = (left_top_O2 + right_bottom_O2) / 2, right_bottom_O2 - left_top_O2
        cells_O2 = cells_of(centres_O2, map_size)
        map_O = objects.image_O * c.num_classes + objects.labels_O
        radius_O = c.gaussian.radius(sizes_O2.flip(1))
        heat = draw(cells_O2, radius_O, map_O, len(targets) * c.num_classes, map_size)
        counted_O = torch.ones(len(map_O), device=map_O.device)
        if c.normaliser == "peaks":
            counted_O = last_in_cell(objects.image_O, cells_O2, len(targets), map_size)
        heat_NKHW = heat.view(len(targets), c.num_classes, *map_size)
        peak_O = objects.peaks(cells_O2)
        return Truth(heat_NKHW, peak_O, objects.image_O, cells_O2, sizes_O2, centres_O2 - cells_O2, counted_O)

    def losses(self, raw: CenterNetOutput, targets: list[Target], sizes: list[Size], canvas: Size) -> dict[str, Tensor]:
        """`loss_heatmap` over all cells, `loss_size` and `loss_offset` over those of the objects' centres.

        They are means over the hourglasses, where there are some.
        """
        truth = self.truth(targets, canvas, size_of(raw.logits))
        parts = [self.losses_of(own, truth) for own in (*raw.earlier, raw)]
        return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}

    def losses_of(self, raw: CenterNetOutput, truth: Truth) -> dict[str, Tensor]:
        """The losses of one map."""
        c = self.config
        peak_count = mean_over_processes(peaks_in(truth.heat_NKHW)).clamp(min=1)
        count = 2 * peak_count
        if c.normaliser == "objects":
            count = 2 * mean_over_processes(truth.counted_O.sum()) + 1e-4
        heat = heatmap_loss(raw.logits, truth.heat_NKHW, truth.peak_O, c.focal_alpha, c.focal_gamma, c.clamp)
        size_O2 = (at_cells(raw.sizes, truth.image_O, truth.cells_O2) - truth.sizes_O2).abs()
        offset_O2 = (at_cells(raw.offsets, truth.image_O, truth.cells_O2) - truth.offsets_O2).abs()
        return {
            "loss_heatmap": heat / peak_count,
            "loss_size": c.size_weight * (size_O2.sum(dim=1) * truth.counted_O).sum() / count,
            "loss_offset": c.offset_weight * (offset_O2.sum(dim=1) * truth.counted_O).sum() / count,
        }

    def seen(self, batch: Batch, mirrored: bool) -> Prediction:
        """With the mirror image, scores and sizes are the mean of both; the offsets are the image's own."""
        images, corners = self.placed(batch)
        raw = self.raw(images)
        if mirrored:
            other = self.raw(images.flip(-1))
            scores = (raw.logits.float().sigmoid() + other.logits.float().sigmoid().flip(-1)) / 2
            raw = raw._replace(logits=scores.logit(), sizes=(raw.sizes + other.sizes.flip(-1)) / 2)
        (found,) = self.candidates(raw, batch.sizes, batch.original_sizes, size_of(images), corners)
        return found

    def boxes(self, raw: CenterNetOutput, sizes_N2: Tensor, canvas: Size, begins_N2: Tensor) -> Boxes:
        """The best peaks of each image."""
        c = self.config
        stride_2 = pixels_of_cell(raw.logits, canvas)
        found = peaks(raw.logits, c.detections, c.peak_window)
        centres_NP2 = found.cells_NP2 + at_peaks(raw.offsets, found)
        half_NP2 = at_peaks(raw.sizes, found) / 2
        boxes_NP4 = torch.cat([(centres_NP2 - half_NP2) * stride_2, (centres_NP2 + half_NP2) * stride_2], dim=2)
        boxes_NP4 = begun_at(boxes_NP4, begins_N2)
        if c.clip:
            boxes_NP4 = boxes_NP4.clamp(min=0).minimum(xyxy(sizes_N2).to(boxes_NP4.dtype))
        return Boxes(boxes_NP4, found.scores_NP, found.labels_NP)

    def suppressed_batch(self, candidates: Boxes) -> Boxes:
        nms = self.config.nms
        if nms is None:
            return candidates
        return soft_suppressed(candidates, nms, candidates.scores.shape[1])

    def suppressed(self, candidates: Prediction, scales: int = 1) -> Prediction:
        """A peak has no rival but those at other scales."""
        nms = self.config.nms or (AMONG_SCALES if scales > 1 else None)
        if nms is not None:
            kept = soft_nms(candidates.boxes, candidates.scores, nms, self.config.detections, candidates.labels)
            candidates = replace(candidates[kept.rows], scores=kept.scores)
        class_ids = self.config.class_ids
        found = replace(candidates, labels=classes_of(candidates.labels, class_ids))
        return found[torch.where(found.labels >= 0)[0]] if class_ids else found
