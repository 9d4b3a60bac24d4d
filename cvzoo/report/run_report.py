"""report.html of a run: one file that explains the run and opens anywhere, without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cvzoo.files import atomic
from cvzoo.report.training_charts import Log, loss_chart, lr_chart
from cvzoo.tasks.task import Shown, Task


def write_report(run: Path, task: Task, shown: Sequence[Shown], classes: Sequence[str]) -> Path:
    """Write `run/report.html` from what lies in the run folder, and return its path.

    Uses recipe.json, env.json, metrics.json and, where there was training, metrics.jsonl.

    Args:
        run: the run folder.
        task: what answers the run's model gives.
        shown: images with their truth and answers.
        classes: name of each label.
    """
    path = run / "metrics.jsonl"
    log = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    recipe, metrics = _load(run / "recipe.json"), _load(run / "metrics.json")
    templates = Environment(
        loader=PackageLoader("cvzoo", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text = templates.get_template("run_report.html").render(
        row=recipe["row"],
        headline=[*task.headline(metrics), *_progress(log)],
        results=task.results(metrics),
        charts=[(title, Markup(chart)) for title, chart in (*_training_charts(log), *task.charts(metrics))],
        gallery=task.gallery(shown, classes),
        cost=_cost(log, recipe),
        environment=dict(_flat(_load(run / "env.json"))),
        recipe=dict(_flat(recipe)),
    )
    with atomic(run / "report.html") as temporary:
        temporary.write_text(text)
    return run / "report.html"


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _progress(log: Log) -> list[tuple[str, str]]:
    """How far training came."""
    lines = [line for line in log if "loss" in line]
    return [("last loss", f"{lines[-1]['loss']:.3f}"), ("iterations", str(lines[-1]["iteration"]))] if lines else []


def _training_charts(log: Log) -> list[tuple[str, str]]:
    return [("Losses", loss_chart(log)), ("Learning rate", lr_chart(log))] if log else []


def _cost(log: Log, recipe: Mapping[str, Any]) -> dict[str, str]:
    """What training took, from its log."""
    lines = [line for line in log if "seconds" in line]
    if not lines:
        return {}
    iterations = lines[-1]["iteration"]
    seconds = median(line["seconds"] for line in lines)
    total = sum(line["seconds"] * (line["iteration"] - before) for line, before in zip(lines, [0, *_steps(lines)]))
    waiting = sum(line["data_seconds"] for line in lines) / sum(line["seconds"] for line in lines)
    batch = recipe["schedule"]["batch"]
    return {
        "iterations": f"{iterations}, {batch} images each",
        "time of an iteration": f"{seconds:.3f} s (median)",
        "images per second": f"{batch / seconds:.1f}",
        "waiting for data": f"{waiting:.1%} of the time",
        "memory": f"{max(line['memory_gb'] for line in lines):.2f} GB",
        "training": f"{total / 60:.1f} min",
    }


def _steps(lines: Log) -> list[int]:
    return [line["iteration"] for line in lines]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and printable values."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, " ".join(map(str, value)) if isinstance(value, list) else str(value)
