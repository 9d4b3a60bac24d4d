"""Evaluation of a model on one split: every picture exactly once, shared among the processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from cvzoo.engine import dist
from cvzoo.engine.objects import ObjectEvaluation, evaluate_objects
from cvzoo.engine.pixels import PixelEvaluation, evaluate_pixels
from cvzoo.recipes import Recipe

Evaluation = ObjectEvaluation | PixelEvaluation


def evaluate(model: nn.Module, dataset: Any, recipe: Recipe, device: torch.device) -> Evaluation:
    """Score a model on `dataset`: its boxes and masks, or its label maps. `model` stays as it is."""
    dist.same_buffers(model)
    optimised = model.for_inference()  # pyright: ignore[reportCallIssue]
    return (evaluate_pixels if recipe.data.semantic else evaluate_objects)(optimised, dataset, recipe, device)


def read_evaluation(folder: Path, split: str, dataset: Any, recipe: Recipe, figures: dict[str, Any]) -> Evaluation:
    """What `Evaluation.write` left in a run folder, with the split's part of metrics.json."""
    return (PixelEvaluation if recipe.data.semantic else ObjectEvaluation).read(folder, split, dataset, figures)
