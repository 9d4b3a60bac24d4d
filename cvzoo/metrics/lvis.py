"""LVIS's federated evaluation: a class counts in the images in which somebody has looked for it, and in no other.

An image names the classes that it certainly lacks (`neg_category_ids`) and those of which not every object is annotated
(`not_exhaustive_category_ids`; what is found of these beyond the annotations counts neither way). Gupta et al. 2019;
hotcoco gives the numbers of lvis-api 0.5.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cvzoo.metrics.coco import IOU_TYPES, CocoResult, Curves, Kind, Results, average, prepared, result_of, sizes_of

LIMIT = 300
"""Detections counted per image, the best by score of all classes together."""
FREQUENCIES = {"r": "APr", "c": "APc", "f": "APf"}
"""AP of classes of few (1 to 10), some (11 to 100) and many training images, as the categories' `frequency` says."""


def is_federated(ground_truth: Mapping[str, Any]) -> bool:
    """Whether a COCO-format data set says in which images its classes have been looked for."""
    return any("neg_category_ids" in image for image in ground_truth["images"])


def evaluate_lvis(ground_truth: Mapping[str, Any], detections: Results, kind: Kind = "box") -> CocoResult:
    """Compare detections with a federated ground truth as lvis-api does; see `evaluate_coco` for arguments and errors.

    Returns: `AP`, `AP50`, `AP75`, those by size, `AR300` with those by size and, where categories have a `frequency`,
        `APr`, `APc`, `APf`.
    """
    import hotcoco

    truth, found = prepared(ground_truth, detections, kind)
    dataset = hotcoco.COCO(truth)
    results: Any = hotcoco.LVISResults(dataset, list(found), max_dets=LIMIT)
    evaluation = hotcoco.COCOeval(dataset, results, IOU_TYPES[kind], lvis_style=True)
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval
    curves = Curves(np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"]))
    categories = sorted(truth["categories"], key=lambda category: category["id"])
    return result_of(curves, categories, kind, _summary(curves, [c.get("frequency") for c in categories]))


def _summary(curves: Curves, frequencies: list[str | None]) -> dict[str, float]:
    precision, recall = curves.precision[..., -1], curves.recall
    members = {name: np.flatnonzero([found == f for found in frequencies]) for f, name in FREQUENCIES.items()}
    return {
        **sizes_of(precision),
        **{name: average(precision[:, :, k, 0]) for name, k in members.items() if len(k)},
        f"AR{LIMIT}": average(recall[..., 0, -1]),
        **{f"AR{area}": average(recall[..., a, -1]) for a, area in enumerate("sml", start=1)},
    }
