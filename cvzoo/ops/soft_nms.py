"""Soft-NMS (1704.04503): of boxes that overlap, the lower-scored ones lose score, rather than all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, assert_never

import torch
from torch import Tensor

from cvzoo.fields import Needs, NotNegative, Positive, Share
from cvzoo.ops.boxes import pairwise_iou
from cvzoo.ops.transfer import on_device


@dataclass(frozen=True, kw_only=True)
class SoftNMSConfig:
    """What the boxes around a detection lose."""

    method: Literal["gaussian", "linear", "hard"] = "gaussian"
    """What soft-NMS multiplies the score of an overlapping box by: exp(-IoU^2 / sigma), or beyond the IoU threshold
    1 - IoU (`linear`) or 0 (`hard`)."""
    iou_threshold: Annotated[Share, Needs("method=linear", "method=hard")] = 0.5
    """Soft-NMS of method `linear` or `hard`: boxes of a class with at least this IoU count as overlapping."""
    sigma: Annotated[Positive, Needs("method=gaussian")] = 0.5
    """Soft-NMS of method `gaussian`: the higher, the less an overlapping box loses."""
    min_score: Share = 0.001
    """Boxes whose score soft-NMS has brought below this are dropped."""
    extent: NotNegative = 0.0
    """Added to the sides of boxes where soft-NMS computes their IoU; 1 counts whole pixels, as old code does."""


class Kept(NamedTuple):
    """Boxes that stay, by falling score."""

    scores: Tensor
    """(D,) or, of several images, (N, D): what soft-NMS has left of them."""
    rows: Tensor
    """Which ones they are."""


def soft_nms(
    boxes_P4: Tensor, scores_P: Tensor, config: SoftNMSConfig, count: int, labels_P: Tensor | None = None
) -> Kept:
    """At most `count` boxes that stay.

    With labels, boxes of different classes do not touch each other. The program waits once, for how many there are.
    """
    if not len(scores_P):
        return Kept(scores_P, torch.arange(0, device=scores_P.device))
    of_labels = None if labels_P is None else labels_P[None]
    scores_1D, rows_1D = soft_nms_batch(boxes_P4[None], scores_P[None], config, min(count, len(scores_P)), of_labels)
    stays = torch.where(scores_1D[0] >= 0)[0]
    return Kept(scores_1D[0, stays], rows_1D[0, stays])


def soft_nms_batch(
    boxes_NP4: Tensor, scores_NP: Tensor, config: SoftNMSConfig, count: int, labels_NP: Tensor | None = None
) -> Kept:
    """`count` boxes (N, count) of each of several images; their scores are -1 from where no more stay.

    Boxes whose score is negative take no part.
    """
    keep_NPP = 1 - _lost(boxes_NP4, config)
    if labels_NP is not None:
        keep_NPP = torch.where(labels_NP[:, :, None] == labels_NP[:, None], keep_NPP, 1.0)
    left_NP = scores_NP.float()
    picked: list[tuple[Tensor, Tensor]] = []
    for _ in range(count):
        score_N, row_N = left_NP.max(dim=1)
        picked.append((score_N, row_N))
        row_N1 = row_N[:, None]
        lower_NP = left_NP * keep_NPP.gather(1, row_N1[..., None].expand(-1, -1, keep_NPP.shape[2])).squeeze(1)
        gone_NP = (left_NP < 0) | (lower_NP < config.min_score)
        left_NP = lower_NP.masked_fill(gone_NP, -1.0).scatter(1, row_N1, -1.0)
    scores, rows = (torch.stack(values, dim=1) for values in zip(*picked))
    return Kept(scores, rows)


def _lost(boxes_NP4: Tensor, config: SoftNMSConfig) -> Tensor:
    """(N, P, P): the share of its score that a box loses to another one."""
    wide_NP4 = boxes_NP4.float() + on_device([0.0, 0.0, config.extent, config.extent], boxes_NP4.device)
    iou_NPP = pairwise_iou(wide_NP4, wide_NP4).nan_to_num_(0.0)  # of two boxes without area
    match config.method:
        case "gaussian":
            return 1 - torch.exp(-iou_NPP.square() / config.sigma)
        case "linear":
            return torch.where(iou_NPP >= config.iou_threshold, iou_NPP, 0.0)
        case "hard":
            return (iou_NPP >= config.iou_threshold).float()
    assert_never(config.method)
