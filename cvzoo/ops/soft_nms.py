"""Soft-NMS (1704.04503): of boxes that overlap, the lower-scored ones lose score, rather than all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never

import torch
from torch import Tensor

from cvzoo.fields import NotNegative, Positive, Share
from cvzoo.ops.boxes import pairwise_iou


@dataclass(frozen=True, kw_only=True)
class SoftNMSConfig:
    """What the boxes around a detection lose."""

    method: Literal["gaussian", "linear", "hard"] = "gaussian"
    """What soft-NMS multiplies the score of an overlapping box by: exp(-IoU^2 / sigma), or beyond the IoU threshold
    1 - IoU (`linear`) or 0 (`hard`)."""
    iou_threshold: Share = 0.5
    """Soft-NMS of method `linear` or `hard`: boxes of a class with at least this IoU count as overlapping."""
    sigma: Positive = 0.5
    """Soft-NMS of method `gaussian`: the higher, the less an overlapping box loses."""
    min_score: Share = 0.001
    """Boxes whose score soft-NMS has brought below this are dropped."""
    extent: NotNegative = 0.0
    """Added to the sides of boxes where soft-NMS computes their IoU; 1 counts whole pixels, as old code does."""


class Kept(NamedTuple):
    """Boxes that stay, by falling score."""

    scores: Tensor
    """(D,): what soft-NMS has left of them."""
    rows: Tensor
    """(D,): which ones they are."""


def soft_nms(
    boxes_P4: Tensor, scores_P: Tensor, config: SoftNMSConfig, count: int, labels_P: Tensor | None = None
) -> Kept:
    """At most `count` boxes that stay.

    With labels, boxes of different classes do not touch each other. Nothing here waits on a GPU but the last line.
    """
    count = min(count, len(scores_P))
    if not count:
        return Kept(scores_P, torch.arange(0, device=scores_P.device))
    keep_PP = 1 - _lost(boxes_P4, config)
    if labels_P is not None:
        keep_PP = torch.where(labels_P[:, None] == labels_P, keep_PP, 1.0)
    left_P = scores_P.float()
    picked: list[tuple[Tensor, Tensor]] = []
    for _ in range(count):
        score, index = left_P.max(dim=0)
        picked.append((score, index))
        lower_P = left_P * keep_PP[index]
        gone_P = (left_P < 0) | (lower_P < config.min_score)
        left_P = lower_P.masked_fill(gone_P, -1.0).scatter(0, index[None], -1.0)
    scores, indices = (torch.stack(values) for values in zip(*picked))
    stays = torch.where(scores >= 0)[0]
    return Kept(scores[stays], indices[stays])


def _lost(boxes_P4: Tensor, config: SoftNMSConfig) -> Tensor:
    """(P, P): the share of its score that a box loses to another one."""
    wide_P4 = boxes_P4.float() + boxes_P4.new_tensor([0.0, 0.0, config.extent, config.extent])
    iou_PP = pairwise_iou(wide_P4, wide_P4).nan_to_num_(0.0)  # of two boxes without area
    match config.method:
        case "gaussian":
            return 1 - torch.exp(-iou_PP.square() / config.sigma)
        case "linear":
            return torch.where(iou_PP >= config.iou_threshold, iou_PP, 0.0)
        case "hard":
            return (iou_PP >= config.iou_threshold).float()
    assert_never(config.method)
