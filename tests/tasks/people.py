"""Drawn people, and what a network would say of them that knows their surfaces exactly, or nearly."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

import cvzoo
from cvzoo.data.config import Shapes
from cvzoo.data.shapes import Painting, ShapesDataset
from cvzoo.recipes import Recipe
from cvzoo.recipes.data_sets import FIGURES
from cvzoo.structures import Prediction, Target

CLASSES = ["person"]


def people(images: int = 6, **changed: Any) -> ShapesDataset:
    """The validation split of drawn people."""
    settings = Shapes(size=128, figures=True, val_images=images, max_objects=3)
    return ShapesDataset(dataclasses.replace(settings, **changed), "val", surfaces=True)


def recipe(**changed: Any) -> Recipe[Any]:
    """A row's recipe on drawn people; the row's model gives boxes alone."""
    found = cvzoo.recipe("retinanet_r18_fpn_shapes")
    return dataclasses.replace(found, data=dataclasses.replace(FIGURES, **changed))


def exact(painting: Painting, target: Target) -> Prediction:
    """Every person found, with the surface as it was painted."""
    assert painting.figures is not None
    uv = (painting.figures.uv * 255).astype(np.uint8)
    surfaces = []
    for number, (x1, y1, x2, y2) in zip(painting.shown(), target.boxes.int().tolist()):
        own = painting.owner[y1:y2, x1:x2] == number
        part = painting.figures.part[None, y1:y2, x1:x2]
        surfaces.append(torch.from_numpy(np.concatenate([part, uv[:, y1:y2, x1:x2]]) * own))
    scores = torch.linspace(0.9, 0.6, len(surfaces))
    return Prediction(target.boxes, scores, target.labels, surfaces=surfaces)


def answers(dataset: ShapesDataset) -> dict[int, Prediction]:
    """The exact answer to each image."""
    ids = dataset.image_ids.tolist()
    return {ids[i]: exact(dataset.painting(i), dataset[i].target) for i in range(len(dataset))}
