"""From the scores of all candidates to detections, for detectors that score every cell of a pyramid.

Shape suffixes: K classes, M candidates of one level of one image, P the best pairs of candidate and class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from cvzoo.nn.towers import logit
from cvzoo.ops.anchors import AnchorConfig, anchors_of, per_anchor
from cvzoo.ops.boxes import Weights, decode_boxes
from cvzoo.ops.detect import DetectConfig, best_pairs, detect
from cvzoo.structures import Prediction, Size

ScoreRule = Literal["product", "root"]
"""`product`: pairs are thresholded and ranked by class score, then scored times centreness (mmdetection). `root`: the
root of that product decides everything (detectron2, torchvision)."""
BoxesAt = Callable[[int, int, Tensor], Tensor]
"""(level, image, candidates (P,)) to boxes (P, 4) in network pixels."""


class DetectionConfig(Protocol):
    """What the config of such a detector says of its detections."""

    @property
    def num_classes(self) -> int: ...
    @property
    def class_ids(self) -> tuple[int, ...]: ...
    @property
    def candidates(self) -> int: ...
    @property
    def detect(self) -> DetectConfig: ...


def moved_anchors(
    deltas: list[Tensor], anchors: tuple[Tensor, ...], weights: Weights, clamp_shrinking: bool
) -> BoxesAt:
    """For `detections_of`: the boxes to which the deltas move the anchors."""

    def boxes_at(level: int, image: int, anchor_P: Tensor) -> Tensor:
        deltas_P4 = per_anchor(deltas[level][image], 4)[anchor_P]
        return decode_boxes(deltas_P4, anchors[level][anchor_P], weights, clamp_shrinking)

    return boxes_at


class AnchoredConfig(DetectionConfig, Protocol):
    """What the config of a detector says that moves anchors."""

    @property
    def anchors(self) -> AnchorConfig: ...
    @property
    def box_weights(self) -> Weights: ...


class AnchoredOutput(Protocol):
    """What its head says of the anchors, level by level."""

    @property
    def logits(self) -> list[Tensor]: ...
    @property
    def deltas(self) -> list[Tensor]: ...


def detections_of_anchors(
    raw: AnchoredOutput,
    config: AnchoredConfig,
    canvas: Size,
    sizes: list[Size],
    original_sizes: list[Size],
    clamp_shrinking: bool,
) -> list[Prediction]:
    """`detections_of` anchors that deltas have moved."""
    anchors = anchors_of(config.anchors, raw.logits, canvas)
    boxes_at = moved_anchors(raw.deltas, anchors, config.box_weights, clamp_shrinking)
    return detections_of(raw.logits, getattr(raw, "centreness", []), boxes_at, config, sizes, original_sizes)


def detections_of(
    logits: list[Tensor],
    centreness: list[Tensor],
    boxes_at: BoxesAt,
    config: DetectionConfig,
    sizes: list[Size],
    original_sizes: list[Size],
    rule: ScoreRule = "product",
) -> list[Prediction]:
    """Detections of each image in original pixels; `logits` and `centreness` (or none) are maps, level by level."""
    found = []
    for n, (size, original_size) in enumerate(zip(sizes, original_sizes)):
        boxes, scores, labels = [], [], []
        for level, x in enumerate(logits):
            logits_MK = per_anchor(x[n], config.num_classes)
            centreness_M = per_anchor(centreness[level][n], 1).squeeze(1) if centreness else None
            score_P, row_P, label_P = _best(logits_MK, centreness_M, config, rule)
            boxes.append(boxes_at(level, n, row_P))
            scores.append(score_P)
            labels.append(label_P)
        candidates = Prediction(torch.cat(boxes), torch.cat(scores), torch.cat(labels))
        found.append(detect(candidates, config.detect, size, original_size, config.class_ids))
    return found


def _best(
    logits_MK: Tensor, centreness_M: Tensor | None, config: DetectionConfig, rule: ScoreRule
) -> tuple[Tensor, Tensor, Tensor]:
    """Score, candidate and class of the best pairs of one level over the score threshold."""
    threshold = config.detect.score_threshold
    count = config.candidates
    if centreness_M is not None and rule == "root":
        squared_MK = logits_MK.float().sigmoid() * centreness_M.float().sigmoid()[:, None]
        row_P, label_P = best_pairs(squared_MK, threshold**2, count)
        return squared_MK[row_P, label_P].sqrt(), row_P, label_P
    row_P, label_P = best_pairs(logits_MK, logit(threshold), count)
    score_P = logits_MK[row_P, label_P].float().sigmoid()
    if centreness_M is not None:
        score_P = score_P * centreness_M[row_P].float().sigmoid()
    return score_P, row_P, label_P
