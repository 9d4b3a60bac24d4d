"""report.html of a run: one file that explains the run and opens anywhere, without a network."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from cvzoo.engine.checkpoint import atomic
from cvzoo.report import charts
from cvzoo.report.draw import draw
from cvzoo.structures import Prediction, Target

Picture = tuple[Tensor, Target, Prediction]
"""(3, H, W) uint8 RGB with its ground truth and its detections, in the picture's pixels."""
PLURALS = {"box": "boxes", "mask": "masks"}
LONG_SIDE = 480
"""Pictures are shown this large, in pixels."""


def write_report(run: Path, pictures: Sequence[Picture], classes: Sequence[str]) -> Path:
    """Write `run/report.html` from what lies in the run folder, and return its path.

    Uses recipe.json, env.json, metrics.json and, where there was training, metrics.jsonl.

    Args:
        run: the run folder.
        pictures: samples to show.
        classes: name of each label.
    """
    path = run / "metrics.jsonl"
    log = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    recipe, metrics = _load(run / "recipe.json"), _load(run / "metrics.json")
    templates = Environment(
        loader=PackageLoader("cvzoo", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    threshold = score_threshold(pictures)
    text = templates.get_template("run_report.html").render(
        row=recipe["row"],
        headline=_headline(metrics, log),
        results=_results(metrics),
        charts=[(title, Markup(chart)) for title, chart in _charts(log, metrics)],
        pictures=[_shown(picture, classes, threshold) for picture in pictures],
        threshold=threshold,
        cost=_cost(log, recipe),
        environment=dict(_flat(_load(run / "env.json"))),
        recipe=dict(_flat(recipe)),
    )
    with atomic(run / "report.html") as temporary:
        temporary.write_text(text)
    return run / "report.html"


def score_threshold(pictures: Sequence[Picture]) -> float:
    """The score above which there are as many detections as objects: a weak model's pictures are not empty nor full."""
    objects = sum(len(target) for _, target, _ in pictures)
    scores = sorted((score for *_, found in pictures for score in found.scores.tolist()), reverse=True)
    return scores[min(max(objects, 1), len(scores)) - 1] if scores else 0.0


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _headline(metrics: Mapping[str, Any], log: charts.Log) -> list[tuple[str, str]]:
    """The figures to see first."""
    stats = metrics["val"]["stats"] if "val" in metrics else {}
    figures = [(n.replace("_", " "), f"{stats[n]:.3f}") for n in stats if n.endswith(("_AP", "_AP50", "_AP75"))]
    lines = [line for line in log if "loss" in line]
    if lines:
        figures += [("last loss", f"{lines[-1]['loss']:.3f}"), ("iterations", str(lines[-1]["iteration"]))]
    return figures


def _charts(log: charts.Log, metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if log:
        yield "Losses", charts.loss_chart(log)
        yield "Learning rate", charts.lr_chart(log)
    for split, found in metrics.items():
        for kind, curves in found["precision_recall"].items():
            yield f"Precision and recall of {PLURALS[kind]}, {split}", charts.precision_recall_chart(curves)
            yield f"AP of {PLURALS[kind]} by class, {split}", charts.class_chart(found["per_class"][kind])


def _results(metrics: Mapping[str, Any]) -> list[tuple[str, str, dict[str, float]]]:
    """Split, what was compared, and COCO's numbers by name."""
    return [
        (split, PLURALS[kind], {n.removeprefix(f"{kind}_"): v for n, v in found["stats"].items() if n.startswith(kind)})
        for split, found in metrics.items()
        for kind in found["per_class"]
    ]


def _shown(picture: Picture, classes: Sequence[str], threshold: float) -> dict[str, Any]:
    image, target, prediction = picture
    return {
        "truth": _data_uri(draw(image, target, classes, long_side=LONG_SIDE)),
        "found": _data_uri(draw(image, prediction, classes, threshold, LONG_SIDE)),
        "objects": len(target),
        "detections": int((prediction.scores >= threshold).sum()),
    }


def _data_uri(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def _cost(log: charts.Log, recipe: Mapping[str, Any]) -> dict[str, str]:
    """What training took, from its log."""
    lines = [line for line in log if "seconds" in line]
    if not lines:
        return {}
    iterations, seconds = lines[-1]["iteration"], median(line["seconds"] for line in lines)
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


def _steps(lines: charts.Log) -> list[int]:
    return [line["iteration"] for line in lines]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and printable values."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, " ".join(map(str, value)) if isinstance(value, list) else str(value)
