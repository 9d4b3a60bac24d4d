"""Charts of figures, as SVG text for a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cvzoo.metrics.operating import THRESHOLDS_T, Operating
from cvzoo.tasks.study import curve_id

PALETTE = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#db2777", "#ca8a04", "#0891b2", "#4b5563")
GREY = "#64748b"
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


def precision_recall_chart(curves: Mapping[str, Sequence[float]], similarity: str = "IoU") -> str:
    """Precision over recall, one curve for each threshold of the similarity."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="recall", ylabel="precision")
        for (name, precision), colour in zip((item for item in curves.items() if item[0] != "recall"), PALETTE):
            axes.plot(curves["recall"], precision, color=colour, label=f"{similarity} {name}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.legend()
        return svg_of(figure, "pr")


def class_chart(per_class: Mapping[str, float], measure: str) -> str:
    """The AP or IoU of each class that occurs, the best on top."""
    found = sorted(((value, name) for name, value in per_class.items() if value >= 0))
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel=measure, height=0.8 + 0.24 * max(len(found), 3))
        bars = axes.barh([name for _, name in found], [value for value, _ in found], color=PALETTE[0], height=0.7)
        axes.grid(visible=False, axis="y")
        axes.bar_label(bars, [f"{value:.3f}" for value, _ in found], padding=4, color=GREY, fontsize=9)
        axes.set(
            xlim=(0, min(1.0, 1.15 * max((value for value, _ in found), default=1) + 0.01)),
            ylim=(-0.6, len(found) - 0.4),
        )
        return svg_of(figure, "classes")


def cost_chart(costs: Mapping[str, float], kind: str = "box") -> str:
    """What each kind of error costs in AP50 of boxes or masks, the first on top."""
    names, values = list(costs)[::-1], list(costs.values())[::-1]
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="AP50 that is won without these errors", height=2.6)
        bars = axes.barh(names, values, color=PALETTE[1], height=0.7)
        axes.grid(visible=False, axis="y")
        axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=4, color=GREY, fontsize=9)
        axes.set(xlim=(0, max(1.2 * max(values), 0.01)))
        return svg_of(figure, f"costs-{kind}")


def threshold_chart(overall: Operating, of_classes: Mapping[int, np.ndarray]) -> str:
    """F1, precision and recall over the score from which on detections count; of single classes F1, in grey.

    Args:
        overall: of all classes together.
        of_classes: (3, T) curves by the number of the class, as `Operating.curves_3T`.
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="score", ylabel="all classes; grey: F1 of each")
        faint = _faint(len(of_classes))
        for number, curves_3T in of_classes.items():
            axes.plot(THRESHOLDS_T, curves_3T[2], **faint, gid=curve_id("f1", number))
        for name, curve_T, colour in zip(("precision", "recall", "F1"), overall.curves_3T, PALETTE[2::-1]):
            axes.plot(THRESHOLDS_T, curve_T, color=colour, label=name)
        axes.axvline(overall.threshold, color=PALETTE[0], linewidth=1, linestyle=":")
        label = f"best F1 {overall.f1:.2f} at {overall.threshold:.2f}"
        axes.plot([overall.threshold], [overall.f1], "o", color=PALETTE[0], label=label)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(fontsize=9)
        return svg_of(figure, "f1")


def class_precision_recall_chart(overall: Operating, of_classes: Mapping[int, np.ndarray]) -> str:
    """Precision over recall, both of the detections above each score; of single classes in grey."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="recall", ylabel="precision")
        faint = _faint(len(of_classes))
        for number, (precision_T, recall_T, _) in of_classes.items():
            axes.plot(recall_T, precision_T, **faint, gid=curve_id("pr", number))
        precision_T, recall_T, _ = overall.curves_3T
        axes.plot(recall_T, precision_T, color=PALETTE[0], label="all classes together")
        axes.plot([overall.recall], [overall.precision], "o", color=PALETTE[0], label=f"best F1 {overall.f1:.2f}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(fontsize=9)
        return svg_of(figure, "pr-classes")


def _faint(curves: int) -> dict[str, Any]:
    """The look of each of so many curves; the page brings that of a class which is chosen to the fore."""
    return {"color": "#94a3b8", "alpha": min(0.8, max(0.25, 4 / max(curves, 1))), "linewidth": 1}


def confusion_chart(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """The share of each class (a row) that was taken for each class (a column); a row is blank without any."""
    pixels = np.array(counts, float)
    share = pixels / np.where(pixels.any(1), pixels.sum(1), np.nan)[:, None]
    names = range(len(classes))
    cell = 300 / len(classes)  # in points
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="predicted, in % of the row", ylabel="true", height=5.6)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="none")
        axes.set_xticks(names, classes, rotation=90, fontsize=min(9, 0.8 * cell))
        axes.set_yticks(names, classes, fontsize=min(9, 0.8 * cell))
        axes.grid(visible=False)
        for row, column in np.argwhere(share >= 0.005) if cell >= NUMBER_SIZE else ():
            colour = "white" if share[row, column] > 0.5 else GREY
            text = f"{100 * share[row, column]:.0f}"
            axes.text(column, row, text, color=colour, fontsize=min(9, 0.45 * cell), ha="center", va="center")
        return svg_of(figure, "confusion")


def axes_of(xlabel: str, ylabel: str = "", height: float = 3.4) -> tuple[Figure, Axes]:
    """An empty chart; `height` in inches."""
    figure = Figure(figsize=(5.6, height), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def svg_of(figure: Figure, name: str) -> str:
    """The `<svg>` element alone. Ids are salted with the chart's name: several charts share a page."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
