"""After the last iteration, or with given weights: evaluation, run folder and row file."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from cvzoo.data.build import build_dataset, with_absent
from cvzoo.data.dataset import Dataset, identity
from cvzoo.engine import dist
from cvzoo.engine.best import keep_best
from cvzoo.engine.checkpoint import BEST, WEIGHTS, save_weights
from cvzoo.engine.evaluate import evaluate, validation_losses
from cvzoo.engine.log import Log, read_metrics, say
from cvzoo.engine.measure import machine, parameters_m, precision
from cvzoo.engine.prepare import build_model, check_classes, matched, open_run, with_parts
from cvzoo.engine.state import State
from cvzoo.engine.stop import whole_workers
from cvzoo.files import file_digest, write_json
from cvzoo.nn.model import Model
from cvzoo.recipes import Recipe
from cvzoo.results.row_files import update_row
from cvzoo.tasks import task_of
from cvzoo.tasks.task import Evaluation

SMALL = 1000
"""Training splits of at most this many images are evaluated too, to tell learning from generalising."""
WARMUP = 10
"""Iterations left out of the training time, the first ones of a run."""

OTHER_CLASSES = "name data of its classes (--data.root), or train it on these with `cvzoo train --weights`"


@dataclass
class Result:
    """What a finished run or an evaluation hands to its caller."""

    folder: Path
    """The run folder."""
    recipe: Recipe
    """With the model options that the weights brought along."""
    datasets: dict[str, Dataset]
    """By split, those that were evaluated."""
    evaluations: dict[str, Evaluation]
    """By split; in the main process only."""
    row_file: Path | None = None
    """In the main process only; none of an exported file."""
    absent: str = ""
    """Of a result that was read: why there are no data sets and evaluations."""


def finish(
    recipe: Recipe, state: State, datasets: dict[str, Dataset], folder: Path, device: torch.device, log: Log
) -> Result:
    """Publish the weights, evaluate them and record what was learnt and what it cost. Every process calls this."""
    dist.same_buffers(state.result)
    digest = dist.in_main(lambda: save_weights(folder, state.result.state_dict(), state.origin(recipe)))
    evaluated = {"val": datasets["val"]}
    if len(datasets["train"]) <= SMALL and recipe.data.limit is None:
        evaluated["train"] = datasets["train"]
    memory_gb = max(dist.gather(state.memory_gb))
    result = _evaluate(recipe, state.result, evaluated, folder, device)
    losses = validation_losses(state.result, datasets["val"], recipe, device, folder)
    figures = log.evaluation(state.iteration, result.evaluations.get("val"), datasets["val"], losses)
    keep_best(recipe, state, figures, folder)
    if best := state.best:
        say(f"best {best['figure']} {best['value']:.4f}, of iteration {best['iteration']}: {folder / BEST}")
    cost = _cost(recipe, state, memory_gb, device)
    result.row_file = dist.in_main(
        lambda: _record(result, device, cost=cost, weights_sha256=digest, log=read_metrics(folder))
    )
    return result


def evaluate_row(recipe: Recipe) -> Result:
    """Evaluate `recipe.weights`, or the run folder's own, on the validation split; writes the folder `<row>-eval`.

    Raises: ValueError when there are no weights, or when they do not fit the model or the data.
    """
    with dist.joined(recipe.run) as device:
        recipe = with_weights(recipe)
        task_of(recipe).check(recipe)
        recipe = with_parts(recipe, evaluates=True)
        val = build_dataset(recipe.data, "val")
        loaded = build_model(recipe)
        model, recipe = loaded.model, loaded.recipe
        val = with_absent(val, recipe.data, loaded.classes or [])
        check_classes(recipe, val, OTHER_CLASSES)
        task_of(recipe).check_model(model, recipe)
        val = matched(loaded, val)
        folder = recipe.folder.with_name(f"{recipe.folder.name}-eval")
        with open_run(recipe, folder, device):
            say(f"{recipe.row}: {len(val)} images on {dist.world()} x {device.type}, {folder}")
            result = _evaluate(recipe, model.to(device), {"val": val}, folder, device)
            if not model.fixed:  # what an exported file reaches is not the row's figure
                result.row_file = dist.in_main(
                    lambda: _record(result, device, weights_sha256=loaded.file and file_digest(loaded.file))
                )
            return result


def with_weights(recipe: Recipe) -> Recipe:
    """The recipe with its run folder's weights where it names none. ValueError when there are none either."""
    if recipe.weights is not None:
        return recipe
    own = recipe.folder / WEIGHTS
    if not own.exists():
        raise ValueError(
            f"{recipe.row} has no weights: {own} does not exist. Train it with `cvzoo train {recipe.row}`, or name"
            " weights with --weights (torchvision, detectron2, or a file)"
        )
    return replace(recipe, weights=str(own))


def read_run(folder: Path, recipe: Recipe) -> Result:
    """The result of a finished run, from its folder; of its figures alone where its data or predictions are gone.

    Raises: ValueError when it has not been evaluated.
    """
    if not (folder / "metrics.json").exists():
        raise ValueError(f"{folder} has no metrics.json; finish the run with `cvzoo train {folder}/recipe.json`")
    figures = json.loads((folder / "metrics.json").read_text())["val"]
    try:
        val = build_dataset(recipe.data, "val")
        return Result(folder, recipe, {"val": val}, {"val": task_of(recipe).read(folder, "val", val, figures)})
    except (ValueError, OSError) as error:
        return Result(folder, recipe, {}, {}, absent=str(error))


def _evaluate(recipe: Recipe, model: Model, datasets: dict[str, Dataset], folder: Path, device: torch.device) -> Result:
    """Evaluate each split; write the predictions of each, and metrics.json with the figures of all."""
    with whole_workers():
        scored = {split: evaluate(model, dataset, recipe, device, folder) for split, dataset in datasets.items()}
    evaluations = {split: found for split, found in scored.items() if found is not None}

    def write() -> None:
        for split, evaluation in evaluations.items():
            evaluation.write(folder, split)
        write_json(folder / "metrics.json", {split: found.figures.to_json() for split, found in evaluations.items()})

    dist.in_main(write)
    return Result(folder, recipe, datasets, evaluations)


def _record(result: Result, device: torch.device, **measured: Any) -> Path:
    results = {split: evaluation.figures.stats for split, evaluation in result.evaluations.items()}
    data = identity(result.datasets) | {"images": {split: len(found) for split, found in result.datasets.items()}}
    return update_row(result.recipe, **machine(device), results=results, data=data, **measured)


def _cost(recipe: Recipe, state: State, memory_gb: float, device: torch.device) -> dict[str, float | str | None]:
    return {
        "mem_gb": memory_gb,
        "train_s_per_iter": median(state.seconds[WARMUP:] or state.earlier[WARMUP:] or state.seconds or state.earlier),
        "train_batch": recipe.schedule.batch,
        "processes": dist.world(),
        "precision": precision(recipe.run, device),
        "params_m": parameters_m(state.model),
    }
