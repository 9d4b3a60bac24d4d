"""What a model was taught: the first training images as the recipe transforms them, with their truth."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from cvzoo.data.build import build_dataset
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
    seed, steps = recipe.run.seed, -(-SAMPLES // batch)
    seen: list[tuple[Tensor, Target]] = []
    for step in training_batches(dataset, data, batch=batch, seed=seed, start_step=0, steps=steps, world=world):
        seen += [(image[:, :h, :w], target) for image, (h, w), target in zip(step.images, step.sizes, step.targets)]
    return [data_uri(task.draw_truth(*one, dataset.classes, LONG_SIDE)) for one in seen[:SAMPLES]]
