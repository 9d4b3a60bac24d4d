"""Predictions as COCO-format results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from cvzoo.ops.masks import mask_json
from cvzoo.structures import RLE, Prediction


def to_coco(
    predictions: Sequence[Prediction], image_ids: Sequence[int], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """One dictionary per detection: `image_id`, `category_id`, `bbox` (x, y, width, height in pixels) and `score`.

    Masks become `segmentation`, a compressed run-length code as text.

    Args:
        predictions: one per image, in original image coordinates.
        image_ids: the image of each prediction.
        category_ids: the data set's category id of each label 0..K-1.
    """
    if len(predictions) != len(image_ids):
        raise ValueError(f"{len(predictions)} predictions for {len(image_ids)} image ids")
    if not predictions:
        return []
    boxes = torch.cat([prediction.boxes for prediction in predictions]).double().cpu()
    boxes[:, 2:] -= boxes[:, :2]
    labels = torch.cat([prediction.labels for prediction in predictions]).tolist()
    scores = torch.cat([prediction.scores for prediction in predictions]).tolist()
    images = [image_id for image_id, prediction in zip(image_ids, predictions) for _ in range(len(prediction))]
    masks = [{"segmentation": mask_json(m)} if m else {} for p in predictions for m in p.masks or [None] * len(p)]
    return [
        {"image_id": image, "category_id": category_ids[label], "bbox": box, "score": score, **mask}
        for image, label, box, score, mask in zip(images, labels, boxes.tolist(), scores, masks)
    ]


def from_coco(
    detections: Sequence[dict[str, Any]], image_ids: Sequence[int], category_ids: Sequence[int]
) -> dict[int, Prediction]:
    """The inverse of `to_coco`: the prediction of every image, by its id."""
    found: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in image_ids}
    for detection in detections:
        found[detection["image_id"]].append(detection)
    labels = {category_id: label for label, category_id in enumerate(category_ids)}
    with_masks = any("segmentation" in detection for detection in detections)
    return {
        image_id: Prediction(
            boxes=torch.tensor([[x, y, x + w, y + h] for x, y, w, h in (d["bbox"] for d in ds)]).reshape(-1, 4),
            scores=torch.tensor([d["score"] for d in ds]),
            labels=torch.tensor([labels[d["category_id"]] for d in ds], dtype=torch.int64),
            masks=[_rle(d["segmentation"]) for d in ds] if with_masks else None,
        )
        for image_id, ds in found.items()
    }


def _rle(segmentation: dict[str, Any]) -> RLE:
    return {"size": segmentation["size"], "counts": segmentation["counts"].encode()}
