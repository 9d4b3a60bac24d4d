"""What is wrong with detections, and what each kind of error costs: TIDE (2008.08115) at an IoU of 0.5.

Each wrong detection is of one kind, and each object that nothing has found, nor would have with its class or box put
right, is missed. What a kind costs is the AP50 that is won when an oracle puts right this kind alone.
Shape suffixes: G objects, D detections, P pairs of them, K classes, R recalls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvzoo.metrics.pairing import FOUND, NEAR, Pairing, Pairs

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND = range(5)
MISSED = len(KINDS) - 1
NONE = -1
"""No error."""
RECALLS_R = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Errors:
    """What is wrong."""

    kinds_D: np.ndarray
    """Int64: the place of a detection's error in `KINDS`, NONE where it is right or ignored."""
    objects_D: np.ndarray
    """Int64: the object that a wrong detection is nearest to, by its kind; -1 where there is none."""
    missed_G: np.ndarray
    """Bool: a missed object. Those that a detection with an error of class or box is near to are not missed."""


def errors_of(pairing: Pairing) -> Errors:
    """Name the error of each detection, and the missed objects.

    Where several kinds fit, the first counts of: box, class, duplicate, background, both, as in
    the code of the paper.
    """
    objects, labels_D = pairing.objects, pairing.detections.labels_D
    pairs = pairing.pairs
    same_P = labels_D[pairs.detections_P] == objects.labels_G[pairs.objects_P]
    own_D, own_object_D = _nearest(pairs.where(same_P), len(labels_D))
    other_D, other_object_D = _nearest(pairs.where(~same_P), len(labels_D))
    wrong_D = pairing.counted_D & ~pairing.right_D
    located_D = wrong_D & (own_D >= NEAR) & (own_D < FOUND)
    cases = [
        (located_D, LOCALISATION, own_object_D),
        (wrong_D & (other_D >= FOUND), CLASSIFICATION, other_object_D),
        (wrong_D & (own_D >= FOUND), DUPLICATE, own_object_D),
        (wrong_D & (other_D >= NEAR), BOTH, other_object_D),
        (wrong_D, BACKGROUND, np.full(len(labels_D), -1)),
    ]
    kinds_D = np.select([case for case, *_ in cases], [np.int64(kind) for _, kind, _ in cases], NONE)
    objects_D = np.select([case for case, *_ in cases], [nearest for *_, nearest in cases], -1)
    covered_G = objects.crowds_G.copy()
    covered_G[pairing.object_of_D[pairing.right_D]] = True
    covered_G[objects_D[(kinds_D == CLASSIFICATION) | (kinds_D == LOCALISATION)]] = True
    return Errors(kinds_D, objects_D, ~covered_G)


def _nearest(pairs: Pairs, detections: int) -> tuple[np.ndarray, np.ndarray]:
    """(D,) the greatest IoU of each detection, 0 where it has no pair, and the object."""
    order_P = np.argsort(pairs.ious_P, kind="stable")
    ious_D, objects_D = np.zeros(detections), np.full(detections, -1)
    ious_D[pairs.detections_P[order_P]] = pairs.ious_P[order_P]  # the last one stays, which is the greatest
    objects_D[pairs.detections_P[order_P]] = pairs.objects_P[order_P]
    return ious_D, objects_D


def costs(pairing: Pairing, errors: Errors) -> dict[str, float]:
    """By kind, the AP50 that is won when an oracle puts right all errors of this kind and no other.

    Classes and boxes are put right where the object is still free; of several detections of one object the surest
    counts, the others go. Errors of both, duplicates and background go. Missed objects need not be found.
    """
    before = mean_ap(average_precision(pairing, pairing.counted_D, pairing.right_D, pairing.detections.labels_D))
    return {kind: mean_ap(_mended(pairing, errors, number)) - before for number, kind in enumerate(KINDS)}


def _mended(pairing: Pairing, errors: Errors, kind: int) -> np.ndarray:
    """(K,) AP50 without the errors of a kind."""
    labels_D, right_D = pairing.detections.labels_D, pairing.right_D
    if kind == MISSED:
        missed_K = np.bincount(pairing.objects.labels_G[errors.missed_G], minlength=pairing.classes)
        return average_precision(pairing, pairing.counted_D, right_D, labels_D, missed_K)
    mended_D = np.zeros(len(labels_D), bool)
    if kind in (CLASSIFICATION, LOCALISATION):
        mended = _surest(pairing, errors, kind)
        mended_D[mended] = True
        labels_D = labels_D.copy()
        labels_D[mended] = pairing.objects.labels_G[errors.objects_D[mended]]
    kept_D = pairing.counted_D & ((errors.kinds_D != kind) | mended_D)
    return average_precision(pairing, kept_D, right_D | mended_D, labels_D)


def _surest(pairing: Pairing, errors: Errors, kind: int) -> np.ndarray:
    """The detections with an error of this kind that, put right, would be the first to find their object."""
    free_G = np.ones(len(pairing.objects.labels_G), bool)
    free_G[pairing.object_of_D[pairing.right_D]] = False
    wrong = np.flatnonzero(errors.kinds_D == kind)
    wrong = wrong[free_G[errors.objects_D[wrong]]]
    wrong = wrong[np.argsort(-pairing.detections.scores_D[wrong], kind="stable")]
    return wrong[np.unique(errors.objects_D[wrong], return_index=True)[1]]


def average_precision(
    pairing: Pairing,
    kept_D: np.ndarray,
    right_D: np.ndarray,
    labels_D: np.ndarray,
    missed_K: np.ndarray | int = 0,
) -> np.ndarray:
    """(K,) COCO's AP50 of each class: the mean precision at 101 recalls; -1 of a class without objects.

    Args:
        pairing: whose scores and objects count.
        kept_D: bool, the detections that count.
        right_D: bool, those that are right.
        labels_D: the class of each.
        missed_K: objects that need not be found. A class of which none is left has AP 1 without detections, else 0.
    """
    totals_K = pairing.counts_K
    found = np.flatnonzero(kept_D)
    found = found[np.lexsort((-pairing.detections.scores_D[found], labels_D[found]))]
    bounds_K = np.searchsorted(labels_D[found], np.arange(pairing.classes + 1))
    left_K = totals_K - missed_K
    ap_K = np.full(pairing.classes, -1.0)
    for k in np.flatnonzero(totals_K):
        hits = right_D[found[bounds_K[k] : bounds_K[k + 1]]]
        ap_K[k] = _ap(hits, int(left_K[k]))
    return ap_K


def _ap(hits_D: np.ndarray, objects: int) -> float:
    """Of one class, from detections by falling score."""
    if not objects:
        return float(not len(hits_D))
    hits = np.cumsum(hits_D)
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places_R = np.searchsorted(hits / objects, RECALLS_R)
    return float(np.append(precision, 0.0)[places_R].mean())


def mean_ap(ap_K: np.ndarray) -> float:
    """Over the classes that have objects; -1 where none has."""
    known = ap_K[ap_K > -1]
    return float(known.mean()) if len(known) else -1.0
