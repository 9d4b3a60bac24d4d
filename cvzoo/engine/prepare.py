"""Before the first iteration: the checks that need recipe and data together, the model, the run folder."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cvzoo.data.dataset import Dataset
from cvzoo.data.own_transform import transform_file
from cvzoo.engine import dist
from cvzoo.engine.log import say
from cvzoo.files import alone_in, file_digest, write_json
from cvzoo.loading import Loaded, build_with_weights, own_recipe, sets_classes
from cvzoo.ops.seeds import stream_seed
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import to_json
from cvzoo.recipes.finetune import finetuned
from cvzoo.recipes.folder import divided
from cvzoo.results.machine import commit, hardware, versions
from cvzoo.weights.class_count import class_count, scoring


def build_model(recipe: Recipe, dataset: Dataset | None = None) -> Loaded:
    """The recipe's model with its weights, which bring their own options into the recipe.

    To train on a data set it may start from weights for other classes; see `cvzoo.loading.build_with_weights`.
    """
    torch.manual_seed(stream_seed(recipe.run.seed, 0))
    loaded = build_with_weights(recipe, None if dataset is None else dataset.classes)
    if loaded.note:
        say(loaded.note)
    return loaded


def with_parts(recipe: Recipe, evaluates: bool = False) -> Recipe:
    """The recipe with the parts of a folder that was found undivided; see `divided`. The main process writes lists."""
    found = dist.in_main(lambda: divided(recipe.data, evaluates))
    data, said = found or divided(recipe.data, evaluates)
    if said:
        say(said)
    return replace(recipe, data=data)


def check_batch(recipe: Recipe, world: int) -> None:
    """ValueError when the batch cannot be shared out evenly."""
    parts = world * recipe.schedule.accumulate
    if recipe.schedule.batch % parts:
        raise ValueError(
            f"schedule.batch {recipe.schedule.batch} cannot be shared by {world} processes in"
            f" {recipe.schedule.accumulate} parts each; set --schedule.batch to a multiple of {parts}"
        )


def for_images(recipe: Recipe, count: int) -> Recipe:
    """The recipe for so many training images: how it trains on, and for how long."""
    if recipe.recipe == "finetune":
        recipe = finetuned(recipe, own_recipe(recipe), count)
    return replace(recipe, schedule=recipe.schedule.of_epochs(count))


def with_classes(recipe: Recipe, dataset: Dataset) -> Recipe:
    """The recipe with a model for the data set's classes. ValueError when somebody has set another number of them."""
    count, own = len(dataset.classes), class_count(recipe.model)
    if count == own or sets_classes(recipe):
        check_classes(recipe, dataset, f"add --model.num-classes {count}")
        return recipe
    say(f"the model is for the {count} classes of the data set, not for the {own} of {recipe.row}")
    return replace(recipe, model=scoring(recipe.model, count))


def check_classes(recipe: Recipe, dataset: Dataset, remedy: str) -> None:
    """ValueError, with the `remedy`, when the data set has another number of categories than the model."""
    classes = dataset.classes
    count = len(dataset.classes)
    predicted = class_count(recipe.model)
    if count != predicted:
        names = ", ".join(classes[:5]) + (" ..." if count > 5 else "")
        raise ValueError(
            f"the data set has {count} categories ({names}), but the model of {recipe.row} predicts {predicted};"
            f" {remedy}"
        )


def in_order_of_weights(loaded: Loaded, datasets: dict[str, Dataset]) -> dict[str, Dataset]:
    """The data sets with their classes in the order in which the weights to start from have the same names."""
    names = loaded.classes
    if names is None or sorted(names) != sorted(datasets["train"].classes):
        return datasets
    return {split: dataset.in_order(names) for split, dataset in datasets.items()}


def matched(loaded: Loaded, dataset: Dataset) -> Dataset:
    """The data set with its classes in the order of the weights'. ValueError when their names differ."""
    names, weights = loaded.classes, loaded.recipe.weights
    if names is None:
        say(f"{weights} names no classes; its outputs are taken for the data set's classes in their order")
        return dataset
    if sorted(names) != sorted(dataset.classes):
        raise ValueError(
            f"the classes of {weights} ({', '.join(names)}) are not those of the data set"
            f" ({', '.join(dataset.classes)}); evaluate it on data of its own classes, or give these their names"
        )
    return dataset.in_order(names)


def environment(device: torch.device) -> dict[str, Any]:
    """Where a run takes place: versions, commit, machine, processes, command."""
    return {
        "command": sys.argv,
        "commit": commit(),
        "versions": versions(),
        "platform": platform.platform(),
        "hardware": hardware(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processes": dist.world(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "variables": {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")},
    }


def _own_code(recipe: Recipe) -> dict[str, Any]:
    """The user's code that takes part in the training, which recipe.json only names."""
    if recipe.data.transform is None:
        return {}
    file = transform_file(recipe.data.transform)
    return {"transform": {"file": str(file.resolve()), "sha256": file_digest(file)}}


@contextmanager
def open_run(recipe: Recipe, folder: Path, device: torch.device) -> Iterator[None]:
    """Create the run folder with recipe.json and env.json, and keep other commands from writing to it until the end.

    ValueError when another one does.
    """

    def claim() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(alone_in(folder))
        write_json(folder / "recipe.json", to_json(recipe))
        write_json(folder / "env.json", environment(device) | _own_code(recipe))

    with ExitStack() as stack:
        dist.in_main(claim)
        yield
