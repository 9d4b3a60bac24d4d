"""What `import cvzoo` gives beside recipes: predictors, training and evaluation, and a run folder as an object."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import cvzoo
from cvzoo.engine.checkpoint import WEIGHTS
from cvzoo.engine.finish import Result, evaluate_row
from cvzoo.engine.log import read_metrics
from cvzoo.engine.train import train as train_row
from cvzoo.files import file_digest
from cvzoo.predictor import Predictor
from cvzoo.recipes import Recipe
from cvzoo.report.run_report import write_report
from cvzoo.results.row_files import files_of


def load(
    row: str | Path, weights: str | Path | None = None, device: str = "auto", precision: str = "fp32"
) -> Predictor:
    """A predictor for a row of the zoo.

    Args:
        row: a name from `cvzoo.rows()`, the folder of a run, one that `save_pretrained` has written, or
            `hf:OWNER/NAME` for one on the hub.
        weights: a published name (`torchvision`, `detectron2`), a file or `hf:OWNER/NAME`; None takes those of the
            run, or of your run in `runs/<row>`.
        device: `auto`, `cpu` or `cuda`.
        precision: `fp32`, `bf16` or `fp16`.

    Raises: ValueError for an unknown row, and for weights that are missing or do not fit.
    """
    recipe = cvzoo.trained_recipe(str(row))
    run = replace(recipe.run, device=device, precision=precision)
    return Predictor(replace(recipe, run=run, weights=str(weights) if weights is not None else recipe.weights))


class Curve(NamedTuple):
    """How a number went."""

    iterations: np.ndarray
    """(L,) int64: after how many iterations it was written down."""
    values: np.ndarray
    """(L,) float64."""


class Run:
    """A run folder, finished or not: what `cvzoo train` and `cvzoo eval` write. It is read again whenever asked."""

    def __init__(self, folder: str | Path) -> None:
        """ValueError where the folder holds no run."""
        self.folder = Path(folder)
        if not (self.folder / "recipe.json").exists():
            raise ValueError(f"{folder} holds no run: it has no recipe.json; give the folder of one, runs/<row>")

    def __repr__(self) -> str:
        figures = [
            f"{split} {name} {value:.3f}" for split, found in self.metrics.items() for name, value in found.items()
        ]
        return f"<run {self.folder}: {', '.join(figures[:3]) or 'not evaluated'}>"

    @property
    def recipe(self) -> Recipe[Any]:
        """What was run, fully resolved."""
        return cvzoo.recipe(str(self.folder / "recipe.json"))

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """By split (`val`; `train` of a small one), the figures by name; nothing before the run has been evaluated."""
        return {split: found["stats"] for split, found in self.details.items()}

    @property
    def details(self) -> dict[str, dict[str, Any]]:
        """By split all that its evaluation measured, by class and by threshold, as metrics.json holds it."""
        path = self.folder / "metrics.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @property
    def curves(self) -> dict[str, Curve]:
        """Losses, learning rate, seconds, and the figures of evaluations on the way, by name, as far as it came."""
        lines = read_metrics(self.folder)
        names = dict.fromkeys(name for line in lines for name in line if name != "iteration")
        found = {name: [(line["iteration"], line[name]) for line in lines if name in line] for name in names}
        return {
            name: Curve(np.array([at for at, _ in points]), np.array([value for _, value in points], np.float64))
            for name, points in found.items()
        }

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.folder / "report.html"

    @property
    def row_files(self) -> list[Path]:
        """The files of the zoo that hold its figures, one for each machine that measured them."""
        recipe, own = self.recipe, self.folder / WEIGHTS
        if recipe.weights is None and not own.exists():
            return []
        weights = own if own.exists() else Path(recipe.weights or "")
        return files_of(recipe, file_digest(weights) if weights.is_file() else None)

    def predictor(self, device: str = "auto", precision: str = "fp32") -> Predictor:
        """A predictor with the run's weights: see `cvzoo.load`. ValueError before it has any."""
        return load(str(self.folder), device=device, precision=precision)


def train(recipe: Recipe[Any]) -> Run:
    """Train, evaluate what came out, and write run folder, row file and report, as `cvzoo train` does.

    Continues by itself where the run folder, `run.out/row`, holds a checkpoint of the same recipe. Under torchrun every
    process calls this.

    Raises:
        ValueError: recipe and data do not fit, or the folder belongs to another recipe; nothing has been written then.
        cvzoo.engine.train.TrainingError: a loss is no longer finite, or the disk is full; the last good checkpoint is
            kept.
    """
    return _reported(train_row(recipe))


def evaluate(recipe: Recipe[Any]) -> Run:
    """Evaluate the recipe's weights, or those of its run folder, on the validation split; as `cvzoo eval` does.

    Returns: the run in the folder `<row>-eval`.
    Raises: ValueError when there are no weights, or when they do not fit the model or the data.
    """
    return _reported(evaluate_row(recipe))


def _reported(result: Result) -> Run:
    if result.evaluations:  # in the main process
        write_report(result)
    return Run(result.folder)
