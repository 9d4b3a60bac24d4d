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
COSTS = {
    "s_per_iteration": ("s/iteration", "{:.3f}"),
    "images_per_s": ("img/s", "{:.1f}"),
    "waiting_for_data": ("waiting for data", "{:.0%}"),
    "memory_gb": ("memory", "{:.2f} GB"),
}
"""What a run costs: its title, and how it is written."""


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

    @property
    def cost(self) -> dict[str, float]:
        """What the training took, by the names in `COSTS`; nothing of an evaluation alone."""
        if not self.trained:
            return {}
        seconds = median(line["seconds"] for line in self.trained)
        spent = sum(line["seconds"] for line in self.trained)
        return {
            "s_per_iteration": seconds,
            "images_per_s": self.recipe["schedule"]["batch"] / seconds,
            "waiting_for_data": sum(line["data_seconds"] for line in self.trained) / spent,
            "memory_gb": max(line["memory_gb"] for line in self.trained),
        }


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
    costs = [run.cost for run in runs]
    for name in COSTS:
        if any(name in cost for cost in costs):
            title, form = COSTS[name]
            yield [title, *(form.format(cost[name]) if name in cost else NONE for cost in costs)]


def _fields(runs: Sequence[Run]) -> Iterator[list[str]]:
    recipes = _differing(runs)
    for name in dict.fromkeys(name for recipe in recipes for name in recipe):
        yield [name.replace("_", "-"), *(_text(recipe[name]) if name in recipe else NONE for recipe in recipes)]


def _differing(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Of each run the fields in which they differ, of those that decide the result, and the weights to start from."""
    recipes = [decisive(run.recipe) | {"weights": run.recipe["weights"]} for run in runs]
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    texts = {name: {_text(recipe[name]) if name in recipe else NONE for recipe in recipes} for name in names}
    return [{name: recipe[name] for name in names if name in recipe and len(texts[name]) > 1} for recipe in recipes]


def values(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The same of each run by name, as numbers."""
    return [
        {"run": run.name, "state": run.state, "finished": run.finished, "figures": run.figures, "cost": run.cost}
        | {"recipe": fields}
        for run, fields in zip(runs, _differing(runs))
    ]


def _text(value: Any) -> str:
    return " ".join(map(str, value)) or "()" if isinstance(value, list) else str(value)
