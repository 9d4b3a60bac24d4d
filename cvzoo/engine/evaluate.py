"""Evaluation of models on one split: every image exactly once, shared among the processes. The task scores.

Answers go to the disk as they are found, a file for each process; the main process alone reads them and scores.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cvzoo.data.loader import EvaluationBatches
from cvzoo.data.transforms import resize_label_map
from cvzoo.engine import dist
from cvzoo.engine.place import autocast, compiled, for_inference, place, split
from cvzoo.nn.model import Model
from cvzoo.ops.seeds import stream_seed
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


def validation_losses(
    model: Model, dataset: Any, recipe: Recipe, device: torch.device, folder: Path
) -> dict[str, float]:
    """The losses of a model on a split; see `Evaluator.losses`."""
    with closing(Evaluator(dataset, recipe, device, folder)) as evaluator:
        return evaluator.losses(model)


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
                for kept in self._answers(compiled(for_inference(model, self.recipe.run), self.recipe.run)):
                    pickle.dump(kept, file)
            parts = dist.gather(own)
            return dist.in_main(lambda: self.task.score(chain(*map(_read, parts)), self.dataset, self.recipe))
        finally:
            own.unlink(missing_ok=True)

    @torch.no_grad()
    def losses(self, model: Model) -> dict[str, float]:
        """The mean of each loss of training, and `loss`, their sum, over the images, each looked at alone.

        Without augmentation or dropout, and with the statistics that norms have gathered. `model` stays as it is; in
        every process the same is returned. Nothing, unless the recipe asks for it.
        """
        if not self.recipe.run.val_loss:
            return {}
        learning, sums = _learning(model), dict[str, Tensor]()
        count, part = 0, None
        for part in self._alone():
            for name, loss in self._losses(learning, part).items():
                sums[name] = sums.get(name, 0) + loss
            count += 1
        if part is not None and count * dist.world() < len(self.dataset):
            self._losses(learning, part)  # processes with one image more wait for the losses of this one
        found = dist.gather(({name: value.item() for name, value in sums.items()}, count))
        images = sum(own for _, own in found)
        means = {name: sum(own.get(name, 0.0) for own, _ in found) / images for name in found[0][0]}
        return means | {"loss": sum(means.values())}

    def _alone(self) -> Iterator[Batch]:
        """Each image of this process, its label map, if it has one, of the size at which the image is seen."""
        for batches in self.batches:
            for part in split(place(batches[0], self.recipe.run, self.device), len(batches[0])):
                (target,) = part.targets
                if target.label_map is not None:
                    part.targets = [replace(target, label_map=resize_label_map(target.label_map, part.sizes[0]))]
                yield part

    def _losses(self, model: Model, part: Batch) -> dict[str, Tensor]:
        torch.manual_seed(stream_seed(self.recipe.run.seed, 0))  # some losses draw a sample
        with autocast(self.recipe.run, self.device):
            return {name: loss.double() for name, loss in model(part).items()}

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


def _learning(model: Model) -> Model:
    """A copy that gives the losses of training, as far as they do not depend on the company of an image, or on chance.

    What it counts while it looks at images does not reach the model.
    """
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if any(kind in type(module).__name__ for kind in ("BatchNorm", "Drop")):
            module.eval()
    return model


def _read(part: Path) -> Iterator[Any]:
    """What a process has kept. ValueError where its file is out of reach."""
    if not part.exists():
        raise ValueError(f"{part} cannot be seen from here; --run.out must be on a disk that all machines share")
    with part.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)
