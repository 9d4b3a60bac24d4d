"""COCO's average precision and recall of boxes and masks: the 12 numbers of pycocotools, computed by hotcoco.

hotcoco gives pycocotools' numbers (tests/metrics proves it to 1e-6 on real annotations) many times faster
(benchmarks/coco_eval.py). Only matching and accumulation are theirs; the summary below is one code for both back ends.
Axes: T IoU thresholds, R recall thresholds, K categories, A area ranges, M detection limits.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from cvzoo.metrics.predictions import FlatBoxes

Kind = Literal["box", "mask"]
Measure = Literal["box", "mask", "gps", "gpsm"]
"""What average precision is measured of; gps.py does the last two."""
IouType = Literal["bbox", "segm"]
Results = Sequence[dict[str, Any]]
IOU_TYPES: dict[Kind, IouType] = {"box": "bbox", "mask": "segm"}
FIELDS: dict[Kind, str] = {"box": "bbox", "mask": "segmentation"}
AREAS = ("all", "small", "medium", "large")
LIMITS = (1, 10, 100)
"""Detections counted per image and category: the best 1, 10 or 100 by score. AP counts 100."""
SIZES = tuple(area[0] for area in AREAS[1:])
NAMES = ("AP", "AP50", "AP75", *(f"AP{s}" for s in SIZES), *(f"AR{n}" for n in LIMITS), *(f"AR{s}" for s in SIZES))
"""COCO's 12 numbers, as `CocoResult.stats` has them after the kind."""


@dataclass(frozen=True)
class CocoResult:
    """What an evaluation found. Every value lies in 0..1, or is -1 where no ground truth of that sort exists."""

    stats: dict[str, float]
    """`box_AP`, `box_AP50`, `AP75`, `APs`, `APm`, `APl`, `AR1`, `AR10`, `AR100`, `ARs`, `ARm`, `ARl`; `mask_AP` ...,
    `gps_AP` ..."""
    per_class: dict[Measure, dict[str, float]]
    """AP by category name, of each measure."""
    precision_recall: dict[Measure, dict[str, list[float]]]
    """Mean precision over categories at `recall` 0, 0.01 .. 1, for IoU `0.50`, `0.75` and the mean over `0.50:0.95`,
    or GPS."""

    def __or__(self, other: CocoResult) -> CocoResult:
        """Both: boxes, masks and surfaces of the same detections."""
        return CocoResult(
            stats=self.stats | other.stats,
            per_class=self.per_class | other.per_class,
            precision_recall=self.precision_recall | other.precision_recall,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, as metrics.json holds them."""
        return asdict(self)


class Curves(NamedTuple):
    """What is accumulated of one kind."""

    precision: np.ndarray
    """(T, R, K, A, M)"""
    recall: np.ndarray
    """(T, K, A, M)"""


def evaluate_coco(
    ground_truth: Mapping[str, Any],
    detections: Results,
    kind: Kind = "box",
    backend: Literal["hotcoco", "pycocotools"] = "hotcoco",
) -> CocoResult:
    """Compare detections with ground truth as pycocotools' COCOeval does with its defaults.

    Args:
        ground_truth: a COCO-format data set (`images`, `annotations`, `categories`); read only. Annotations are
            numbered anew, as pycocotools miscounts ids that start at 0 or repeat. `iscrowd` defaults to 0, `area` to
            the box's.
        detections: COCO-format results: `image_id`, `category_id`, `score`, and `bbox` (xywh in pixels) or
            `segmentation` (polygons, or RLE of str or bytes). A mask is sized by its own area, not by its box's.
        kind: compare boxes or masks.
        backend: who matches and accumulates; the numbers are the same.

    Raises:
        ValueError: names every detection's unknown image or category, or a value that is not finite; and what has no
            box or mask to compare.
    """
    truth, found = prepared(ground_truth, detections, kind)
    curves = (_hotcoco if backend == "hotcoco" else _pycocotools)(truth, found, IOU_TYPES[kind])
    return result_of(curves, truth["categories"], kind, _summary(curves))


def prepared(
    ground_truth: Mapping[str, Any], detections: Results, kind: Kind
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Both as all evaluations read them alike and may write into them. ValueError as `evaluate_coco` says."""
    truth = _cleaned(ground_truth)
    _check(truth, detections, kind)
    return truth, [_mask_result(detection) for detection in detections] if kind == "mask" else list(detections)


def evaluate_boxes(ground_truth: Mapping[str, Any], detections: FlatBoxes) -> CocoResult:
    """What `evaluate_coco` gives for boxes, in a few arrays: 80 000 images with 100 detections each fit in 8 GB.

    Raises: ValueError for unknown images or categories, and for values that are not finite.
    """
    image_ids, category_ids = (np.array(sorted(one["id"] for one in ground_truth[n])) for n in ("images", "categories"))
    _check_flat(detections, image_ids, category_ids)
    truth = _truth_of(ground_truth, image_ids, category_ids)
    # numbered by position: ids of more than 53 bits would not survive as floats
    images, labels = (
        np.searchsorted(known, own)[:, None]
        for known, own in ((image_ids, detections.image_ids), (category_ids, detections.category_ids))
    )
    table = np.concatenate([images, detections.boxes, detections.scores[:, None], labels], axis=1)
    curves = _accumulated(truth, truth.load_res(table), "bbox")
    return result_of(curves, ground_truth["categories"], "box", _summary(curves))


def result_of(
    curves: Curves, categories: Sequence[Mapping[str, Any]], kind: Kind, summary: Mapping[str, float]
) -> CocoResult:
    """A result with the figures of `summary`."""
    names = [category["name"] for category in sorted(categories, key=lambda category: category["id"])]
    return CocoResult(
        stats={f"{kind}_{name}": value for name, value in summary.items()},
        per_class={kind: {name: average(curves.precision[:, :, k, 0, -1]) for k, name in enumerate(names)}},
        precision_recall={kind: _precision_recall(curves.precision[:, :, :, 0, -1])},
    )


def _hotcoco(truth: dict[str, Any], detections: Results, iou_type: IouType) -> Curves:
    import hotcoco

    dataset = hotcoco.COCO(truth)
    return _accumulated(dataset, dataset.load_res(list(detections)), iou_type)


def _truth_of(ground_truth: Mapping[str, Any], image_ids: np.ndarray, category_ids: np.ndarray) -> Any:
    """The boxes of a data set, its images and categories numbered by their places among the sorted ids."""
    import hotcoco

    annotations = ground_truth["annotations"]
    boxes_G4 = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(-1, 4)
    areas = boxes_G4[:, 2] * boxes_G4[:, 3]
    return hotcoco.COCO.from_arrays(
        [{"id": number, "width": 0, "height": 0} for number in range(len(image_ids))],
        [{"id": number, "name": str(number)} for number in range(len(category_ids))],
        np.searchsorted(image_ids, [annotation["image_id"] for annotation in annotations]),
        np.searchsorted(category_ids, [annotation["category_id"] for annotation in annotations]),
        boxes_G4,
        area=np.array([a.get("area", area) for a, area in zip(annotations, areas)], np.float64),
        iscrowd=np.array([annotation.get("iscrowd", 0) for annotation in annotations], np.int64),
    )


def _accumulated(truth: Any, detections: Any, iou_type: IouType) -> Curves:
    import hotcoco

    evaluation = hotcoco.COCOeval(truth, detections, iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval
    return Curves(np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"]))


def _pycocotools(truth: dict[str, Any], detections: Results, iou_type: IouType) -> Curves:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress by printing
        dataset, results = COCO(), COCO()
        dataset.dataset = truth  # pyright: ignore[reportAttributeAccessIssue]
        dataset.createIndex()
        if detections:  # loadRes cannot take an empty list; it writes into the dictionaries it is given
            results = dataset.loadRes([dict(d) for d in detections])  # pyright: ignore[reportArgumentType]
        evaluation = COCOeval(dataset, results, iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
    return Curves(evaluation.eval["precision"], evaluation.eval["recall"])


def _summary(curves: Curves) -> dict[str, float]:
    precision = curves.precision[..., -1]
    recall = curves.recall
    return {
        **sizes_of(precision),
        **{f"AR{limit}": average(recall[..., 0, m]) for m, limit in enumerate(LIMITS)},
        **{f"AR{area[0]}": average(recall[..., a, -1]) for a, area in enumerate(AREAS) if a},
    }


def sizes_of(precision_TRKA: np.ndarray) -> dict[str, float]:
    """AP over IoU thresholds, at two of them, and of objects of each size."""
    return {
        "AP": average(precision_TRKA[..., 0]),
        "AP50": average(precision_TRKA[0, ..., 0]),
        "AP75": average(precision_TRKA[5, ..., 0]),
        **{f"AP{area[0]}": average(precision_TRKA[..., a]) for a, area in enumerate(AREAS) if a},
    }


def average(values: np.ndarray) -> float:
    """Mean of the entries that have ground truth; -1 if none has."""
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0


def _precision_recall(precision_TRK: np.ndarray) -> dict[str, list[float]]:
    curves = {"0.50": precision_TRK[:1], "0.75": precision_TRK[5:6], "0.50:0.95": precision_TRK}
    return {
        "recall": np.linspace(0, 1, 101).round(2).tolist(),
        **{name: [average(curve[:, r]) for r in range(curve.shape[1])] for name, curve in curves.items()},
    }


def _cleaned(ground_truth: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that both back ends read alike and may write into."""
    annotations = [
        {"iscrowd": 0, "area": annotation["bbox"][2] * annotation["bbox"][3], **annotation, "id": number}
        for number, annotation in enumerate(ground_truth["annotations"], start=1)
    ]
    return {**ground_truth, "annotations": annotations}


def _check(truth: dict[str, Any], detections: Results, kind: Kind) -> None:
    problems = []
    field = FIELDS[kind]
    for name, records in (("annotations", truth["annotations"]), ("detections", detections)):
        bare = sum(not record.get(field) for record in records)
        if bare:
            problems.append(f"{bare} of {len(records)} {name} have no {field} to compare")
    for field, known in (("image_id", truth["images"]), ("category_id", truth["categories"])):
        unknown = {detection[field] for detection in detections} - {record["id"] for record in known}
        if unknown:
            sample = ", ".join(map(str, sorted(unknown)[:5]))
            problems.append(f"{len(unknown)} {field}s of the detections are not in the ground truth: {sample}")
    broken = {d["image_id"] for d in detections if not math.isfinite(d["score"] + sum(d.get("bbox", ())))}
    if broken:
        problems.append(f"scores or boxes are not finite in images {', '.join(map(str, sorted(broken)[:5]))}")
    if problems:
        raise ValueError("; ".join(problems))


def _check_flat(detections: FlatBoxes, image_ids: np.ndarray, category_ids: np.ndarray) -> None:
    problems = []
    known = (("image_id", detections.image_ids, image_ids), ("category_id", detections.category_ids, category_ids))
    for field, own, ids in known:
        if len(unknown := np.setdiff1d(own, ids)):
            sample = ", ".join(map(str, unknown[:5].tolist()))
            problems.append(f"{len(unknown)} {field}s of the detections are not in the ground truth: {sample}")
    finite = np.isfinite(detections.boxes).all(axis=1) & np.isfinite(detections.scores)
    if not finite.all():
        broken = np.unique(detections.image_ids[~finite])[:5].tolist()
        problems.append(f"scores or boxes are not finite in images {', '.join(map(str, broken))}")
    if problems:
        raise ValueError("; ".join(problems))


def _mask_result(detection: dict[str, Any]) -> dict[str, Any]:
    """Without the box, which would decide the size, and with its RLE as text: hotcoco reads bytes as an empty mask."""
    mask = detection["segmentation"]
    if isinstance(mask, Mapping) and isinstance(mask["counts"], bytes):
        mask = {**mask, "counts": mask["counts"].decode("ascii")}
    return {key: value for key, value in detection.items() if key != "bbox"} | {"segmentation": mask}
