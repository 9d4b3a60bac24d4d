"""COCO box evaluation against pycocotools on random boxes: equal numbers, many times faster. Prints one JSON line."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import environment

from cvzoo.metrics.coco import CocoResult, evaluate_coco

CLASSES = 80
Records = list[dict[str, Any]]


def data_set(
    images: int, boxes_per_image: int = 7, detections_per_image: int = 100, seed: int = 0
) -> tuple[dict, Records]:
    """COCO-like ground truth, and detections of which about one in ten lies near an object."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(boxes_per_image, images)
    size = np.exp(rng.normal(4.2, 1.0, (counts.sum(), 2))).clip(2, 600)
    corner = rng.random((counts.sum(), 2)) * (640 - size)
    truth = np.concatenate([corner, size], 1)
    owner, labels = np.repeat(np.arange(images), counts), rng.zipf(1.5, counts.sum()) % CLASSES
    crowd = rng.random(counts.sum()) < 0.01

    total = images * detections_per_image
    picked = rng.integers(0, len(truth), total)
    near = rng.random(total) < 0.1
    image = np.where(near, owner[picked], rng.integers(0, images, total))
    label = np.where(near & (rng.random(total) < 0.8), labels[picked], rng.integers(0, CLASSES, total))
    boxes = truth[picked] + rng.normal(0, 0.1, (total, 4)) * truth[picked][:, [2, 3, 2, 3]]
    boxes[:, 2:] = boxes[:, 2:].clip(1)
    score = np.where(near, rng.beta(3, 3, total), rng.beta(1, 8, total))

    annotations = [
        {"id": i + 1, "image_id": o, "category_id": c + 1, "bbox": b, "area": b[2] * b[3], "iscrowd": int(k)}
        for i, (o, c, b, k) in enumerate(zip(owner.tolist(), labels.tolist(), truth.tolist(), crowd.tolist()))
    ]
    detections = [
        {"image_id": i, "category_id": c + 1, "bbox": b, "score": s}
        for i, c, b, s in zip(image.tolist(), label.tolist(), boxes.tolist(), score.tolist())
    ]
    dataset = {
        "images": [{"id": i, "width": 640, "height": 640} for i in range(images)],
        "categories": [{"id": c + 1, "name": f"class {c}"} for c in range(CLASSES)],
        "annotations": annotations,
    }
    return dataset, detections


def timed(call: Callable[[], CocoResult]) -> tuple[CocoResult, float, float]:
    """The result, process CPU seconds and wall seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    images = parser.parse_args().images
    truth, detections = data_set(images)
    evaluate_coco(*data_set(10))  # the first call pays for the imports
    ours = [timed(lambda: evaluate_coco(truth, detections)) for _ in range(3)]
    result, cpu, wall = sorted(ours, key=lambda run: run[2])[1]
    reference, reference_cpu, reference_wall = timed(lambda: evaluate_coco(truth, detections, backend="pycocotools"))
    difference = max(abs(result.stats[name] - reference.stats[name]) for name in reference.stats)
    figures = {
        "benchmark": "coco_eval",
        "images": images,
        "detections": len(detections),
        "ratio_cpu": round(reference_cpu / cpu, 2),
        "ratio_wall": round(reference_wall / wall, 2),
        "pycocotools_s": round(reference_wall, 3),
        "ours_s": round(wall, 3),
        "largest_difference": difference,
        "equal": difference <= 1e-6,
        "box_AP": round(result.stats["box_AP"], 4),
    }
    print(json.dumps(figures | environment()))


if __name__ == "__main__":
    main()
