"""TensorMask: a Foundation for Dense Object Segmentation (Chen et al., 1903.12174).

Two sliding windows in each cell of a pyramid, and for each of them classes, a box and a mask of its own: a window's
mask is a tensor, not a vector of channels. With the tensor bipyramid the coarser the level, the finer its masks in
cells, so that all are as fine as the finest level. The masks are predicted aligned (a cell says what each window over
it has there) and swapped to natural masks where they are read.
Shape suffixes: N images, L levels, A windows of a cell, K classes, M windows of all levels, F windows that learn an
object and D detections of all images, P the best pairs of window and class of an image, S side of a mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cvzoo.fields import ClassId, Count, Fraction, Natural, NotNegative
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.pixels import IMAGENET, Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.towers import logit
from cvzoo.ops.anchors import AnchorConfig, anchors_of, per_anchor
from cvzoo.ops.boxes import Weights, decode_boxes
from cvzoo.ops.detect import (
    DetectConfig,
    best_of_batch,
    best_pairs,
    gather_rows,
    suppress_batch,
    suppressed,
    to_original,
)
from cvzoo.ops.distributed import processes, sum_over_processes
from cvzoo.ops.losses import box_loss, focal_loss_of_levels, focal_star_loss
from cvzoo.ops.masks import mask_targets
from cvzoo.parts.dense.detector import DenseDetector
from cvzoo.structures import AnswerKind, Boxes, BoxesWithWindows, Mask, Prediction, Size, Target, size_of
from cvzoo.zoo.tensormask.graph import masks_of_batch
from cvzoo.zoo.tensormask.head import Representation, TensorMaskHead, TensorMaskOutput
from cvzoo.zoo.tensormask.windows import Windows, match_windows

STRIDES = (4, 8, 16, 32, 64, 128)
WINDOWS = AnchorConfig(sizes=tuple((11 * stride, 15 * stride) for stride in STRIDES), ratios=((1.0,),), strides=STRIDES)


@dataclass(frozen=True, kw_only=True)
class TensorMaskConfig:
    """Hyper-parameters; the defaults are detectron2's with torchvision's ResNet-50."""

    answer: ClassVar[AnswerKind] = "boxes"

    num_classes: Count = 80
    """Classes the network scores."""
    class_ids: tuple[ClassId, ...] = ()
    """Data-set class of each output, -1 for an unused one; () when they are the same."""
    backbone: BodyConfig = field(default_factory=ResNetConfig)
    """The network that turns an image into feature maps, C2 to C5."""
    fpn: FPNConfig = field(default_factory=lambda: FPNConfig(first_level=2, extra_from="input", fuse="mean"))
    """The pyramid, P2 to P7."""
    pixels: Pixels = IMAGENET
    """How pixels are normalised and padded; belongs to the backbone's weights."""
    windows: AnchorConfig = WINDOWS
    """The sliding windows of each cell, level by level: squares. On the finest level a mask has a pixel for each of the
    level's cells that its window covers."""
    representation: Representation = "bipyramid"
    """How masks are predicted: on the finest level's cells, aligned, for all levels (`bipyramid`); on each level's own
    cells as what the windows over a cell have there (`aligned`), or as the masks of the cell's windows (`natural`)."""
    tower_convs: Natural = 4
    """3x3 convolutions in each tower."""
    cls_channels: Count = 256
    """Channels of the tower of classes."""
    box_channels: Count = 128
    """Channels of the tower of boxes."""
    mask_channels: Count = 128
    """Channels of the tower of masks."""
    prior: Fraction = 0.01
    """Score that every class starts from."""
    mask_pad: float = -6.0
    """Logit of the pixels of a mask that lie outside the map."""

    box_weights: Weights = (1.5, 1.5, 0.75, 0.75)
    """What the regressed deltas (dx, dy, dw, dh) are multiplied by."""
    focal_alpha: NotNegative = 0.3
    """Weight of positives in the focal loss; negatives have 1 minus that."""
    focal_gamma: NotNegative = 3.0
    """How much steeper the focal loss makes the logits, so that well-classified windows count less."""
    mask_weight: NotNegative = 2.0
    """Weight of the mask loss."""
    mask_positive_weight: NotNegative = 1.5
    """Weight of the pixels that belong to an object, beside those that do not, in the mask loss."""

    candidates: Count = 6000
    """At most this many (window, class) pairs of an image go to NMS, over all levels."""
    detect: DetectConfig = field(default_factory=lambda: DetectConfig(clip_first=False))
    """Which scored boxes become detections."""

    def __post_init__(self) -> None:
        w, problems = self.windows, []
        if w.ratios != ((1.0,),) or w.rounded or w.stride_from_input or len({len(sizes) for sizes in w.sizes}) > 1:
            problems.append("must be squares, as many on each level, not rounded, and a stride apart")
        if any(stride % w.strides[0] for stride in w.strides):
            problems.append(f"have strides {w.strides}, which are not multiples of the first")
        if min(self.mask_sides) < 1:
            problems.append(f"are smaller than the finest level's cells of {w.strides[0]} pixels")
        if problems:
            raise ValueError(f"model.windows {'; '.join(problems)}")

    @property
    def mask_sides(self) -> tuple[int, ...]:
        """Pixels along the masks of a cell's windows on the finest level."""
        return tuple(int(size) // self.windows.strides[0] for size in self.windows.sizes[0])

    def build(self) -> TensorMask:
        return TensorMask(self)


class Found(NamedTuple):
    """What is found in an image, best first, in network pixels."""

    boxes: Prediction
    """With scores and labels."""
    windows_D4: Tensor
    """In which the masks lie."""
    masks: list[Tensor]
    """D of (S, S): the probability of each pixel of a window; on the CPU."""


class TensorMask(DenseDetector[TensorMaskConfig, TensorMaskOutput]):
    """The whole detector; see the model protocol in docs/models.md."""

    head: TensorMaskHead
    predicts_masks = True

    def __init__(self, config: TensorMaskConfig) -> None:
        super().__init__(config)
        strides = config.windows.strides
        self.head = TensorMaskHead(
            config.fpn.channels,
            config.num_classes,
            config.mask_sides,
            config.representation,
            tuple(stride // strides[0] for stride in strides),
            convs=config.tower_convs,
            tower_channels=(config.cls_channels, config.box_channels, config.mask_channels),
            prior=config.prior,
            pad=config.mask_pad,
        )

    @torch.no_grad()
    def infer(self, images_N3HW: Tensor, sizes_N2: Tensor) -> BoxesWithWindows:
        c, images_N3HW = self.config, self.config.pixels.in_graph(images_N3HW, sizes_N2)
        raw = self.raw(images_N3HW)
        windows_M4 = torch.cat(anchors_of(c.windows, raw.logits, size_of(images_N3HW)))
        logits_NMK = torch.cat([per_anchor(x, c.num_classes) for x in raw.logits], dim=1)
        logit_NP, index_NP, label_NP = best_of_batch(logits_NMK, logit(c.detect.score_threshold), c.candidates)
        deltas_NM4 = torch.cat([per_anchor(x, 4) for x in self.head.all_deltas(raw.features)], dim=1)
        boxes_NP4 = decode_boxes(gather_rows(deltas_NM4, index_NP), windows_M4[index_NP], c.box_weights)
        candidates = Boxes(boxes_NP4, logit_NP.float().sigmoid(), label_NP)
        found, row_ND = suppress_batch(candidates, c.detect, sizes_N2, c.class_ids)
        grids, index_ND = [size_of(x) for x in raw.logits], index_NP.gather(1, row_ND)
        masks = masks_of_batch(self.head, raw.features, grids, found, index_ND, windows_M4, sizes_N2)
        return BoxesWithWindows(*found, *masks)

    def losses(
        self, raw: TensorMaskOutput, targets: list[Target], sizes: list[Size], canvas: Size
    ) -> dict[str, Tensor]:
        """`loss_cls` over all windows, `loss_box` and `loss_mask` over those that learn an object.

        ValueError when the targets have no masks.
        """
        if any(target.masks is None for target in targets):
            raise ValueError("the objects have no masks, which TensorMask learns from; set --data.masks")
        c, grids = self.config, [size_of(x) for x in raw.logits]
        windows_of_levels = anchors_of(c.windows, raw.logits, canvas)
        learnt = match_windows(c.windows, windows_of_levels, grids, targets, c.class_ids)
        image_F, index_F = torch.where(learnt.labels_NM >= 0)
        object_F = learnt.index_NM[image_F, index_F]
        windows_F4 = torch.cat(windows_of_levels)[index_F]
        numbers = torch.stack([image_F, index_F, object_F], dim=1).double()  # as exact as they are
        on_host = torch.cat([numbers, windows_F4], dim=1).cpu().numpy()
        image, index, objects = on_host[:, :3].T.astype(np.int64)
        windows = Windows.of(image, index, grids, c.windows.per_cell())
        count = windows_F4.new_full((), len(windows))
        normaliser = sum_over_processes(count).clamp(min=1) / processes()

        focal = c.num_classes, c.focal_alpha, c.focal_gamma, focal_star_loss
        cls = focal_loss_of_levels(raw.logits, learnt.labels_NM, *focal).sum()
        deltas_F4 = self._deltas(raw.features, windows)[image_F, index_F]
        truth_F4 = learnt.boxes_NG4[image_F, object_F]
        box = box_loss(deltas_F4, windows_F4, truth_F4, "smooth_l1", c.box_weights, 0.0).sum()
        masks, sizes_of_masks, first = _masks(targets, sizes)
        shown = masks, sizes_of_masks, first[image] + objects, on_host[:, 3:]
        mask = self._mask_loss(raw.features, windows, *shown)
        unused = sum(parameter.sum() for parameter in self.head.parameters()) * 0  # all have a gradient in every step
        return {
            "loss_cls": cls / normaliser,
            "loss_box": box / normaliser,
            "loss_mask": c.mask_weight * mask / normaliser + unused,
        }

    def _mask_loss(
        self,
        features: list[Tensor],
        windows: Windows,
        masks: list[Mask],
        sizes: list[Size],
        chosen_F: np.ndarray,
        windows_F4: np.ndarray,
    ) -> Tensor:
        """The mean over the pixels of each window's mask, summed up; in window f it is to be mask `chosen_F`."""
        total = torch.zeros((), device=features[0].device)
        for rows, logits_PSS in self.head.masks(features, windows):
            side = logits_PSS.shape[-1]
            truth_PSS = mask_targets(masks, sizes, chosen_F[rows], windows_F4[rows], side, logits_PSS.device)()
            weight = logits_PSS.new_full((), self.config.mask_positive_weight)
            loss = F.binary_cross_entropy_with_logits(logits_PSS, truth_PSS, reduction="sum", pos_weight=weight)
            total = total + loss / side**2
        return total

    def decode(
        self, raw: TensorMaskOutput, sizes: list[Size], original_sizes: list[Size], canvas: Size
    ) -> list[Prediction]:
        """Detections of each image in original pixels; a mask lies in its window, not in its box."""
        detect, class_ids = self.config.detect, self.config.class_ids
        parts = zip(self.detections(raw, sizes, canvas), sizes, original_sizes)
        return [
            to_original(f.boxes, detect, size, original, class_ids, f.masks, f.windows_D4)
            for f, size, original in parts
        ]

    def detections(self, raw: TensorMaskOutput, sizes: list[Size], canvas: Size) -> list[Found]:
        """The detections of each image in network pixels, labelled by network output."""
        c, grids = self.config, [size_of(x) for x in raw.logits]
        windows_M4 = torch.cat(anchors_of(c.windows, raw.logits, canvas))
        best = [self._best([x[n] for x in raw.logits]) for n in range(len(sizes))]
        deltas_NM4 = self._deltas(raw.features, _windows([index_P for index_P, *_ in best], grids, c.windows))
        kept = []
        for n, (index_P, label_P, score_P) in enumerate(best):
            boxes_P4 = decode_boxes(deltas_NM4[n, index_P], windows_M4[index_P], c.box_weights)
            prediction, rows_D = suppressed(Prediction(boxes_P4, score_P, label_P), c.detect, sizes[n])
            kept.append((prediction, index_P[rows_D]))
        masks = self._probabilities(raw.features, _windows([index_D for _, index_D in kept], grids, c.windows))
        return [Found(f, windows_M4[index_D], [next(masks) for _ in range(len(f))]) for f, index_D in kept]

    def _deltas(self, features: list[Tensor], windows: Windows) -> Tensor:
        """(N, M, 4): the box code of these windows; of others anything."""
        return torch.cat([per_anchor(x, 4) for x in self.head.deltas(features, windows)], dim=1)

    def _best(self, logits: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Window, class and score (P,) of the best pairs of an image, from the maps of its levels."""
        c, start, found = self.config, 0, []
        for x in logits:
            logits_MK = per_anchor(x, c.num_classes)
            row_P, label_P = best_pairs(logits_MK, logit(c.detect.score_threshold), c.candidates)
            found.append((start + row_P, label_P, logits_MK[row_P, label_P].float().sigmoid()))
            start += len(logits_MK)
        index_P, label_P, score_P = (torch.cat(parts) for parts in zip(*found))
        score_P, order_P = score_P.topk(min(c.candidates, len(score_P)))
        return index_P[order_P], label_P[order_P], score_P

    def _probabilities(self, features: list[Tensor], windows: Windows) -> Iterator[Tensor]:
        """The mask (S, S) of each window, on the CPU."""
        masks: dict[int, Tensor] = {}
        for rows, logits_PSS in self.head.masks(features, windows):
            masks.update(zip(rows.tolist(), logits_PSS.sigmoid().cpu()))
        return (masks[row] for row in range(len(windows)))


def _windows(of_image: list[Tensor], grids: list[Size], config: AnchorConfig) -> Windows:
    """Those with these indices (P,) in each image."""
    image_P = np.repeat(np.arange(len(of_image)), [len(index_P) for index_P in of_image])
    return Windows.of(image_P, torch.cat(of_image).cpu().numpy(), grids, config.per_cell())


def _masks(targets: list[Target], sizes: list[Size]) -> tuple[list[Mask], list[Size], np.ndarray]:
    """The masks of all images, the size of each one's image, and which is the first of each image."""
    masks = [target.masks or [] for target in targets]
    of_masks = [size for own, size in zip(masks, sizes) for _ in own]
    return [mask for own in masks for mask in own], of_masks, np.cumsum([0, *map(len, masks[:-1])])
