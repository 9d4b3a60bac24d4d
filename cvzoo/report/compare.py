"""Runs side by side: what differs in their recipes, what they found and what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from cvzoo.engine.log import VALIDATION, read_metrics
from cvzoo.recipes.codec import decisive
from cvzoo.tasks.sections import SUMMARY, metric_title

NONE = "-"


@dataclass(frozen=True)
class Run:
    """What lies in a run folder."""

    name: str
    """As the user gave it."""
    recipe: dict[str, Any]
    log: list[dict[str, Any]]
    """The lines of metrics.jsonl; none of an evaluation alone."""
    figures: dict[str, float]
    """Of the validation split: the final ones or, of a run that goes on, those seen last."""
    finished: bool

    @property
    def trained(self) -> list[dict[str, Any]]:
        """The lines of the log that tell of training."""
        return [line for line in self.log if "loss" in line]

    @property
    def state(self) -> str:
        """How far it is."""
        if not self.trained:
            return "evaluated" if self.finished else "not begun"
        iteration, whole = self.trained[-1]["iteration"], self.recipe["schedule"]["iterations"]
        return f"{iteration} iterations" if self.finished else f"at {iteration} of {whole}"


def read(folder: Path) -> Run:
    """What lies in a run folder. ValueError where it is none."""
    if not (folder / "recipe.json").exists():
        raise ValueError(
            f"{folder} is no run folder: it has no recipe.json; name folders that `cvzoo train` has written"
        )
    recipe, log = json.loads((folder / "recipe.json").read_text()), read_metrics(folder)
    metrics = folder / "metrics.json"
    seen = [line for line in log if any(name.startswith(VALIDATION) for name in line)]
    trained = max((line["iteration"] for line in log if "loss" in line), default=0)
    # after its last step or an early end; of a run that is being extended, metrics.json is of its first end
    over = not trained or trained >= recipe["schedule"]["iterations"] or (seen and seen[-1]["iteration"] >= trained)
    finished = metrics.exists() and bool(over)
    if finished:
        figures = json.loads(metrics.read_text()).get("val", {}).get("stats", {})
    else:
        named = (seen[-1] if seen else {}).items()
        figures = {name.removeprefix(VALIDATION): value for name, value in named if name.startswith(VALIDATION)}
    return Run(str(folder), recipe, log, figures, finished)


def lines(runs: Sequence[Run]) -> list[list[str]]:
    """A table, its first line the names: progress, figures, costs, and every field in which the recipes differ."""
    head = [["", *(run.name for run in runs)], ["", *(run.state for run in runs)]]
    return [*head, *_figures(runs), *_costs(runs), *_fields(runs)]


def common(runs: Sequence[Run]) -> list[str]:
    """The figures that can be compared: those that every run has some of."""
    return [name for name in SUMMARY if all(name in run.figures for run in runs)]


def _figures(runs: Sequence[Run]) -> Iterator[list[str]]:
    for name in SUMMARY:
        if any(name in run.figures for run in runs):
            values = (run.figures.get(name) for run in runs)
            yield [metric_title(name), *(NONE if value is None else f"{value:.3f}" for value in values)]


def _costs(runs: Sequence[Run]) -> Iterator[list[str]]:
    costs = [_cost(run) for run in runs]
    for name in dict.fromkeys(name for cost in costs for name in cost):
        yield [name, *(cost.get(name, NONE) for cost in costs)]


def _cost(run: Run) -> dict[str, str]:
    if not run.trained:
        return {}
    seconds = median(line["seconds"] for line in run.trained)
    spent = sum(line["seconds"] for line in run.trained)
    return {
        "s/iteration": f"{seconds:.3f}",
        "img/s": f"{run.recipe['schedule']['batch'] / seconds:.1f}",
        "waiting for data": f"{sum(line['data_seconds'] for line in run.trained) / spent:.0%}",
        "memory": f"{max(line['memory_gb'] for line in run.trained):.2f} GB",
    }


def _fields(runs: Sequence[Run]) -> Iterator[list[str]]:
    """Fields that decide the result, and the weights to start from."""
    recipes = [decisive(run.recipe) | {"weights": run.recipe["weights"]} for run in runs]
    for name in dict.fromkeys(name for recipe in recipes for name in recipe):
        values = [_text(recipe[name]) if name in recipe else NONE for recipe in recipes]
        if len(set(values)) > 1:
            yield [name.replace("_", "-"), *values]


def _text(value: Any) -> str:
    return " ".join(map(str, value)) or "()" if isinstance(value, list) else str(value)
