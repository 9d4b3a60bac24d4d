"""From the scores of all candidates to detections, for detectors that score every cell of a pyramid.

Shape suffixes: N images, K classes, M candidates of one level, P the best pairs of candidate and class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from cvzoo.nn.towers import logit
from cvzoo.ops.anchors import AnchorConfig, anchors_of, per_anchor
from cvzoo.ops.boxes import Weights, decode_boxes
from cvzoo.ops.detect import DetectConfig, best_of_batch, detect, gather_rows
from cvzoo.ops.transfer import rows_where
from cvzoo.structures import Boxes, Prediction, Size

ScoreRule = Literal["product", "root"]
"""`product`: pairs are thresholded and ranked by class score, then scored times centreness (mmdetection). `root`: the
root of that product decides everything (detectron2, torchvision)."""
BoxesAt = Callable[[int, Tensor], Tensor]
"""(level, candidates (N, P)) to boxes (N, P, 4) in network pixels."""


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
    """For `candidates_of`: the boxes to which the deltas move the anchors."""

    def boxes_at(level: int, anchor_NP: Tensor) -> Tensor:
        deltas_NP4 = gather_rows(per_anchor(deltas[level], 4), anchor_NP)
        return decode_boxes(deltas_NP4, anchors[level][anchor_NP], weights, clamp_shrinking)

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


def candidates_of_anchors(raw: AnchoredOutput, config: AnchoredConfig, canvas: Size, clamp_shrinking: bool) -> Boxes:
    """`candidates_of` anchors that deltas have moved."""
    anchors = anchors_of(config.anchors, raw.logits, canvas)
    boxes_at = moved_anchors(raw.deltas, anchors, config.box_weights, clamp_shrinking)
    return candidates_of(raw.logits, getattr(raw, "centreness", []), boxes_at, config)


def candidates_of(
    logits: list[Tensor],
    centreness: list[Tensor],
    boxes_at: BoxesAt,
    config: DetectionConfig,
    rule: ScoreRule = "product",
) -> Boxes:
    """The best candidates of all levels in network pixels, labelled by output; a score of 0 is none.

    `logits` and `centreness` (or none) are maps, level by level.
    """
    boxes, scores, labels = [], [], []
    for level, x in enumerate(logits):
        logits_NMK = per_anchor(x, config.num_classes)
        centreness_NM = per_anchor(centreness[level], 1).squeeze(2) if centreness else None
        score_NP, row_NP, label_NP = _best(logits_NMK, centreness_NM, config, rule)
        boxes.append(boxes_at(level, row_NP))
        scores.append(score_NP)
        labels.append(label_NP)
    return Boxes(torch.cat(boxes, dim=1), torch.cat(scores, dim=1), torch.cat(labels, dim=1))


def detections_of(
    candidates: Boxes, config: DetectionConfig, sizes: list[Size], original_sizes: list[Size]
) -> list[Prediction]:
    """Detections of each image in original pixels."""
    found = []
    rows = rows_where(list(candidates.scores > 0))
    for n, (row_P, size, original_size) in enumerate(zip(rows, sizes, original_sizes)):
        boxes_P4, score_P, label_P = (values[n, row_P] for values in candidates)
        own = Prediction(boxes_P4, score_P, label_P)
        found.append(detect(own, config.detect, size, original_size, config.class_ids))
    return found


def _best(
    logits_NMK: Tensor, centreness_NM: Tensor | None, config: DetectionConfig, rule: ScoreRule
) -> tuple[Tensor, Tensor, Tensor]:
    """Score, candidate and class of the best pairs of one level; scores that are not over the threshold are 0."""
    threshold = config.detect.score_threshold
    count = config.candidates
    if centreness_NM is not None and rule == "root":
        squared_NMK = logits_NMK.float().sigmoid() * centreness_NM.float().sigmoid()[..., None]
        squared_NP, row_NP, label_NP = best_of_batch(squared_NMK, threshold**2, count)
        return squared_NP.clamp(min=0).sqrt(), row_NP, label_NP
    logit_NP, row_NP, label_NP = best_of_batch(logits_NMK, logit(threshold), count)
    score_NP = logit_NP.float().sigmoid()
    if centreness_NM is not None:
        score_NP = score_NP * centreness_NM.gather(1, row_NP).float().sigmoid()
    return score_NP, row_NP, label_NP
