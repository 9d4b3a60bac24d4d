"""Predictions as COCO-format results."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cvzoo.files import atomic
from cvzoo.ops.masks import mask_json
from cvzoo.structures import RLE, Mask, Prediction


def to_coco(
    predictions: Sequence[Prediction], image_ids: Sequence[int], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """One dictionary per detection: `image_id`, `category_id`, `bbox` (x, y, width, height in pixels) and `score`.

    Masks become `segmentation`, a compressed run-length code as text. Surfaces become `uv_shape` and `uv_data`, as the
    DensePose task has them.

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
    surfaces = [{} if s is None else surface_json(s) for p in predictions for s in p.surfaces or [None] * len(p)]
    return [
        {"image_id": image, "category_id": category_ids[label], "bbox": box, "score": score, **mask, **surface}
        for image, label, box, score, mask, surface in zip(images, labels, boxes.tolist(), scores, masks, surfaces)
    ]


class FlatBoxes(NamedTuple):
    """The boxes found in many images, in flat arrays: eight million of them take half a gigabyte."""

    image_ids: np.ndarray
    """(D,) int64."""
    category_ids: np.ndarray
    """(D,) int64."""
    boxes: np.ndarray
    """(D, 4) float64: x, y, width, height in pixels."""
    scores: np.ndarray
    """(D,) float64."""


def flat_boxes(predictions: Mapping[int, Prediction], category_ids: Sequence[int]) -> FlatBoxes:
    """The boxes of predictions by image id; `category_ids` are the data set's of each label 0..K-1."""
    found = list(predictions.values())
    boxes = torch.cat([prediction.boxes for prediction in found]).double().numpy()
    boxes[:, 2:] -= boxes[:, :2]
    labels = torch.cat([prediction.labels for prediction in found]).numpy()
    scores = torch.cat([prediction.scores for prediction in found]).double().numpy()
    image_ids = np.repeat(np.array(list(predictions), np.int64), [len(prediction) for prediction in found])
    return FlatBoxes(image_ids, np.array(category_ids, np.int64)[labels], boxes, scores)


def write_results(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a list of results, one a line, as `write_json` does, without holding them all."""
    with atomic(path) as temporary, temporary.open("w") as file:
        before = "["
        for record in records:
            file.write(f"{before}\n {json.dumps(record, allow_nan=False)}")
            before = ","
        file.write("[]\n" if before == "[" else "\n]\n")


def from_coco(
    detections: Sequence[dict[str, Any]], image_ids: Sequence[int], category_ids: Sequence[int]
) -> dict[int, Prediction]:
    """The inverse of `to_coco`: the prediction of every image, by its id. ValueError for other images."""
    found: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in image_ids}
    if unknown := {detection["image_id"] for detection in detections} - found.keys():
        raise ValueError(f"there are predictions of {len(unknown)} images that the data do not have")
    for detection in detections:
        found[detection["image_id"]].append(detection)
    labels = {category_id: label for label, category_id in enumerate(category_ids)}
    with_masks = any("segmentation" in detection for detection in detections)
    with_surfaces = any("uv_data" in detection for detection in detections)
    return {
        image_id: Prediction(
            boxes=torch.tensor([[x, y, x + w, y + h] for x, y, w, h in (d["bbox"] for d in ds)]).reshape(-1, 4),
            scores=torch.tensor([d["score"] for d in ds]),
            labels=torch.tensor([labels[d["category_id"]] for d in ds], dtype=torch.int64),
            masks=[_rle(d["segmentation"]) for d in ds] if with_masks else None,
            surfaces=[read_surface(d) for d in ds] if with_surfaces else None,
        )
        for image_id, ds in found.items()
    }


def _rle(segmentation: Mapping[str, Any]) -> RLE:
    return {"size": segmentation["size"], "counts": segmentation["counts"].encode()}


def mask_of(annotation: Mapping[str, Any]) -> Mask | None:
    """The `segmentation` of an annotation or a result; None where there is none. The inverse of `mask_json`."""
    found = annotation.get("segmentation")
    if not found:
        return None
    return _rle(found) if isinstance(found, Mapping) else [np.array(polygon, np.float64) for polygon in found]


def surface_json(surface_3HW: Tensor) -> dict[str, Any]:
    """A map of part, U and V as the fields of a result: its shape, and a PNG of three channels in base 64."""
    data = io.BytesIO()
    Image.fromarray(surface_3HW.permute(1, 2, 0).cpu().contiguous().numpy()).save(data, "PNG")
    return {"uv_shape": list(surface_3HW.shape), "uv_data": base64.b64encode(data.getvalue()).decode("ascii")}


def read_surface(result: dict[str, Any]) -> Tensor:
    """(3, H, W) uint8: the inverse of `surface_json`. ValueError where the image is not of the stated shape."""
    with Image.open(io.BytesIO(base64.b64decode(result["uv_data"]))) as image:
        surface_3HW = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    if list(surface_3HW.shape) != list(result["uv_shape"]):
        raise ValueError(f"uv_data holds an image of shape {list(surface_3HW.shape)}, not {result['uv_shape']}")
    return surface_3HW
