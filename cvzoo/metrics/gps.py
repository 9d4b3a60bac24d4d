"""Average precision and recall of dense pose: COCO's, with geodesic point similarity in place of IoU (1802.00434).

GPS of a detection and a person is the mean over the person's annotated points of exp(-d^2 / (2 kappa^2)): d is the
distance on the surface between what was found at the point and what is true, kappa the mean distance on its part. GPSm
is the root of GPS times the IoU of masks. The protocol is that of the COCO DensePose task:
- Points are placed with dp / 255 (in training with dp / 256), and cut to whole pixels of the detection's box.
- People without points are ignored, whatever their size, and so are all detections of images where nobody counts.
- A detection without a match at the last threshold that has 0.8 of its box in common with somebody who is left takes
  over, at all thresholds, whether that one is ignored.
Shape suffixes: T thresholds, R recalls, K categories, A areas, D detections, G people, P points, H W pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from cvzoo.metrics.coco import CocoResult
from cvzoo.metrics.geometry import Geometry
from cvzoo.metrics.surface_pairs import Found, Pairs, compare

Judged = Literal["gps", "gpsm"]
"""What the task judges a detection by."""
Mode = Judged | Literal["iou"]
"""The same, or the masks' IoU alone."""
MODES: tuple[Judged, ...] = ("gps", "gpsm")
NAMES = tuple(f"{kind}{part}" for kind in ("AP", "AR") for part in ("", "50", "75", "m", "l"))
"""The task's ten numbers, as `CocoResult.stats` has them after the mode."""
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0, 1e10), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
LIMIT = 20
"""The best so many detections of an image count."""
NEAR = 0.8
"""IoU of boxes from which an unmatched detection is taken to be of a person."""


class Curves(NamedTuple):
    """-1 where there is nobody to find."""

    precision: np.ndarray
    """(T, R, K, A)"""
    recall: np.ndarray
    """(T, K, A)"""


def evaluate_gps(
    ground_truth: Mapping[str, Any], detections: Sequence[Found], geometry: Geometry, kappas: Sequence[float]
) -> CocoResult:
    """Compare detections with people.

    Args:
        ground_truth: a COCO-format data set whose annotations may have `dp_x` and the other fields of DensePose.
        detections: of all images.
        geometry: distances on the surface.
        kappas: the mean distance on each part, by its number; 0 is no part.
    """
    pairs = all_pairs(ground_truth, detections, geometry, kappas)
    names = [category["name"] for category in sorted(ground_truth["categories"], key=lambda one: one["id"])]
    result = CocoResult({}, {}, {})
    for mode in MODES:
        found = curves(pairs, mode)
        result |= CocoResult(
            stats={f"{mode}_{name}": value for name, value in summary(found).items()},
            per_class={mode: {name: _mean(found.precision[:, :, k, 0]) for k, name in enumerate(names)}},
            precision_recall={mode: _precision_recall(found.precision[..., 0])},
        )
    return result | CocoResult(_at_points(pairs), {}, {})


def _at_points(pairs: list[list[Pairs]]) -> dict[str, float]:
    """Of the annotated points that the boxes found for their people cover: how many, whose part is right, and of these
    the mean distance in U and V. -1 where there are none.
    """
    readings = [own.read for images in pairs for own in images]
    covered, points, right, error = (sum(values) for values in zip((0, 0, 0, 0.0), *readings))
    return {
        "point_covered": covered / points if points else -1.0,
        "point_accuracy": right / covered if covered else -1.0,
        "point_uv_error": error / right if right else -1.0,
    }


def all_pairs(
    ground_truth: Mapping[str, Any], detections: Sequence[Found], geometry: Geometry, kappas: Sequence[float]
) -> list[list[Pairs]]:
    """Of each category by id, and of each image by id where there is something: people and detections compared."""
    people: dict[tuple[int, int], list[Any]] = defaultdict(list)
    found: dict[tuple[int, int], list[Found]] = defaultdict(list)
    for annotation in ground_truth["annotations"]:
        people[annotation["category_id"], annotation["image_id"]].append(annotation)
    for detection in detections:
        found[detection.category_id, detection.image_id].append(detection)
    sizes = {image["id"]: (image["height"], image["width"]) for image in ground_truth["images"]}
    return [
        [
            compare(people[key], _best(found[key]), sizes[key[1]], geometry, np.array(kappas))
            for image_id in sorted(sizes)
            if people[key := (category_id, image_id)] or found[key]
        ]
        for category_id in sorted(category["id"] for category in ground_truth["categories"])
    ]


def _best(detections: list[Found]) -> list[Found]:
    return sorted(detections, key=lambda detection: -detection.score)[:LIMIT]


def curves(pairs: list[list[Pairs]], mode: Mode) -> Curves:
    """Precision and recall of each category, the best detections of all images first."""
    precision = np.full((len(THRESHOLDS), len(RECALLS), len(pairs), len(AREAS)), -1.0)
    recall = np.full((len(THRESHOLDS), len(pairs), len(AREAS)), -1.0)
    for k, images in enumerate(pairs):
        for a, area in enumerate(AREAS.values()):
            matched = [_match(own, mode, area) for own in images]
            people = sum(own.people for own in matched)
            if people:
                order = np.argsort(-np.concatenate([own.scores_D for own in images]), kind="stable")
                hits_TD, ignored_TD = (
                    np.concatenate(parts, axis=1)[:, order]
                    for parts in zip(*((own.hits_TD, own.ignored_TD) for own in matched))
                )
                precision[:, :, k, a], recall[:, k, a] = _curve(hits_TD, ignored_TD, people)
    return Curves(precision, recall)


class _Matched(NamedTuple):
    hits_TD: np.ndarray
    """bool: matched with a person."""
    ignored_TD: np.ndarray
    people: int
    """How many are to be found."""


def _match(pairs: Pairs, mode: Mode, area: tuple[float, float]) -> _Matched:
    """Each detection in turn takes the most similar person that is left, rather one that counts."""
    ignored_G = pairs.ignored_G | (pairs.areas_G < area[0]) | (pairs.areas_G > area[1])
    order = np.argsort(ignored_G, kind="stable")
    ignored_G, crowd_G = ignored_G[order], pairs.crowd_G[order]
    similar_DG = {"gps": pairs.gps_DG, "gpsm": np.sqrt(pairs.gps_DG * pairs.iou_DG), "iou": pairs.iou_DG}[mode][
        :, order
    ]
    detections, people = similar_DG.shape
    taken_TG = np.zeros((len(THRESHOLDS), people), bool)
    hits_TD = np.zeros((len(THRESHOLDS), detections), bool)
    ignored_TD = np.full((len(THRESHOLDS), detections), bool(ignored_G.all()))
    thresholds_T1 = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    for d in range(detections if people else 0):
        fits_TG = (~taken_TG | crowd_G) & (similar_DG[d] >= thresholds_T1) & (similar_DG[d] > 0)
        counts_TG = fits_TG & ~ignored_G
        fits_TG = np.where(counts_TG.any(1, keepdims=True), counts_TG, fits_TG)
        best_T = _last_best(np.where(fits_TG, similar_DG[d], -1))
        hit_T = fits_TG.any(1)
        hits_TD[hit_T, d] = True
        ignored_TD[hit_T, d] = ignored_G[best_T[hit_T]]
        taken_TG[hit_T, best_T[hit_T]] = True
    _pardon(pairs.box_iou_DG[:, order], ignored_G, crowd_G, taken_TG, hits_TD, ignored_TD)
    outside_D = (pairs.areas_D < area[0]) | (pairs.areas_D > area[1])
    return _Matched(hits_TD, ignored_TD | (~hits_TD & outside_D), int(np.count_nonzero(~ignored_G)))


def _pardon(
    box_iou_DG: np.ndarray,
    ignored_G: np.ndarray,
    crowd_G: np.ndarray,
    taken_TG: np.ndarray,
    hits_TD: np.ndarray,
    ignored_TD: np.ndarray,
) -> None:
    """Let detections without a match at the last threshold take over whether the person in their box is ignored."""
    for d in np.flatnonzero(~hits_TD[-1]) if len(ignored_G) else ():
        left_G = (~taken_TG[-1] | crowd_G) & (box_iou_DG[d] >= NEAR)
        if left_G.any():
            person = _last_best(np.where(left_G, box_iou_DG[d], -1)[None])[0]
            ignored_TD[:, d] = ignored_G[person]
            if ignored_G[person]:
                hits_TD[-1, d] = taken_TG[-1, person] = True


def _last_best(values_NG: np.ndarray) -> np.ndarray:
    """(N,): where each row is largest, the last place of several."""
    return values_NG.shape[1] - 1 - values_NG[:, ::-1].argmax(1)


def _curve(hits_TD: np.ndarray, ignored_TD: np.ndarray, people: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, R) precision and (T,) final recall, as pycocotools accumulates them."""
    right_TD = np.cumsum(hits_TD & ~ignored_TD, axis=1, dtype=np.float64)
    wrong_TD = np.cumsum(~hits_TD & ~ignored_TD, axis=1, dtype=np.float64)
    recall_TD = right_TD / people
    precision_TD = right_TD / (right_TD + wrong_TD + np.spacing(1))
    envelope_TD = np.maximum.accumulate(precision_TD[:, ::-1], axis=1)[:, ::-1]
    precision_TR = np.zeros((len(THRESHOLDS), len(RECALLS)))
    for t, (recall_D, envelope_D) in enumerate(zip(recall_TD, envelope_TD)):
        places_R = np.searchsorted(recall_D, RECALLS, side="left")
        reached_R = places_R < len(recall_D)
        precision_TR[t, reached_R] = envelope_D[places_R[reached_R]]
    return precision_TR, recall_TD[:, -1] if recall_TD.shape[1] else np.zeros(len(THRESHOLDS))


def summary(found: Curves) -> dict[str, float]:
    """The task's ten numbers."""
    precision, recall = found
    return {
        "AP": _mean(precision[..., 0]),
        "AP50": _mean(precision[0, ..., 0]),
        "AP75": _mean(precision[5, ..., 0]),
        **{f"AP{name[0]}": _mean(precision[..., a]) for a, name in enumerate(AREAS) if a},
        "AR": _mean(recall[..., 0]),
        "AR50": _mean(recall[0, ..., 0]),
        "AR75": _mean(recall[5, ..., 0]),
        **{f"AR{name[0]}": _mean(recall[..., a]) for a, name in enumerate(AREAS) if a},
    }


def _mean(values: np.ndarray) -> float:
    """Mean of the entries that have somebody to find; -1 if none has."""
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0


def _precision_recall(precision_TRK: np.ndarray) -> dict[str, list[float]]:
    shown = {"0.50": precision_TRK[:1], "0.75": precision_TRK[5:6], "0.50:0.95": precision_TRK}
    return {
        "recall": RECALLS.round(2).tolist(),
        **{name: [_mean(curve[:, r]) for r in range(curve.shape[1])] for name, curve in shown.items()},
    }
