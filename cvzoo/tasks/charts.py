"""The charts of a run report, as SVG text for a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PALETTE = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#db2777", "#ca8a04", "#0891b2", "#4b5563")
GREY = "#64748b"
NOT_LOSSES = {"iteration", "lr", "seconds", "data_seconds", "memory_gb", "loss"}
NUMBER_SIZE = 14
"""Points; smaller cells of a confusion matrix have no numbers."""
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#cbd5e1",
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.grid": True,
    "grid.color": "#eef2f7",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}

Log = Sequence[Mapping[str, Any]]


def loss_chart(log: Log) -> str:
    """The total loss as logged and smoothed, and each named loss smoothed."""
    lines = [line for line in log if "loss" in line]
    steps = [line["iteration"] for line in lines]
    with mpl.rc_context(STYLE):
        figure, axes = _axes(xlabel="iteration", ylabel="loss")
        total = [line["loss"] for line in lines]
        axes.plot(steps, total, color=PALETTE[0], alpha=0.2, linewidth=1)
        axes.plot(steps, smoothed(total), color=PALETTE[0], label="total")
        for name, colour in zip(_losses(lines), PALETTE[1:]):
            axes.plot(steps, smoothed([line[name] for line in lines]), color=colour, label=name.removeprefix("loss_"))
        axes.set_ylim(bottom=0)
        axes.legend()
        return _svg(figure, "loss")


def lr_chart(log: Log) -> str:
    """The learning rate."""
    lines = [line for line in log if "lr" in line]
    with mpl.rc_context(STYLE):
        figure, axes = _axes(xlabel="iteration", ylabel="learning rate")
        axes.plot([line["iteration"] for line in lines], [line["lr"] for line in lines], color=PALETTE[2])
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", scilimits=(-2, 3))
        return _svg(figure, "lr")


def precision_recall_chart(curves: Mapping[str, Sequence[float]]) -> str:
    """Precision over recall, one curve for each IoU."""
    with mpl.rc_context(STYLE):
        figure, axes = _axes(xlabel="recall", ylabel="precision")
        for (name, precision), colour in zip((item for item in curves.items() if item[0] != "recall"), PALETTE):
            axes.plot(curves["recall"], precision, color=colour, label=f"IoU {name}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.legend()
        return _svg(figure, "pr")


def class_chart(per_class: Mapping[str, float], measure: str) -> str:
    """The AP or IoU of each class that occurs, the best on top."""
    found = sorted(((value, name) for name, value in per_class.items() if value >= 0))
    with mpl.rc_context(STYLE):
        figure, axes = _axes(xlabel=measure, height=0.8 + 0.24 * max(len(found), 3))
        bars = axes.barh([name for _, name in found], [value for value, _ in found], color=PALETTE[0], height=0.7)
        axes.grid(visible=False, axis="y")
        axes.bar_label(bars, [f"{value:.3f}" for value, _ in found], padding=4, color=GREY, fontsize=9)
        axes.set(
            xlim=(0, min(1.0, 1.15 * max((value for value, _ in found), default=1) + 0.01)),
            ylim=(-0.6, len(found) - 0.4),
        )
        return _svg(figure, "classes")


def confusion_chart(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """The share of each class's pixels (a row) that was taken for each class (a column); a row is blank without any."""
    pixels = np.array(counts, float)
    share = pixels / np.where(pixels.any(1), pixels.sum(1), np.nan)[:, None]
    names, cell = range(len(classes)), 300 / len(classes)  # in points
    with mpl.rc_context(STYLE):
        figure, axes = _axes(xlabel="predicted, in % of the true class", ylabel="true", height=5.6)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="none")
        axes.set_xticks(names, classes, rotation=90, fontsize=min(9, 0.8 * cell))
        axes.set_yticks(names, classes, fontsize=min(9, 0.8 * cell))
        axes.grid(visible=False)
        for row, column in np.argwhere(share >= 0.005) if cell >= NUMBER_SIZE else ():
            colour, text = "white" if share[row, column] > 0.5 else GREY, f"{100 * share[row, column]:.0f}"
            axes.text(column, row, text, color=colour, fontsize=min(9, 0.45 * cell), ha="center", va="center")
        return _svg(figure, "confusion")


def smoothed(values: Sequence[float]) -> list[float]:
    """Exponential moving average over about a thirtieth of the curve, without a start-up bias."""
    keep = 1 - min(1.0, 30 / max(len(values), 1))
    average, weight, smooth = 0.0, 0.0, []
    for value in values:
        average, weight = keep * average + (1 - keep) * value, keep * weight + (1 - keep)
        smooth.append(average / weight)
    return smooth


def _losses(lines: Log) -> list[str]:
    return [name for name in (lines[0] if lines else {}) if name not in NOT_LOSSES]


def _axes(xlabel: str, ylabel: str = "", height: float = 3.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, height), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def _svg(figure: Figure, name: str) -> str:
    """The `<svg>` element alone. Ids are salted with the chart's name: several charts share a page."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
