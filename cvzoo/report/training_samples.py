"""What a model was taught: the first training images as the recipe transforms them, with their truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from torch import Tensor

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data
from cvzoo.data.dataset import Dataset
from cvzoo.data.loader import training_batches
from cvzoo.recipes import Recipe
from cvzoo.structures import Target
from cvzoo.tasks import task_of
from cvzoo.tasks.task import data_uri

SAMPLES = 12
LONG_SIDE = 360
"""They are shown this large, in pixels."""


def training_samples(recipe: Recipe) -> list[str]:
    """The first images that the run's first steps saw, drawn: data URIs. DataError where the data are gone."""
    task, data = task_of(recipe), replace(recipe.data, workers=0, cache=False)
    dataset = build_dataset(data, "train")
    batch = recipe.schedule.batch
    # of a large batch the share of one among many processes is enough
    world = max(w for w in range(1, batch + 1) if batch % w == 0 and (w == 1 or batch // w >= SAMPLES))
    seen = islice(as_trained(dataset, data, recipe.run.seed, batch, -(-SAMPLES // batch), world), SAMPLES)
    return [data_uri(task.draw_truth(image, target, dataset.classes, LONG_SIDE)) for _, image, target in seen]


def as_trained(
    dataset: Dataset, data: Data, seed: int, batch: int, steps: int, world: int = 1
) -> Iterator[tuple[int, Tensor, Target]]:
    """Id, (3, H, W) pixels without padding, and truth of each image that the first steps of a training see."""
    for step in training_batches(dataset, data, batch=batch, seed=seed, start_step=0, steps=steps, world=world):
        for image_id, image, (height, width), target in zip(step.image_ids, step.images, step.sizes, step.targets):
            yield image_id, image[:, :height, :width], target
