"""The charts of a data set, as SVG text for a page."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from cvzoo.data.facts import Facts
from cvzoo.tasks.charts import PALETTE, STYLE, axes_of, svg_of

BINS = 40


def side_chart(facts: Mapping[str, Facts]) -> str:
    """How many objects of each split have which shorter side."""
    return _histogram(
        {name: own.sides_G2.min(1, initial=np.inf) for name, own in facts.items()}, "shorter side, pixels"
    )


def aspect_chart(facts: Mapping[str, Facts]) -> str:
    """How many objects of each split have which width over height."""
    return _histogram({name: own.sides_G2[:, 0] / own.sides_G2[:, 1] for name, own in facts.items()}, "width / height")


def size_chart(facts: Mapping[str, Facts]) -> str:
    """Width and height of the images; the larger a dot, the more images have that size."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="width, pixels", ylabel="height, pixels")
        for (name, own), colour in zip(facts.items(), PALETTE):
            sizes, counts = np.unique(own.sizes_N2, axis=0, return_counts=True)
            areas = 12 + 300 * counts / counts.sum()
            axes.scatter(sizes[:, 1], sizes[:, 0], s=areas, color=colour, alpha=0.5, linewidths=0, label=name)
        axes.set(xlim=(0, None), ylim=(0, None))
        axes.legend(markerscale=0.6)
        return svg_of(figure, "sizes")


def coverage_chart(facts: Facts, name: str) -> str:
    """Where in the images, stretched to a square, objects lie."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel="")
        shown = axes.imshow(100 * facts.coverage(), cmap="Blues", vmin=0, extent=(0, 1, 1, 0), interpolation="none")
        axes.set(xticks=(), yticks=())
        axes.grid(visible=False)
        figure.colorbar(shown, ax=axes, label="% of the objects")
        return svg_of(figure, f"coverage-{name}")


def _histogram(values: Mapping[str, np.ndarray], label: str) -> str:
    """On a logarithmic scale, in shares, since splits differ in size."""
    every = np.concatenate(list(values.values()))
    low, high = (every.min() * 0.98, every.max() * 1.02) if len(every) else (0.5, 2.0)
    edges = np.geomspace(low, high, BINS + 1)
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(xlabel=label, ylabel="% of the objects")
        for (name, own), colour in zip(values.items(), PALETTE):
            share = 100 * np.histogram(own, edges)[0] / max(len(own), 1)
            axes.stairs(share, edges, color=colour, fill=True, alpha=0.25)
            axes.stairs(share, edges, color=colour, label=name, linewidth=1.4)
        _scaled(axes)
        axes.legend()
        return svg_of(figure, label)


def _scaled(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
