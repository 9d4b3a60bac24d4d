"""Detections above a score: precision, recall, F1, the best threshold, and which class is taken for which.

Shape suffixes: D detections, T thresholds, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvzoo.metrics.pairing import FOUND, Pairing, greedy

THRESHOLDS_T = np.arange(101) / 100


@dataclass(frozen=True)
class Operating:
    """How well detections do that score at least a threshold."""

    threshold: float
    """Of `THRESHOLDS_T` the highest where F1 is greatest; 0 where nothing is right."""
    precision: float
    """There: the share of the detections that are right."""
    recall: float
    """There: the share of the objects that are found."""
    f1: float
    """There: their harmonic mean."""
    curves_3T: np.ndarray
    """Precision, recall and F1 at `THRESHOLDS_T`; nan for a precision of no detections."""


def operating(pairing: Pairing, label: int | None = None) -> Operating:
    """Of one class, or of all detections together."""
    own_D = pairing.counted_D if label is None else pairing.counted_D & (pairing.detections.labels_D == label)
    counts_K = pairing.counts_K
    objects = int(counts_K.sum() if label is None else counts_K[label])
    found = np.flatnonzero(own_D)
    found = found[np.argsort(-pairing.detections.scores_D[found], kind="stable")]
    scores = pairing.detections.scores_D[found]
    hits = np.append(0, np.cumsum(pairing.right_D[found]))  # of the best 0, 1, 2 ...
    taken_T = np.searchsorted(-scores, -THRESHOLDS_T, side="right")
    hits_T = hits[taken_T]
    precision_T = hits_T / np.where(taken_T > 0, taken_T, np.nan)
    recall_T = hits_T / max(objects, 1)
    f1_T = 2 * hits_T / np.maximum(taken_T + objects, 1)
    best = int(np.flatnonzero(f1_T == f1_T.max())[-1]) if f1_T.any() else 0
    return Operating(
        threshold=float(THRESHOLDS_T[best]),
        precision=float(np.nan_to_num(precision_T[best])),
        recall=float(recall_T[best]),
        f1=float(f1_T[best]),
        curves_3T=np.stack([precision_T, recall_T, f1_T]),
    )


def confusion_of(pairing: Pairing, threshold: float) -> np.ndarray:
    """(K + 1, K + 1) int64: objects by true class (row) and by the class they were taken for (column).

    The last row and column are the background: detections of nothing, and objects that were not found. Detections of
    at least `threshold` first find the objects of their class; those left over then take objects of any class that
    are left, at the same IoU, the surest first.
    """
    objects, detections = pairing.objects, pairing.detections
    chosen_D = pairing.counted_D & (detections.scores_D >= threshold)
    object_of_D = np.where(chosen_D, pairing.object_of_D, -1)
    free_G = ~objects.crowds_G
    free_G[object_of_D[object_of_D >= 0]] = False
    pairs = pairing.pairs
    left_P = (chosen_D & (object_of_D < 0))[pairs.detections_P] & free_G[pairs.objects_P] & (pairs.ious_P >= FOUND)
    taken_D = greedy(pairs.where(left_P), detections.scores_D, len(free_G))
    object_of_D = np.where(taken_D >= 0, taken_D, object_of_D)
    free_G[object_of_D[object_of_D >= 0]] = False
    classes = pairing.classes
    truth_D = np.full(len(chosen_D), classes)
    truth_D[object_of_D >= 0] = objects.labels_G[object_of_D[object_of_D >= 0]]
    counts = np.bincount(
        truth_D[chosen_D] * (classes + 1) + detections.labels_D[chosen_D], minlength=(classes + 1) ** 2
    ).reshape(classes + 1, classes + 1)
    counts[:classes, classes] += np.bincount(objects.labels_G[free_G], minlength=classes)
    return counts
