"""Evaluation of boxes and masks: every picture is predicted, and the detections are scored as COCO does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cvzoo.data.dataset import ObjectDataset
from cvzoo.data.loader import evaluation_batches
from cvzoo.engine import dist
from cvzoo.engine.augmented import TwoStage, predict_views, views_of
from cvzoo.engine.place import autocast, place
from cvzoo.metrics.coco import CocoResult, evaluate_coco
from cvzoo.metrics.predictions import to_coco
from cvzoo.recipes import Recipe
from cvzoo.recipes.results import write_json
from cvzoo.structures import RLE, Prediction


@dataclass
class ObjectEvaluation:
    """The figures of one split and the detections they were computed from; the same in every process."""

    figures: CocoResult
    """Of boxes and, with `data.masks`, of masks."""
    predictions: dict[int, Prediction]
    """By image id, in the order of the split."""
    category_ids: list[int]
    """The data set's category id of each label."""

    def prediction(self, image_id: int) -> Prediction:
        """The detections of a picture."""
        return self.predictions[image_id]

    def write(self, folder: Path, split: str) -> None:
        """predictions_<split>.json in COCO's results format."""
        detections = to_coco(list(self.predictions.values()), list(self.predictions), self.category_ids)
        write_json(folder / f"predictions_{split}.json", detections)

    @staticmethod
    def read(folder: Path, split: str, dataset: ObjectDataset, figures: dict[str, Any]) -> ObjectEvaluation:
        """The inverse of `write`, with the split's part of metrics.json."""
        detections = json.loads((folder / f"predictions_{split}.json").read_text())
        return ObjectEvaluation(CocoResult(**figures), _predictions(detections, dataset), dataset.category_ids)


def evaluate_objects(detector: Any, dataset: ObjectDataset, recipe: Recipe, device: torch.device) -> ObjectEvaluation:
    """Predict every picture of `dataset` at batch 1 and score boxes, and masks if asked for.

    ValueError when masks are asked for that the model does not predict.
    """
    look = _predict_augmented if recipe.data.test_scales or recipe.data.test_flip else _predict
    predictions: dict[int, Prediction] = {}
    for image_id, prediction in look(detector, dataset, recipe, device):
        if recipe.data.masks and prediction.masks is None:
            raise ValueError(f"{recipe.row} predicts boxes without masks; leave masks out with --data.no-masks")
        predictions[image_id] = prediction.to("cpu")
    merged = {image_id: prediction for part in dist.gather(predictions) for image_id, prediction in part.items()}
    predictions = {image_id: merged[image_id] for image_id in dataset.image_ids.tolist()}
    detections = to_coco(list(predictions.values()), list(predictions), dataset.category_ids)
    figures = evaluate_coco(dataset.ground_truth, detections)
    if recipe.data.masks:
        figures |= evaluate_coco(dataset.ground_truth, detections, "mask")
    return ObjectEvaluation(figures, predictions, dataset.category_ids)


def _predict(
    detector: Any, dataset: ObjectDataset, recipe: Recipe, device: torch.device
) -> Iterator[tuple[int, Prediction]]:
    """Image id and prediction of every picture of this process."""
    for batch in evaluation_batches(dataset, recipe.data, batch=1, rank=dist.rank(), world=dist.world()):
        with autocast(recipe.run, device):
            (found,) = detector.predict(place(batch, recipe.run, device))
        yield batch.image_ids[0], found


def _predict_augmented(
    detector: Any, dataset: ObjectDataset, recipe: Recipe, device: torch.device
) -> Iterator[tuple[int, Prediction]]:
    """As `_predict`, from several views of each picture merged."""
    if not isinstance(detector, TwoStage):
        raise ValueError(
            f"{recipe.row}: test-time augmentation is for the R-CNN family; leave out data.test-scales/-flip"
        )
    sides = recipe.data.test_scales or (recipe.data.test_short_side,)
    of_sides = [replace(recipe.data, test_short_side=side, canvas=None) for side in sides]
    for views in views_of(dataset, of_sides, recipe, device):
        with autocast(recipe.run, device):
            yield views[0].batch.image_ids[0], predict_views(detector, views)


def _predictions(detections: list[dict[str, Any]], dataset: ObjectDataset) -> dict[int, Prediction]:
    """The inverse of `to_coco`."""
    found: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in dataset.image_ids.tolist()}
    for detection in detections:
        found[detection["image_id"]].append(detection)
    labels = {category_id: label for label, category_id in enumerate(dataset.category_ids)}
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
