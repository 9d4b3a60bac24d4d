"""report.html of a run: one file that explains the run and opens anywhere, without a network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from markupsafe import Markup

from cvzoo.engine.finish import Result
from cvzoo.engine.log import METRICS, read_metrics
from cvzoo.files import atomic
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import changes, decisive, to_json
from cvzoo.report.page import template
from cvzoo.report.training_charts import Log, training_charts
from cvzoo.report.training_samples import training_samples
from cvzoo.tasks import task_of
from cvzoo.tasks.study import Cell, Gallery, Study, marks_json
from cvzoo.zoo import ROWS

NOTHING = Study([], [], Gallery(note="", legend=[], images=[]))


def write_report(result: Result) -> Path:
    """Write report.html into the run folder, and return its path.

    Uses recipe.json, env.json, metrics.json and, where there was training, metrics.jsonl; and the data and predictions
    of the validation split. Where these are gone, the page says so and shows the rest.
    """
    run, task = result.folder, task_of(result.recipe)
    log, metrics = read_metrics(run), _load(run / "metrics.json")
    notes = [f"Images and all that needs them are left out: {result.absent}"] if result.absent else []
    study = task.study(result.evaluations["val"], result.datasets["val"]) if "val" in result.evaluations else NOTHING
    text = template("run_report.html", shown=_shown).render(
        row=result.recipe.row,
        headline=[*task.headline(metrics), *_progress(log)],
        results=task.results(metrics),
        training=_safe(training_charts(log, metrics)),
        charts=_safe([*study.charts, *task.charts(metrics)]),
        tables=study.tables,
        gallery=study.gallery,
        marks=marks_json(study.gallery),
        samples=_samples(result, notes),
        notes=notes,
        cost=_cost(log, result.recipe),
        environment=dict(_flat(_load(run / "env.json"))),
        recipe=dict(_flat(to_json(result.recipe))),
        differences=_differences(result.recipe),
    )
    with atomic(run / "report.html") as temporary:
        temporary.write_text(text)
    return run / "report.html"


def _safe(charts: Iterable[tuple[str, str]]) -> list[tuple[str, Markup]]:
    """Charts whose SVG goes into the page as it is."""
    return [(title, Markup(chart)) for title, chart in charts]


def _shown(value: Cell) -> str:
    """A cell of a table."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _samples(result: Result, notes: list[str]) -> list[str]:
    """Training images, of a run that was trained; why there are none is added to the notes."""
    if not (result.folder / METRICS).exists():
        return []
    try:
        return training_samples(result.recipe)
    except (ValueError, OSError) as error:
        notes += [] if result.absent else [f"Training images are left out: {error}"]
        return []


def _progress(log: Log) -> list[tuple[str, str]]:
    """How far training came."""
    lines = [line for line in log if "loss" in line]
    return [("last loss", f"{lines[-1]['loss']:.3f}"), ("iterations", str(lines[-1]["iteration"]))] if lines else []


def _differences(recipe: Recipe) -> list[tuple[str, Any, Any]] | None:
    """Field, value and that of the row's own recipe, where they differ; None for a row that is not of the zoo."""
    if recipe.row not in ROWS:
        return None
    own = ROWS[recipe.row].recipe()
    before = decisive(to_json(own))
    return [(name, _plain(value), _plain(before.get(name))) for name, value in changes(recipe, own).items()]


def _cost(log: Log, recipe: Recipe) -> dict[str, str]:
    """What training took, from its log."""
    lines = [line for line in log if "seconds" in line]
    if not lines:
        return {}
    iterations = lines[-1]["iteration"]
    seconds = median(line["seconds"] for line in lines)
    total = sum(line["seconds"] * (line["iteration"] - before) for line, before in zip(lines, [0, *_steps(lines)]))
    waiting = sum(line["data_seconds"] for line in lines) / sum(line["seconds"] for line in lines)
    batch = recipe.schedule.batch
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
            yield prefix + name, _plain(value)


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
