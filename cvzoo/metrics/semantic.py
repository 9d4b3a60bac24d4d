"""Scores of label maps: how well the classes of pixels are predicted, from one confusion matrix over the whole split.

The definitions are mmsegmentation's: matrices of images are added first and divided once, pixels of truth IGNORE are
left out, and classes that do not occur count in no mean. Shape suffixes: H, W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cvzoo.structures import IGNORE

NAMES = ("mIoU", "mAcc", "aAcc")


@dataclass(frozen=True)
class SemanticResult:
    """What an evaluation found. Every value lies in 0..1, or is -1 where no pixel of that sort exists."""

    stats: dict[str, float]
    """`mIoU`, `mAcc`: means over classes of the intersection over union and of the share of their true pixels found.
    `aAcc`: the share of all pixels that are right."""
    per_class: dict[str, float]
    """IoU by class name."""
    confusion: list[list[int]]
    """Pixels by true class (row) and predicted class (column)."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, as metrics.json holds them."""
        return asdict(self)


def confusion(labels_HW: Tensor, truth_HW: Tensor, classes: int) -> Tensor:
    """The pixels of one image, counted: (K, K) int64, true class by predicted class. Matrices of images add up.

    Args:
        labels_HW: uint8, the predicted class of every pixel.
        truth_HW: uint8, the true one; pixels of IGNORE are left out.
        classes: K.

    Raises:
        ValueError: when the sizes differ, or a counted pixel is of a class that does not exist.
    """
    if labels_HW.shape != truth_HW.shape:
        raise ValueError(f"the predicted label map is {tuple(labels_HW.shape)}, the true one {tuple(truth_HW.shape)}")
    # All pairs of bytes are counted: ignored pixels and classes that do not exist then need no pass of their own.
    pairs = truth_HW.flatten().int() * 256 + labels_HW.flatten()
    counts = torch.bincount(pairs, minlength=256 * 256).reshape(256, 256)
    counts[IGNORE] = 0
    counts_KK = counts[:classes, :classes].clone()
    if counts_KK.sum() != counts.sum():
        true, predicted = (sorted(set(side.tolist()) - set(range(classes))) for side in counts.nonzero(as_tuple=True))
        raise ValueError(f"of {classes} classes, the true pixels have also {true}, the predicted ones {predicted}")
    return counts_KK


def evaluate_semantic(counts_KK: Tensor, class_names: Sequence[str]) -> SemanticResult:
    """The figures of a split, from the sum of its images' matrices."""
    hits = counts_KK.diagonal().double()
    truth, predicted = counts_KK.sum(1), counts_KK.sum(0)
    iou = hits / (truth + predicted - hits)  # nan where a class occurs in neither
    return SemanticResult(
        stats={
            "mIoU": _known(iou.nanmean()),
            "mAcc": _known((hits / truth).nanmean()),
            "aAcc": _known(hits.sum() / truth.sum()),
        },
        per_class={name: _known(value) for name, value in zip(class_names, iou, strict=True)},
        confusion=counts_KK.tolist(),
    )


def mean_iou(places: np.ndarray, counts: np.ndarray, classes: int) -> float:
    """The mean IoU of the classes that occur in one image, truth or prediction; 1 where no pixel counts.

    Args:
        places: of the (K, K) matrix that is 0 elsewhere, row by row ...
        counts: ... and the pixels counted there.
        classes: K.
    """
    truth, predicted = np.divmod(places, classes)
    both = np.bincount(np.append(truth, predicted), np.append(counts, counts), classes)
    hits = np.bincount(truth[truth == predicted], counts[truth == predicted], classes)
    iou = hits[both > 0] / (both - hits)[both > 0]
    return float(iou.mean()) if len(iou) else 1.0


def _known(value: Tensor) -> float:
    return -1.0 if value.isnan() else value.item()
