"""A few validation images with the answers to them drawn, for TensorBoard and W&B."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from cvzoo.data.dataset import Dataset
from cvzoo.recipes import Recipe
from cvzoo.tasks import task_of
from cvzoo.tasks.about import About
from cvzoo.tasks.limits import Limits
from cvzoo.tasks.task import Evaluation

COUNT = 4
SIDE = 480
"""The longest, in pixels."""
DRAWN = Limits(conf=0.3)
"""Detections with a lower score are not drawn, as `cvzoo predict` has it."""


def examples(recipe: Recipe, dataset: Dataset, evaluation: Evaluation) -> Iterator[tuple[int, Image.Image]]:
    """Images evenly spread over the split, always the same ones, by image id."""
    known = {"classes": dataset.classes, "category_ids": dataset.category_ids}
    for position in sorted({len(dataset) * number // COUNT for number in range(COUNT)}):
        sample = dataset[position]
        about = About(**known, size=sample.size, pixels=sample.image)
        drawn = task_of(recipe).answered(evaluation.prediction(sample.image_id), about, DRAWN).draw()
        drawn.thumbnail((SIDE, SIDE))
        yield sample.image_id, drawn
