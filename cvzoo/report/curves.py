"""Curves of trainings side by side, and of a range test, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cvzoo.engine.log import VALIDATION
from cvzoo.engine.lr_range import RangeTest
from cvzoo.files import atomic
from cvzoo.report.training_charts import lone, smoothed
from cvzoo.tasks.charts import GREY, PALETTE, STYLE
from cvzoo.tasks.sections import metric_title

DPI = 120


def draw_runs(path: Path, logs: Mapping[str, Sequence[Mapping[str, Any]]], figures: Sequence[str]) -> None:
    """The total loss, smoothed, and each of the `figures` of the validation split, a curve for each named log."""
    with mpl.rc_context(STYLE):
        page = Figure(figsize=(5.6 * (1 + len(figures)), 4.2), layout="constrained")
        charts = page.subplots(1, 1 + len(figures), squeeze=False)[0]
        for (name, log), colour in zip(logs.items(), PALETTE * len(logs)):
            trained = [line for line in log if "loss" in line]
            steps = [line["iteration"] for line in trained]
            losses = smoothed([line["loss"] for line in trained])
            charts[0].plot(steps, losses, color=colour, label=name, **lone(steps))
            for axes, figure in zip(charts[1:], figures):
                seen = [(line["iteration"], line[VALIDATION + figure]) for line in log if VALIDATION + figure in line]
                steps, values = zip(*seen, strict=True) if seen else ((), ())
                axes.plot(steps, values, color=colour, label=name, marker="o", markersize=4)
        for axes, title in zip(charts, ["loss", *map(metric_title, figures)]):
            axes.set(xlabel="iteration", ylabel=title)
            axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        charts[0].legend()
        _save(page, path)


def draw_range(path: Path, found: RangeTest) -> None:
    """The losses of a range test over the learning rate, the suggestion and the rate that the recipe has."""
    with mpl.rc_context(STYLE):
        page = Figure(figsize=(7, 4.2), layout="constrained")
        axes = page.subplots()
        axes.plot(found.rates, found.losses, color=PALETTE[0], alpha=0.25, linewidth=1, label="loss of a step")
        axes.plot(found.rates, found.averaged, color=PALETTE[0], label="moving average")
        axes.axvline(found.used, color=GREY, linestyle=":", label=f"the recipe's {found.used:.3g}")
        if found.suggestion is not None:
            axes.axvline(found.suggestion, color=PALETTE[1], label=f"suggestion, {found.suggestion:.2g}")
        lowest, highest = min(found.losses), max(found.averaged[0], min(found.averaged))
        axes.set(xscale="log", xlabel="optim.lr", ylabel="loss", ylim=(0.8 * lowest, 1.3 * highest))
        axes.legend()
        _save(page, path)


def _save(page: Figure, path: Path) -> None:
    with atomic(path) as temporary:
        page.savefig(temporary, format="png", dpi=DPI)
