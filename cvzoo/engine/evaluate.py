"""Evaluation of a model on one split: every picture exactly once, shared among the processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from cvzoo.data.dataset import Dataset
from cvzoo.data.loader import evaluation_batches
from cvzoo.engine import dist
from cvzoo.engine.augmented import TwoStage, View, flipped, predict_views
from cvzoo.engine.place import autocast, place
from cvzoo.metrics.coco import CocoResult, evaluate_coco
from cvzoo.metrics.predictions import to_coco
from cvzoo.recipes import Recipe
from cvzoo.structures import Prediction


@dataclass
class Evaluation:
    """The figures of one split and what they were computed from; the same in every process."""

    coco: CocoResult
    """Of boxes and, with `data.masks`, of masks."""
    predictions: dict[int, Prediction]
    """By image id, in the order of the split."""
    detections: list[dict[str, Any]]
    """The predictions in COCO's results format."""


def evaluate(model: nn.Module, dataset: Dataset, recipe: Recipe, device: torch.device) -> Evaluation:
    """Predict every picture of `dataset` at batch 1 and score boxes, and masks if asked for, as COCO does.

    `model` stays as it is. ValueError when masks are asked for that it does not predict.
    """
    dist.same_buffers(model)
    detector: Any = model.for_inference()  # pyright: ignore[reportCallIssue]
    look = _predict_augmented if recipe.data.test_scales or recipe.data.test_flip else _predict
    predictions: dict[int, Prediction] = {}
    for image_id, prediction in look(detector, dataset, recipe, device):
        if recipe.data.masks and prediction.masks is None:
            raise ValueError(f"{recipe.row} predicts boxes without masks; leave masks out with --data.no-masks")
        predictions[image_id] = prediction.to("cpu")
    merged = {image_id: prediction for part in dist.gather(predictions) for image_id, prediction in part.items()}
    predictions = {image_id: merged[image_id] for image_id in dataset.image_ids.tolist()}
    detections = to_coco(list(predictions.values()), list(predictions), dataset.category_ids)
    coco = evaluate_coco(dataset.ground_truth, detections)
    if recipe.data.masks:
        coco |= evaluate_coco(dataset.ground_truth, detections, "mask")
    return Evaluation(coco, predictions, detections)


def _predict(detector: Any, dataset: Dataset, recipe: Recipe, device: torch.device) -> Iterator[tuple[int, Prediction]]:
    """Image id and prediction of every picture of this process."""
    for batch in evaluation_batches(dataset, recipe.data, batch=1, rank=dist.rank(), world=dist.world()):
        with autocast(recipe.run, device):
            (found,) = detector.predict(place(batch, recipe.run, device))
        yield batch.image_ids[0], found


def _predict_augmented(
    detector: Any, dataset: Dataset, recipe: Recipe, device: torch.device
) -> Iterator[tuple[int, Prediction]]:
    """As `_predict`, from several views of each picture merged."""
    if not isinstance(detector, TwoStage):
        raise ValueError(
            f"{recipe.row}: test-time augmentation is for the R-CNN family; leave out data.test-scales/-flip"
        )
    sides = recipe.data.test_scales or (recipe.data.test_short_side,)
    of_sides = (replace(recipe.data, test_short_side=side, canvas=None) for side in sides)
    loaders = [evaluation_batches(dataset, data, batch=1, rank=dist.rank(), world=dist.world()) for data in of_sides]
    for batches in zip(*loaders, strict=True):
        views = [View(place(batch, recipe.run, device), flipped=False) for batch in batches]
        if recipe.data.test_flip:
            views += [flipped(view) for view in views]
        with autocast(recipe.run, device):
            yield batches[0].image_ids[0], predict_views(detector, views)
