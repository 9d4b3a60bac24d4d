"""Evaluation of a model on one split: every picture exactly once, shared among the processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from cvzoo.data.dataset import Dataset
from cvzoo.data.loader import evaluation_batches
from cvzoo.engine import dist
from cvzoo.engine.place import autocast, place
from cvzoo.metrics.coco import CocoResult, evaluate_coco
from cvzoo.metrics.predictions import to_coco
from cvzoo.recipes import Recipe
from cvzoo.structures import Prediction


@dataclass
class Evaluation:
    """The figures of one split and what they were computed from; the same in every process."""

    coco: CocoResult
    predictions: dict[int, Prediction]
    """By image id, in the order of the split."""
    detections: list[dict[str, Any]]
    """The predictions in COCO's results format."""


def evaluate(model: nn.Module, dataset: Dataset, recipe: Recipe, device: torch.device) -> Evaluation:
    """Predict every picture of `dataset` at batch 1 and score the boxes as COCO does. `model` stays as it is."""
    dist.same_buffers(model)
    detector: Any = model.for_inference()  # pyright: ignore[reportCallIssue]
    predictions: dict[int, Prediction] = {}
    for batch in evaluation_batches(dataset, recipe.data, batch=1, rank=dist.rank(), world=dist.world()):
        with autocast(recipe.run, device):
            found = detector.predict(place(batch, recipe.run, device))
        predictions |= {image_id: prediction.to("cpu") for image_id, prediction in zip(batch.image_ids, found)}
    merged = {image_id: prediction for part in dist.gather(predictions) for image_id, prediction in part.items()}
    predictions = {image_id: merged[image_id] for image_id in dataset.image_ids.tolist()}
    detections = to_coco(list(predictions.values()), list(predictions), dataset.category_ids)
    return Evaluation(evaluate_coco(dataset.ground_truth, detections), predictions, detections)
