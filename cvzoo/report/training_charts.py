"""The charts of a training, as SVG text for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl

from cvzoo.engine.log import VALIDATION
from cvzoo.tasks.charts import PALETTE, STYLE, axes_of, svg_of
from cvzoo.tasks.sections import SUMMARY, metric_title
from cvzoo.tasks.task import Metrics

NOT_LOSSES = {"iteration", "lr", "seconds", "data_seconds", "memory_gb", "loss"}
OF_VALIDATION = f"{VALIDATION}loss"
Log = Sequence[Mapping[str, Any]]


def training_charts(log: Log, metrics: Metrics) -> Iterator[tuple[str, str]]:
    """Titles and charts of a run that was trained, and none of another.

    Args:
        log: the lines of metrics.jsonl.
        metrics: metrics.json, which has the figures after the last iteration.
    """
    if not log:
        return
    yield "Losses", loss_chart(log)
    if figures := _evaluations(log, metrics):
        yield "Evaluations during training", evaluation_chart(figures)
    yield "Learning rate", lr_chart(log)


def _evaluations(log: Log, metrics: Metrics) -> dict[str, dict[int, float]]:
    """By figure, in the order of `SUMMARY`, iterations and values; only those that were measured more than once."""
    last = {log[-1]["iteration"]: metrics["val"]["stats"]} if "val" in metrics else {}
    found: dict[str, dict[int, float]] = {}
    for name in SUMMARY:
        curve = {line["iteration"]: line[VALIDATION + name] for line in log if VALIDATION + name in line}
        curve |= {iteration: stats[name] for iteration, stats in last.items() if name in stats}
        if len(curve) > 1:
            found[name] = curve
    return found


def evaluation_chart(figures: Mapping[str, Mapping[int, float]]) -> str:
    """Figures of the validation split over iterations; the best value of the first one is marked."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="iteration", ylabel="validation")
        for (name, curve), colour in zip(figures.items(), PALETTE):
            axes.plot(list(curve), list(curve.values()), "o-", markersize=3, color=colour, label=metric_title(name))
        name, curve = next(iter(figures.items()))
        best = max(curve, key=lambda iteration: curve[iteration])
        label = f"best {metric_title(name)}: {curve[best]:.3f} after {best}"
        axes.plot([best], [curve[best]], "o", markersize=8, color=PALETTE[0], fillstyle="none", label=label)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=9)
        return svg_of(figure, "evaluations")


def loss_chart(log: Log) -> str:
    """The total loss as logged and smoothed, and of the validation split, where it was measured; each named loss
    smoothed."""
    lines = [line for line in log if "loss" in line]
    steps = [line["iteration"] for line in lines]
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="iteration", ylabel="loss")
        total = [line["loss"] for line in lines]
        axes.plot(steps, total, color=PALETTE[0], alpha=0.2, linewidth=1)
        axes.plot(steps, smoothed(total), color=PALETTE[0], label="total", **lone(steps))
        if seen := {line["iteration"]: line[OF_VALIDATION] for line in log if OF_VALIDATION in line}:
            axes.plot(list(seen), list(seen.values()), "o--", markersize=3, color=PALETTE[0], label="total, validation")
        for name, colour in zip(_losses(lines), PALETTE[1:]):
            curve = smoothed([line[name] for line in lines])
            axes.plot(steps, curve, color=colour, label=name.removeprefix("loss_"), **lone(steps))
        axes.set_ylim(bottom=0)
        axes.legend()
        return svg_of(figure, "loss")


def lr_chart(log: Log) -> str:
    """The learning rate."""
    lines = [line for line in log if "lr" in line]
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="iteration", ylabel="learning rate")
        steps = [line["iteration"] for line in lines]
        axes.plot(steps, [line["lr"] for line in lines], color=PALETTE[2], **lone(steps))
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", scilimits=(-2, 3))
        return svg_of(figure, "lr")


def lone(points: Sequence[Any]) -> dict[str, Any]:
    """How to draw a curve of one point, which no line would show; of several, as it is."""
    return {"marker": "o", "markersize": 4} if len(points) == 1 else {}


def smoothed(values: Sequence[float]) -> list[float]:
    """Exponential moving average over about a thirtieth of the curve, without a start-up bias."""
    keep = 1 - min(1.0, 30 / max(len(values), 1))
    average = 0.0
    weight = 0.0
    smooth = []
    for value in values:
        average = keep * average + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        smooth.append(average / weight)
    return smooth


def _losses(lines: Log) -> list[str]:
    return [name for name in (lines[0] if lines else {}) if name not in NOT_LOSSES and not name.startswith(VALIDATION)]
