"""Evaluation of a model on one split: every image exactly once, shared among the processes. The task scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from cvzoo.data.config import Data
from cvzoo.data.loader import evaluation_batches
from cvzoo.engine import dist
from cvzoo.engine.place import autocast, place
from cvzoo.nn.model import Model
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, View
from cvzoo.tasks import task_of
from cvzoo.tasks.task import Evaluation


def evaluate(model: Model, dataset: Any, recipe: Recipe, device: torch.device) -> Evaluation:
    """Score a model on `dataset` at batch 1. `model` stays as it is.

    ValueError when the answers lack what the recipe scores, or the model cannot merge views it asks for.
    """
    dist.same_buffers(model)
    task = task_of(recipe)
    own = task.part(_answers(model.for_inference(), dataset, recipe, device), dataset)
    return task.score(dist.gather(own), dataset, recipe)


def _answers(model: Model, dataset: Any, recipe: Recipe, device: torch.device) -> Iterator[tuple[Batch, Any]]:
    """Every image of this process, and the model's answer."""
    task = task_of(recipe)
    settings = task.views(recipe.data)
    if settings:
        for views in views_of(dataset, settings, recipe, device):
            with autocast(recipe.run, device):
                merged = task.predict_views(model, views, recipe)
            yield views[0].batch, merged
        return
    for batch in evaluation_batches(dataset, recipe.data, batch=1, rank=dist.rank(), world=dist.world()):
        with autocast(recipe.run, device):
            (found,) = model.predict(place(batch, recipe.run, device))
        yield batch, found


def views_of(dataset: Any, settings: Sequence[Data], recipe: Recipe, device: torch.device) -> Iterator[list[View]]:
    """Of one image of this process after the other a view for each of the `settings`; with `data.test_flip` mirrored
    ones after them.
    """
    loaders = [evaluation_batches(dataset, data, batch=1, rank=dist.rank(), world=dist.world()) for data in settings]
    for batches in zip(*loaders, strict=True):
        views = [View(place(batch, recipe.run, device), flipped=False) for batch in batches]
        yield views + [view.mirrored() for view in views] if recipe.data.test_flip else views
