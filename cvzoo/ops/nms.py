"""Non-maximum suppression of many groups of boxes at once: of boxes that overlap, the best one stays.

Shape suffixes: N images, P boxes of one level of each, best first; G groups, an image and level each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms

from cvzoo.ops.boxes import pairwise_iou
from cvzoo.ops.detect import kept_of_batch
from cvzoo.ops.kernels import triton_kernels
from cvzoo.structures import Boxes

ROUNDS_AT_ONCE = 8
"""Rounds between two looks at whether anything still changes; chains of boxes that depend on each other are short."""


def suppress_levels(boxes: Sequence[Tensor], valid: Sequence[Tensor], threshold: float) -> list[Tensor]:
    """Per level (N, P) bool: which boxes stay, of levels of (N, P, 4) boxes whose rows come by falling score.

    Of two boxes of an image and level with a higher IoU than `threshold` the later goes. Boxes that are not `valid`
    take no part. On a CPU box after box; elsewhere all at once, and the program waits once in a few rounds.
    """
    if torch.compiler.is_exporting():
        return [_in_graph(*level, threshold) for level in zip(boxes, valid)]
    if boxes[0].device.type == "cpu":
        return [_one_by_one(*level, threshold) for level in zip(boxes, valid)]
    return _at_once(boxes, valid, threshold)


def _one_by_one(boxes_NP4: Tensor, valid_NP: Tensor, threshold: float) -> Tensor:
    kept_NP = torch.zeros_like(valid_NP)
    for kept_P, boxes_P4, valid_P in zip(kept_NP, boxes_NP4, valid_NP):
        rows = torch.where(valid_P)[0]
        falling = torch.arange(len(rows), 0, -1, dtype=boxes_P4.dtype)
        kept_P[rows[nms(boxes_P4[rows], falling, threshold)]] = True
    return kept_NP


def _in_graph(boxes_NP4: Tensor, valid_NP: Tensor, threshold: float) -> Tensor:
    falling_NP = torch.arange(valid_NP.shape[1], 0, -1, device=boxes_NP4.device).expand_as(valid_NP)
    candidates = Boxes(boxes_NP4, falling_NP.to(boxes_NP4.dtype), torch.zeros_like(falling_NP))
    return kept_of_batch(candidates, valid_NP, threshold)


def _at_once(boxes: Sequence[Tensor], valid: Sequence[Tensor], threshold: float) -> list[Tensor]:
    """A box stays that no staying box before it overlaps.

    Begun with all boxes, that rule is right for the first box after one round, for those that depend on it after two,
    and so on; what no longer changes is right.
    """
    counts = [valid_NP.shape[1] for valid_NP in valid]
    most = max(counts)
    valid_GP = torch.cat([F.pad(valid_NP, (0, most - count)) for valid_NP, count in zip(valid, counts)])
    groups = [F.pad(boxes_NP4, (0, 0, 0, most - count)) for boxes_NP4, count in zip(boxes, counts)]
    goes = _overlapped(groups, threshold)
    before = kept = valid_GP
    while True:
        for _ in range(ROUNDS_AT_ONCE):
            before, kept = kept, valid_GP & ~goes(kept)
        if not (kept != before).any():
            return [kept_NP[:, :count] for kept_NP, count in zip(kept.chunk(len(boxes)), counts)]


def _overlapped(groups: list[Tensor], threshold: float) -> Callable[[Tensor], Tensor]:
    """A function of which boxes (G, P) are there: which boxes one of those before them overlaps."""
    if (kernels := triton_kernels("nms", groups[0])) is not None:
        words_GPW = kernels.overlaps(torch.cat(groups), threshold)
        return lambda there_GP: (words_GPW & kernels.packed(there_GP).unsqueeze(1)).any(dim=2)
    # level by level, since their IoUs would be large
    overlaps_GPP = torch.cat([(pairwise_iou(boxes_NP4, boxes_NP4) > threshold).triu_(1) for boxes_NP4 in groups])
    return lambda there_GP: (overlaps_GPP & there_GP.unsqueeze(2)).any(dim=1)
