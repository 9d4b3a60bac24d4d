"""A few validation images with the answers to them drawn, for TensorBoard and W&B."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from cvzoo.data.dataset import Dataset
from cvzoo.recipes import Recipe
from cvzoo.tasks import task_of
from cvzoo.tasks.task import Evaluation

COUNT = 4
SIDE = 480
"""The longest, in pixels."""
MIN_SCORE = 0.3
"""Detections below it are not drawn, as `cvzoo predict` has it."""


def examples(recipe: Recipe, dataset: Dataset, evaluation: Evaluation) -> Iterator[tuple[int, Image.Image]]:
    """Images evenly spread over the split, always the same ones, by image id."""
    with TemporaryDirectory() as folder:
        writer = task_of(recipe).writer(Path(folder), dataset.classes, dataset.category_ids, MIN_SCORE)
        for position in sorted({len(dataset) * number // COUNT for number in range(COUNT)}):
            sample = dataset[position]
            name = str(sample.image_id)
            file, *_ = writer.add(Path(name), name, sample.image, evaluation.prediction(sample.image_id))
            with Image.open(file) as image:
                drawn = image.convert("RGB")
            drawn.thumbnail((SIDE, SIDE))
            yield sample.image_id, drawn
