"""What a report shows of the answers to a split, beyond its figures: charts, tables and images. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

IMAGES = 48
"""Images that a report shows, the worst of them first: some 5 MB."""
LONG_SIDE = 640
"""One that has marks is at most this large, in pixels ..."""
DRAWN_SIDE = 480
"""... and this large is each of two on which answers are drawn."""
READABLE = 30
"""More classes than these make no confusion matrix that can be read."""
MIX_UPS = 50
"""So many of the most frequent mix-ups of classes are listed."""
Cell = str | int | float | None
"""Of a table: a share is a float in 0..1; None is unknown."""


@dataclass(frozen=True)
class Table:
    """Rows that can be sorted by each column."""

    title: str
    note: str
    """How to read it."""
    columns: list[str]
    rows: list[list[Cell]]
    """The first cell is a name."""
    curves: list[int] = field(default_factory=list)
    """Where charts have a curve of each row, the numbers of the curves; see `curve_id`."""

    def is_number(self, column: int) -> bool:
        """Whether the cells of a column are numbers, or unknown."""
        return not any(isinstance(row[column], str) for row in self.rows)


@dataclass(frozen=True)
class Mark:
    """An object or a detection, over an image."""

    box: tuple[float, ...]
    """Left, top, width and height, in shares of the image."""
    name: str
    """The class."""
    kind: str
    """Of a detection what is right or wrong about it, of an object `found`: a kind of the gallery."""
    score: float
    """A detection is shown from its score on; an object counts as found up to that of the detection that found it."""
    outline: str = ""
    """Of a mask: a path of SVG, in thousandths of the image."""


@dataclass(frozen=True)
class Panel:
    """An image, maybe with answers drawn on it."""

    source: str
    """A data URI; empty: the image of the panel before."""
    caption: str
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class Drawn:
    """One image of a report, shown twice."""

    name: str
    truth: Panel
    found: Panel


@dataclass(frozen=True)
class Gallery:
    """The images of a report."""

    note: str
    """How to read them."""
    legend: list[tuple[str, str]]
    """Names and their colours in CSS, where the images do not tell them."""
    images: list[Drawn]
    threshold: float | None = None
    """The score from which detections are shown at first; None where there are no marks with scores."""
    kinds: dict[str, str] = field(default_factory=dict)
    """Of marks, with what each means."""

    @property
    def names(self) -> list[str]:
        """The classes of the marks."""
        marks = (mark for image in self.images for side in (image.truth, image.found) for mark in side.marks)
        return sorted({mark.name for mark in marks})


@dataclass(frozen=True)
class Study:
    """What the answers to a split show."""

    charts: list[tuple[str, str]]
    """Titles and charts (SVG)."""
    tables: list[Table]
    gallery: Gallery


def mix_ups(counts_KK: np.ndarray, classes: Sequence[str], note: str) -> list[Table]:
    """What is most often taken for what, from counts by true class (row) and taken class (column).

    None where nothing is. There may be one class more, the background, which is left out.
    """
    totals, names = counts_KK.sum(axis=1), list(classes)
    counts = counts_KK[: len(classes), : len(classes)].copy()
    np.fill_diagonal(counts, 0)
    places = [divmod(place, len(classes)) for place in np.argsort(-counts, axis=None, kind="stable")[:MIX_UPS].tolist()]
    rows: list[list[Cell]] = []
    for true, taken in places:
        if times := int(counts[true, taken]):
            rows.append([names[true], names[taken], times, float(times / totals[true])])
    return [Table("Mix-ups", note, ["true class", "taken for", "times", "share of the true"], rows)] if rows else []


def curve_id(chart: str, number: int) -> str:
    """The id of a curve that a table's row shows when it is chosen."""
    return f"{chart}-curve-{number}"


def marks_json(gallery: Gallery) -> list[dict[str, Any]]:
    """The marks of each image as the page's script reads them."""
    sides = ("truth", "found")
    return [
        {side: [_mark_json(mark) for mark in getattr(image, side).marks] for side in sides} for image in gallery.images
    ]


def _mark_json(mark: Mark) -> dict[str, Any]:
    plain = {"box": [round(value, 4) for value in mark.box], "name": mark.name, "kind": mark.kind}
    return plain | {"score": round(mark.score, 6)} | ({"outline": mark.outline} if mark.outline else {})


def spread(length: int, count: int) -> list[int]:
    """At most `count` positions, evenly spread over `length`."""
    return sorted({length * number // count for number in range(count)}) if length else []
