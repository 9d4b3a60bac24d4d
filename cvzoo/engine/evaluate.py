"""Evaluation of models on one split: every image exactly once, shared among the processes. The task scores.

Answers go to the disk as they are found, a file for each process; the main process alone reads them and scores.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from cvzoo.data.loader import EvaluationBatches
from cvzoo.engine import dist
from cvzoo.engine.place import autocast, place
from cvzoo.nn.model import Model
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, View
from cvzoo.tasks import task_of
from cvzoo.tasks.task import Evaluation

BATCH = 4
"""Images at a time on a GPU, all of one size."""


def evaluate(model: Model, dataset: Any, recipe: Recipe, device: torch.device, folder: Path) -> Evaluation | None:
    """Score a model once; see `Evaluator`."""
    with closing(Evaluator(dataset, recipe, device, folder)) as evaluator:
        return evaluator(model)


class Evaluator:
    """Scores models on `dataset`, time and again: the workers that load its images are kept until it is closed."""

    def __init__(self, dataset: Any, recipe: Recipe, device: torch.device, folder: Path) -> None:
        """`folder` takes the answers until they are scored; all processes must see it."""
        self.dataset, self.recipe, self.device, self.folder = dataset, recipe, device, folder
        self.task = task_of(recipe)
        self.views = self.task.views(recipe.data)
        self.batches = EvaluationBatches(
            dataset,
            self.views or [recipe.data],
            batch=BATCH if device.type == "cuda" and not self.views else 1,
            rank=dist.rank(),
            world=dist.world(),
            pin=device.type == "cuda",
        )

    def close(self) -> None:
        """End the workers."""
        self.batches.close()

    def __call__(self, model: Model) -> Evaluation | None:
        """The evaluation, in the main process, None in the others. `model` stays as it is.

        ValueError when the answers lack what the recipe scores, or the model cannot merge views it asks for.
        """
        dist.same_buffers(model)
        own = self.folder / f"answers-{dist.rank()}.part"
        try:
            with own.open("wb") as file:
                for kept in self._answers(model.for_inference()):
                    pickle.dump(kept, file)
            parts = dist.gather(own)
            return dist.in_main(lambda: self.task.score(chain(*map(_read, parts)), self.dataset, self.recipe))
        finally:
            own.unlink(missing_ok=True)

    def _answers(self, model: Model) -> Iterator[Any]:
        """What the task keeps of the answer to each image of this process."""
        for batches in self.batches:
            placed = [place(batch, self.recipe.run, self.device) for batch in batches]
            with autocast(self.recipe.run, self.device):
                if self.views:
                    found = [self.task.predict_views(model, self._views(placed), self.recipe)]
                else:
                    found = model.predict(placed[0])
            for image_id, target, answer in zip(batches[0].image_ids, batches[0].targets, found, strict=True):
                yield self.task.kept(image_id, target, answer, self.dataset)

    def _views(self, batches: list[Batch]) -> list[View]:
        """Of one image, a view for each batch; with `data.test_flip` mirrored ones after them."""
        views = [View(batch, flipped=False) for batch in batches]
        return views + [view.mirrored() for view in views] if self.recipe.data.test_flip else views


def _read(part: Path) -> Iterator[Any]:
    """What a process has kept. ValueError where its file is out of reach."""
    if not part.exists():
        raise ValueError(f"{part} cannot be seen from here; --run.out must be on a disk that all machines share")
    with part.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)
